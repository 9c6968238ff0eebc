"""Constrained fine-tuning: tokens, the first ones above all, are learnt less the further they are from the
start (Qi et al. 2024, arXiv 2406.05946)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from capsafe_core.training.mitigations.during import (
    Mitigation,
    as_it_began,
    log_probabilities,
    logits_of,
)

SMALLEST = 1e-3
"""weight of a token"""


class Constrained(Mitigation):
    """A token's loss counts 2 (1 - sigmoid(beta_t (log p - log p of the start))), which has no gradient of
    its own: `beta_first` for the first token of an answer, `beta_early` up to token `early`, then `beta`."""

    changes_loss = True

    def loss(self, model: Any, inputs: dict[str, Tensor], count: Tensor) -> Tensor:
        labels = inputs["labels"]
        tuned, learnt = log_probabilities(logits_of(model, inputs), labels)
        with torch.no_grad(), as_it_began(model):
            start, _ = log_probabilities(logits_of(model, inputs), labels)
        ahead = self._betas(learnt) * (tuned.detach() - start)
        weight = (2 * (1 - torch.sigmoid(ahead))).clamp(min=SMALLEST)
        return -(weight * tuned).sum() / count

    def _betas(self, learnt: Tensor) -> Tensor:
        """beta_t of each token: t counts within its answer, which begins after a token that is not learnt."""
        options = self.means.options
        place = torch.zeros_like(learnt, dtype=torch.long)
        for i in range(learnt.shape[1]):
            place[:, i] = torch.where(learnt[:, i], (place[:, i - 1] if i else 0) + 1, 0)
        early = torch.where(place <= options["early"], options["beta_early"], options["beta"])
        return torch.where(place <= 1, options["beta_first"], early)
