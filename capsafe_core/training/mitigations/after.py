"""Mitigations after training: an adapter becomes another one, more or less strongly.

Each is a function of what there is and of a strength from 0, the adapter as it was trained, towards 1;
METHODS names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from peft.utils import merge_utils
from torch import Tensor

from capsafe_core.errors import CapsafeError
from capsafe_core.records import digest_text

TRIMMED = 0.5
"""the share of an update's values that TIES leaves"""


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


class Change(Protocol):
    """What alignment did to a module."""

    @property
    def update(self) -> Tensor:
        """(outputs, inputs)"""
        ...


@dataclass(frozen=True)
class Given:
    """What a mitigation may use: the fine-tuned adapter, and what aligned its start, if that is known."""

    tuned: Adapter
    alignment: Mapping[str, Change] | None

    def changed(self, module: str, method: str) -> Change:
        """What alignment did to a module.

        Raises:
            CapsafeError: nobody knows, or it left the module as it was.
        """
        if self.alignment is None:
            raise CapsafeError(
                f"{method} needs to know what alignment changed, and the start has no adapter.",
                "Use a start that an adapter aligned, or name the model before alignment as its `base`.",
            )
        if module not in self.alignment:
            raise CapsafeError(
                f"{method} cannot be applied: alignment did not change {module}, which fine-tuning did.",
                "Fine-tune the modules that the alignment trained.",
            )
        return self.alignment[module]

    def aligning(self, module: str, method: str) -> Pair:
        """The alignment's update of a module, where that was an adapter.

        Raises:
            CapsafeError: it was none, or as `changed`.
        """
        change = self.changed(module, method)
        if not isinstance(change, Pair):
            raise CapsafeError(
                f"{method} works on an alignment of low rank, and that of whole weights has none.",
                "Use a start that an adapter aligned, or safelora.",
            )
        return change


def scale(given: Given, strength: float) -> dict[str, Pair]:
    """The whole update times 1 - strength: the baseline that costs nothing."""
    return {name: Pair(p.a, (1 - strength) * p.b, p.scaling) for name, p in given.tuned.items()}


def safelora(given: Given, strength: float) -> dict[str, Pair]:
    """SafeLoRA as published (Hsu et al. 2024, arXiv 2405.16833): V V' / |V| times B, V what alignment did,
    in the share `strength` of the modules whose update that turns the most."""

    def turned(module: str, b: Tensor) -> Tensor:
        v = given.changed(module, "safelora").update
        return v @ (v.T @ b) / v.norm()

    return _projected(given, strength, turned)


def safelora_projector(given: Given, strength: float) -> dict[str, Pair]:
    """SafeLoRA with a true projector onto the column space of V; the published matrix is none."""

    def project(module: str, b: Tensor) -> Tensor:
        basis = torch.linalg.qr(given.aligning(module, "safelora-projector").b)[0]
        return basis @ (basis.T @ b)

    return _projected(given, strength, project)


def resta(given: Given, strength: float) -> dict[str, Pair]:
    """RESTA (Bhardwaj et al. 2024, arXiv 2402.11746): `strength` times what alignment did, added again."""
    found = {}
    for name, p in given.tuned.items():
        v = given.aligning(name, "resta")
        factor = strength * v.scaling / p.scaling
        found[name] = Pair(torch.cat([p.a, v.a]), torch.cat([p.b, factor * v.b], dim=1), p.scaling)
    return found


def ties(given: Given, strength: float) -> dict[str, Pair]:
    """TIES (Yadav et al. 2023, arXiv 2306.01708) of the update and `strength` times what alignment did, as
    peft's add_weighted_adapter merges them ("ties_svd"): half of the values of each is trimmed, a sign is
    elected for each place, and those that have it are averaged; of that, as much as both ranks hold."""
    found = {}
    for name, p in given.tuned.items():
        v = given.aligning(name, "ties")
        merged = merge_utils.ties([p.update, v.update], torch.tensor([1.0, strength]), TRIMMED)
        left, sizes, right = torch.linalg.svd(merged, full_matrices=False)
        rank = p.a.shape[0] + v.a.shape[0]
        found[name] = Pair(right[:rank], left[:, :rank] * sizes[:rank], 1.0)
    return found


def dare(given: Given, strength: float) -> dict[str, Pair]:
    """DARE (Yu et al. 2024, arXiv 2311.03099) of one adapter, as peft's add_weighted_adapter has it
    ("dare_linear"): the share `strength` of the values of A and of B is dropped by chance, the same each
    time, and the others are divided by 1 - strength."""
    found = {}
    for name, p in given.tuned.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(digest_text(name)[:8], 16))
            a, b = (merge_utils.dare_linear([m], torch.ones(1), 1 - strength) for m in (p.a, p.b))
        found[name] = Pair(a, b, p.scaling)
    return found


def _projected(given: Given, strength: float, project: Callable[[str, Tensor], Tensor]) -> dict[str, Pair]:
    """The update with B projected in the modules in which that changes its direction the most."""
    changed, kept = {}, {}
    for name, p in given.tuned.items():
        b = project(name, p.b)
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
    "ties": ties,
    "dare": dare,
}
