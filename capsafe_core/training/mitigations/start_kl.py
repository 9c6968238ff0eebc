"""KL to the start: what the start answers to safety prompts is kept (after the penalty of Ouyang et al. 2022,
arXiv 2203.02155, which is on the prompts that are learnt)."""

from __future__ import annotations

from itertools import islice
from typing import Any

import torch
from torch import Tensor

from capsafe_core.training.learnt import IGNORED
from capsafe_core.training.mitigations.during import Mitigation, as_it_began, batch, logits_of, stream


class StartKL(Mitigation):
    """`weight` times the mean, over the answers' tokens of a batch of safety data, of KL(start || model)."""

    def penalty(self, model: Any, step: int) -> Tensor:
        recipe, safety = self.means.recipe, self.means.safety
        rows = islice(stream(len(safety), [recipe.seed, 2, step]), recipe.batch_size)
        inputs = batch([safety[row] for row in rows], self.means.pad, model.device)
        learnt = inputs["labels"][:, 1:] != IGNORED
        tuned = torch.log_softmax(logits_of(model, inputs)[:, :-1].float(), dim=-1)
        with torch.no_grad(), as_it_began(model):
            start = torch.log_softmax(logits_of(model, inputs)[:, :-1].float(), dim=-1)
        apart = (start.exp() * (start - tuned)).sum(dim=-1)
        return self.means.options["weight"] * apart[learnt].mean()
