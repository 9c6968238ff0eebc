"""Elastic weight consolidation: weights that safe behaviour depends on are held where they began (Kirkpatrick
et al. 2017, arXiv 1612.00796)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from capsafe_core.training.learnt import Example
from capsafe_core.training.mitigations.during import Mitigation, batch, log_probabilities, logits_of, stream

Moved = Callable[[], Tensor]
"""how far a weight is from where it began"""


class ElasticWeights(Mitigation):
    """`weight` / 2 times the sum of F (w - w of the start)^2 over the weights that training changes.

    F is the diagonal of the empirical Fisher information at the start: the mean, over `examples`
    conversations of the safety data, of the squared gradient of the log-probability of a conversation's
    answers. Where an adapter is trained, w - w of the start is the change that merging it makes,
    scaling * B @ A, and F is that of the weights below it: the same model has many A and B.
    """

    def begin(self, model: Any) -> None:
        """F, with the model as it begins, which an adapter does not change yet."""
        means = self.means
        weights = _below(model) or {name: w for name, w in model.named_parameters() if w.requires_grad}
        rows = stream(len(means.safety), [means.recipe.seed, 4])
        several = min(int(means.options["examples"]), len(means.safety))
        self._fisher = _fisher(
            model, list(weights.values()), [means.safety[row] for row in islice(rows, several)], means.pad
        )
        self._moved = _moved(model, weights)

    def penalty(self, model: Any, step: int) -> Tensor:
        # what a module's sum is made of is as large as its weights, so it is made again for the gradient
        held = [
            checkpoint(_held, fisher, moved, use_reentrant=False)
            for fisher, moved in zip(self._fisher, self._moved, strict=True)
        ]
        return 0.5 * self.means.options["weight"] * torch.stack(held).sum()


def _held(fisher: Tensor, moved: Moved) -> Tensor:
    return (fisher * moved().float().pow(2)).sum()


def _adapted(model: Any) -> dict[str, Any]:
    """The modules over which an adapter is trained."""
    return {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}


def _below(model: Any) -> dict[str, Tensor]:
    """The weights that an adapter changes, by module; none where all weights are trained."""
    return {name: module.get_base_layer().weight for name, module in _adapted(model).items()}


def _moved(model: Any, weights: dict[str, Tensor]) -> list[Moved]:
    adapted = _adapted(model)
    if adapted:
        return [partial(_merged, module) for module in adapted.values()]
    return [partial(torch.sub, w, w.detach().clone()) for w in weights.values()]


def _merged(module: Any) -> Tensor:
    """What merging a module's adapter adds to its weights."""
    a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
    update: Tensor = module.scaling["default"] * b @ a
    return update


def _fisher(model: Any, weights: list[Tensor], rows: list[Example], pad: int) -> list[Tensor]:
    """The mean of the squared gradients of the rows' log-probabilities, one row at a time, in 32 bits."""
    was_trained, was_training = [w.requires_grad for w in weights], model.training
    found = [torch.zeros_like(w, dtype=torch.float32) for w in weights]
    model.eval()
    for w in weights:
        w.requires_grad_(True)
    for row in rows:
        inputs = batch([row], pad, model.device)
        known, _ = log_probabilities(logits_of(model, inputs), inputs["labels"])
        for total, gradient in zip(found, torch.autograd.grad(known.sum(), weights), strict=True):
            total += gradient.float().pow(2) / len(rows)
    for w, trained in zip(weights, was_trained, strict=True):
        w.requires_grad_(trained)
    model.train(was_training)
    return found
