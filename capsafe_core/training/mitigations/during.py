"""What a mitigation can change while a recipe is trained: the batches, the loss, and what is added to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from capsafe_core.jobs.folder.work import RecipeWork
from capsafe_core.training.learnt import IGNORED, Example


@dataclass(frozen=True)
class Means:
    """What a mitigation has to work with.

    Attributes:
        recipe: how the run trains.
        options: of the mitigation, all of them.
        safety: conversations that show safe behaviour; none where it needs none.
        pad: the token that fills rows.
        refused: of each of those conversations, whether its answer is a refusal.
        rejected: each of them with the answer that is not to be given, where a mitigation needs pairs.
    """

    recipe: RecipeWork
    options: Mapping[str, float]
    safety: Sequence[Example]
    pad: int
    refused: Sequence[bool] = ()
    rejected: Sequence[Example] = ()


class Mitigation:
    """One way of keeping a model safe while it is trained; as it stands it changes nothing.

    Steps are counted from 0: the one that is being taken.
    """

    changes_loss = False
    """whether `loss` takes the place of the mean over tokens"""
    has_state = False
    """whether `state` is needed to go on from where a run ended"""
    note = ""
    """a sentence on what it found out about the model, once it has begun"""

    def __init__(self, means: Means) -> None:
        self.means = means

    def order(self, task: int) -> list[int] | None:
        """Which row each place of each step's batch has: below `task` a row of the task, from there on one of
        safety; None for the trainer's own shuffling."""
        return None

    def begin(self, model: Any) -> None:
        """Before the first step, with the model as it begins."""

    def loss(self, model: Any, inputs: dict[str, Tensor], count: Tensor) -> Tensor:
        """In the place of the usual loss.

        Args:
            count: learnt tokens of the whole step.
        """
        raise NotImplementedError

    def penalty(self, model: Any, step: int) -> Tensor | None:
        """What is added to the loss of a step."""
        return None

    def stepped(self, model: Any, step: int) -> None:
        """After a step."""

    def state(self) -> dict[str, Any]:
        """What is needed to go on from here."""
        return {}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from there."""


def stream(count: int, seed: Sequence[int]) -> Iterator[int]:
    """Rows in an order by chance, without end; each once before any comes again."""
    chance = np.random.default_rng(list(seed))
    while True:
        yield from chance.permutation(count).tolist()


def log_probabilities(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Of each token of each row, given those before it: (rows, tokens - 1), 0 where it is not learnt; and
    which are learnt."""
    following, learnt = labels[:, 1:], labels[:, 1:] != IGNORED
    chosen = torch.where(learnt, following, 0).unsqueeze(-1)
    found = torch.log_softmax(logits[:, :-1].float(), dim=-1).gather(-1, chosen).squeeze(-1)
    return torch.where(learnt, found, 0.0), learnt


def logits_of(model: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """(rows, tokens, vocabulary) of inputs, whose labels are left aside."""
    plain = {name: value for name, value in inputs.items() if name not in ("labels", "use_cache")}
    found: Tensor = model(**plain, use_cache=False).logits
    return found


def as_it_began(model: Any) -> AbstractContextManager[Any]:
    """The start of the training: the model without the adapter that is being trained."""
    below: AbstractContextManager[Any] = model.disable_adapter()
    return below


def batch(rows: Sequence[Example], pad: int, device: torch.device) -> dict[str, Tensor]:
    """Rows of one length, filled on the right."""
    length = max(len(row.ids) for row in rows)

    def filled(values: Sequence[Sequence[int]], filler: int) -> Tensor:
        return torch.tensor([[*v, *[filler] * (length - len(v))] for v in values], device=device)

    return {
        "input_ids": filled([row.ids for row in rows], pad),
        "attention_mask": filled([[1] * len(row.ids) for row in rows], 0),
        "labels": filled([row.labels for row in rows], IGNORED),
    }
