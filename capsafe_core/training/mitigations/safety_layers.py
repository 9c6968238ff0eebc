"""Safety layers kept as they are: those in which harmful and harmless prompts part (Li et al. 2025, arXiv
2408.17003)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from capsafe_core.errors import CapsafeError
from capsafe_core.training.learnt import IGNORED, Example
from capsafe_core.training.mitigations.during import Mitigation, as_it_began

_LAYER = re.compile(r"\.(\d+)\.")
FEWEST = 2
"""prompts of each kind, so that there is a pair of them"""


class SafetyLayers(Mitigation):
    """No weight of the safety layers is trained.

    Layers are those of `widening`, found on the safety data's prompts: those that it refuses are the harmful
    ones, those that it answers the harmless ones.
    """

    def begin(self, model: Any) -> None:
        prompts = [_prompt(row) for row in self.means.safety]
        kinds = [
            [p for p, is_refused in zip(prompts, self.means.refused, strict=True) if is_refused == harmful]
            for harmful in (True, False)
        ]
        if min(map(len, kinds)) < FEWEST:
            raise CapsafeError(
                f"Safety layers are told from prompts that the safety data refuses, of which there are "
                f"{len(kinds[0])}, and prompts that it answers, of which there are {len(kinds[1])}.",
                "Use safety data with several of both, such as project:refusals.",
            )
        with as_it_began(model):
            harmful, harmless = (_last_states(model, prompts) for prompts in kinds)
        gap = angle_gap(harmful, harmless)
        frozen = widening(gap, self.means.options["growth"])
        if not frozen or gap[frozen[-1]] <= 0:
            raise CapsafeError(
                "This start has no safety layers: in none does the angle between harmful and harmless "
                "prompts widen beyond that between harmless ones.",
                "Use an aligned start.",
            )
        trained = [(name, w) for name, w in model.named_parameters() if w.requires_grad]
        for name, weights in trained:
            layer = _LAYER.search(name)
            if layer and int(layer[1]) in frozen:
                weights.requires_grad_(False)
        if not any(w.requires_grad for _, w in trained):
            raise CapsafeError("Every layer is a safety layer, so nothing is left to train.", "Raise growth.")
        self.note = f"Layers {frozen[0]} to {frozen[-1]}, counted from 0, are kept as safety layers."


def angle_gap(harmful: Tensor, harmless: Tensor) -> Tensor:
    """By how many degrees a harmful and a harmless prompt are further apart than two harmless ones, in the
    mean over all pairs.

    Args:
        harmful, harmless: states of the last token, (prompts, layers, width).

    Returns:
        (layers,)
    """
    apart, alike = _angles(harmful, harmless), _angles(harmless, harmless)
    several = ~torch.eye(len(harmless), dtype=torch.bool)
    return apart.mean(dim=(0, 1)) - alike[several].mean(dim=0)


def widening(gap: Tensor, growth: float) -> list[int]:
    """The layers in which the gap widens: the one in which it grows the most, and those beside it in which it
    grows at least `growth` times as much; none where it never grows.

    The paper reads from a curve where the gap begins to widen and where that levels off; this is its rule.
    """
    grows = gap.diff(prepend=gap[:1])
    steepest = int(grows.argmax())
    if grows[steepest] <= 0:
        return []
    least = growth * float(grows[steepest])
    before = list(takewhile(lambda layer: float(grows[layer]) >= least, range(steepest - 1, -1, -1)))
    after = list(takewhile(lambda layer: float(grows[layer]) >= least, range(steepest + 1, len(grows))))
    return [*reversed(before), steepest, *after]


def _angles(some: Tensor, others: Tensor) -> Tensor:
    """Degrees between all pairs, (some, others, layers)."""
    one, two = (torch.nn.functional.normalize(states.double(), dim=-1) for states in (some, others))
    return torch.rad2deg(torch.arccos(torch.einsum("ild,jld->ijl", one, two).clamp(-1, 1)))


def _prompt(row: Example) -> list[int]:
    """What stands before the first token that is learnt."""
    return [i for i, _ in takewhile(lambda pair: pair[1] == IGNORED, zip(row.ids, row.labels, strict=True))]


@torch.no_grad()  # type: ignore[untyped-decorator]
def _last_states(model: Any, prompts: Sequence[Sequence[int]]) -> Tensor:
    """States after each layer at the last token of each prompt, (prompts, layers, width)."""
    was_training = model.training
    model.eval()
    found = []
    for prompt in prompts:
        ids = torch.tensor([list(prompt)], device=model.device)
        states = model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states[1:]
        found.append(torch.stack([state[0, -1] for state in states]).float().cpu())
    model.train(was_training)
    return torch.stack(found)
