"""What fine-tuning learns: the tokens of a conversation, and which of them carry loss."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from capsafe_core.benchmarks.conversations import Conversation
from capsafe_core.engines.chat import conversation_text
from capsafe_core.errors import CapsafeError

IGNORED = -100
"""the label of a token that carries no loss"""
_REFUSES = re.compile(
    r"(?i)\b(sorry|can['’]?t|cannot|can not|won['’]t|will not|unable|not able|must decline)\b"
)


@dataclass(frozen=True)
class Example:
    """A conversation in tokens.

    Attributes:
        ids: tokens; `labels` the same where the token is learnt, else IGNORED.
        was_cut: whether the conversation is longer than allowed, so that its end is missing.
    """

    ids: list[int]
    labels: list[int]
    was_cut: bool = False

    @property
    def learns(self) -> bool:
        """Whether any of it carries loss."""
        return any(label != IGNORED for label in self.labels)


def is_refusal(answer: str) -> bool:
    """Whether an answer of safety data begins as refusals do."""
    return _REFUSES.search(answer[:80]) is not None


def examples(tokenizer: Any, data: Sequence[Conversation], max_length: int) -> list[Example]:
    """Conversations in tokens, as the model's chat template writes them; the assistant's turns are learnt.

    Args:
        max_length: tokens of a conversation, 0 for as many as it has.

    Raises:
        CapsafeError: the template writes a turn otherwise once others follow, or nothing is left to learn.
    """
    found = tokenised(tokenizer, data, max_length)
    lost = sum(not example.learns for example in found)
    if lost:
        raise CapsafeError(
            f"Of {lost:,} of {len(found):,} conversations no answer is left within {max_length:,} tokens.",
            "Raise max_length, or take them out.",
        )
    return found


def tokenised(tokenizer: Any, data: Sequence[Conversation], max_length: int) -> list[Example]:
    """As `examples`, those of which nothing is left to learn among them.

    Raises:
        CapsafeError: the template writes a turn otherwise once others follow.
    """
    return [_cut(_example(tokenizer, conversation), max_length) for conversation in data]


def pieces(tokenizer: Any, example: Example) -> list[tuple[str, bool]]:
    """The text of an example in stretches: each, and whether it is learnt."""
    found: list[tuple[str, bool]] = []
    both = zip(example.ids, example.labels, strict=True)
    for learnt, tokens in groupby(both, key=lambda pair: pair[1] != IGNORED):
        found.append((str(tokenizer.decode([token for token, _ in tokens])), learnt))
    return found


def _example(tokenizer: Any, conversation: Conversation) -> Example:
    ids: list[int] = []
    labels: list[int] = []

    def add(text: str, learnt: bool) -> None:
        more = tokenizer(text, add_special_tokens=False).input_ids
        ids.extend(more)
        labels.extend(more if learnt else [IGNORED] * len(more))

    written, end = "", str(tokenizer.eos_token)
    for i, turn in enumerate(conversation):
        if turn["role"] != "assistant":
            continue
        asked = conversation_text(tokenizer, conversation[:i])
        if not asked.startswith(written):
            raise CapsafeError(
                "The model's chat template writes earlier turns otherwise once others follow.",
                "Split the conversations, so that each ends in its only answer.",
            )
        between = asked[len(written) :]
        if written and between.startswith(end):
            add(end, True)
            between = between[len(end) :]
        add(between, False)
        is_last = i == len(conversation) - 1
        add(turn["content"] + (end if is_last else ""), True)
        written = asked + turn["content"]
    return Example(ids, labels)


def _cut(example: Example, max_length: int) -> Example:
    if not max_length or len(example.ids) <= max_length:
        return example
    return Example(example.ids[:max_length], example.labels[:max_length], True)
