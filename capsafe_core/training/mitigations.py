"""Mitigations after training: an adapter becomes another one, more or less strongly.

Each is a function of what there is and of a strength from 0, the adapter as it was trained, towards 1;
METHODS names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from capsafe_core.errors import CapsafeError


@dataclass(frozen=True)
class Pair:
    """A module's low-rank update: scaling * B @ A. A is (rank, inputs), B is (outputs, rank)."""

    a: Tensor
    b: Tensor
    scaling: float

    @property
    def update(self) -> Tensor:
        return self.scaling * self.b @ self.a


Adapter = Mapping[str, Pair]
"""module's whole name -> its update"""


@dataclass(frozen=True)
class Given:
    """What a mitigation may use: the fine-tuned adapter, and the one that aligned its start, if any."""

    tuned: Adapter
    alignment: Adapter | None

    def aligning(self, module: str, method: str) -> Pair:
        """The alignment's update of a module.

        Raises:
            CapsafeError: the start was not aligned by an adapter, or that one leaves the module as it was.
        """
        if self.alignment is None:
            raise CapsafeError(
                f"{method} needs to know what alignment changed, and the start has no adapter.",
                "Use a start that an alignment recipe of the study made, or name its adapter.",
            )
        if module not in self.alignment:
            raise CapsafeError(
                f"{method} cannot be applied: alignment did not change {module}, which fine-tuning did.",
                "Fine-tune the modules that the alignment trained.",
            )
        return self.alignment[module]


def scale(given: Given, strength: float) -> dict[str, Pair]:
    """The whole update times 1 - strength: the baseline that costs nothing."""
    return {name: Pair(p.a, (1 - strength) * p.b, p.scaling) for name, p in given.tuned.items()}


def safelora(given: Given, strength: float) -> dict[str, Pair]:
    """SafeLoRA as published (Hsu et al. 2024, arXiv 2405.16833): V V' / |V| times B, V what alignment did,
    in the share `strength` of the modules whose update that turns the most."""
    return _projected(given, strength, "safelora", lambda v, b: v.update @ (v.update.T @ b) / v.update.norm())


def safelora_projector(given: Given, strength: float) -> dict[str, Pair]:
    """SafeLoRA with a true projector onto the column space of V; the published matrix is none."""

    def project(v: Pair, b: Tensor) -> Tensor:
        basis = torch.linalg.qr(v.b)[0]
        return basis @ (basis.T @ b)

    return _projected(given, strength, "safelora-projector", project)


def resta(given: Given, strength: float) -> dict[str, Pair]:
    """RESTA (Bhardwaj et al. 2024, arXiv 2402.11746): `strength` times what alignment did, added again."""
    found = {}
    for name, p in given.tuned.items():
        v = given.aligning(name, "resta")
        factor = strength * v.scaling / p.scaling
        found[name] = Pair(torch.cat([p.a, v.a]), torch.cat([p.b, factor * v.b], dim=1), p.scaling)
    return found


def _projected(
    given: Given, strength: float, method: str, project: Callable[[Pair, Tensor], Tensor]
) -> dict[str, Pair]:
    """The update with B projected in the modules in which that changes its direction the most."""
    changed, kept = {}, {}
    for name, p in given.tuned.items():
        b = project(given.aligning(name, method), p.b)
        changed[name] = Pair(p.a, b, p.scaling)
        kept[name] = float(
            torch.nn.functional.cosine_similarity((b @ p.a).flatten(), (p.b @ p.a).flatten(), dim=0)
        )
    chosen = set(sorted(kept, key=lambda name: (kept[name], name))[: round(strength * len(kept))])
    return {name: changed[name] if name in chosen else pair for name, pair in given.tuned.items()}


METHODS: dict[str, Callable[[Given, float], dict[str, Pair]]] = {
    "scale": scale,
    "safelora": safelora,
    "safelora-projector": safelora_projector,
    "resta": resta,
}
