"""Lisa: alignment and task take turns, each held near where the other ended (Huang et al. 2024, arXiv
2405.18641)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from capsafe_core.training.mitigations.during import Means, Mitigation, stream

ALIGNMENT, TASK = "alignment", "task"
FREE = 0.1
"""the share of steps at the beginning that nothing holds"""


class Lisa(Mitigation):
    """`alignment_steps` on safety data, then `task_steps` on the task, and so on; each step adds
    rho / 2 * |w - w'|^2, w' the weights at the end of the other's last turn, at first those of the start."""

    has_state = True

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self._ends: dict[str, dict[str, Tensor]] = {}

    def turn(self, step: int) -> str:
        """Whose turn a step is."""
        first, second = (int(self.means.options[f"{name}_steps"]) for name in (ALIGNMENT, TASK))
        return ALIGNMENT if step % (first + second) < first else TASK

    def order(self, task: int) -> list[int]:
        recipe = self.means.recipe
        rows = recipe.batch_size * recipe.accumulate
        learnt, safe = stream(task, [recipe.seed, 0]), stream(len(self.means.safety), [recipe.seed, 1])
        return [
            next(learnt) if self.turn(step) == TASK else task + next(safe)
            for step in range(recipe.steps[-1])
            for _ in range(rows)
        ]

    def begin(self, model: Any) -> None:
        self._ends = {ALIGNMENT: _trained(model), TASK: _trained(model)}

    def penalty(self, model: Any, step: int) -> Tensor | None:
        if step < FREE * self.means.recipe.steps[-1]:
            return None
        other = self._ends[TASK if self.turn(step) == ALIGNMENT else ALIGNMENT]
        weights = {name: w for name, w in model.named_parameters() if w.requires_grad}
        apart = [(w - other[name].to(w.device)).float().pow(2).sum() for name, w in weights.items()]
        return 0.5 * self.means.options["rho"] * torch.stack(apart).sum()

    def stepped(self, model: Any, step: int) -> None:
        if self.turn(step + 1) != self.turn(step):
            self._ends[self.turn(step)] = _trained(model)

    def state(self) -> dict[str, Any]:
        return dict(self._ends)

    def resume(self, state: dict[str, Any]) -> None:
        self._ends = state


def _trained(model: Any) -> dict[str, Tensor]:
    """A copy of the weights that are trained."""
    return {name: w.detach().clone() for name, w in model.named_parameters() if w.requires_grad}
