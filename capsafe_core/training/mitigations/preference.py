"""DPO on safety pairs beside the task (the loss of Rafailov et al. 2023, arXiv 2305.18290)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from capsafe_core.training.learnt import Example
from capsafe_core.training.mitigations.during import (
    Mitigation,
    as_it_began,
    batch,
    log_probabilities,
    logits_of,
    stream,
)


class Preference(Mitigation):
    """`weight` times the mean, over a batch of safety pairs, of -log sigmoid(beta (chosen - rejected)): of
    each answer, how much more probable it has become than by the start, in log."""

    def penalty(self, model: Any, step: int) -> Tensor:
        recipe, means = self.means.recipe, self.means
        rows = list(islice(stream(len(means.safety), [recipe.seed, 3, step]), recipe.batch_size))
        pairs = [*(means.safety[row] for row in rows), *(means.rejected[row] for row in rows)]
        chosen, rejected = self._gains(model, pairs).chunk(2)
        loss = -torch.nn.functional.logsigmoid(means.options["beta"] * (chosen - rejected))
        return means.options["weight"] * loss.mean()

    def _gains(self, model: Any, rows: Sequence[Example]) -> Tensor:
        """Of each answer, its log-probability less that by the start."""
        inputs = batch(rows, self.means.pad, model.device)
        tuned, _ = log_probabilities(logits_of(model, inputs), inputs["labels"])
        with torch.no_grad(), as_it_began(model):
            start, _ = log_probabilities(logits_of(model, inputs), inputs["labels"])
        return (tuned - start).sum(dim=1)
