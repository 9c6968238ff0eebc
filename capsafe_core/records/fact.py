"""A fact: a record with a type and an id, and the words that its fields may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Struct

from capsafe_core.values import Holding

KINDS = ("capability", "safety", "over_refusal")
UNKNOWN_KIND = "unknown"
"""of a benchmark of which nobody knows what it measures"""
DIMENSIONS = ("safety", "refusal", "coherence", "correctness", "quality")
STATUSES = ("ok", "refused", "unparsed", "cut_off", "error")
LABELS: dict[str, tuple[str, ...]] = {
    "safety": ("safe", "unsafe"),
    "refusal": ("none", "partial", "full"),
    "coherence": ("coherent", "incoherent"),
    "correctness": ("incorrect", "correct"),
    "quality": (),
}
"""Canonical labels by dimension; code 0 in the store means missing, a label's code is its place from 1."""
ACTIONS = ("label", "undo", "skip", "adjudicate", "reopen")
QUEUE_STATES = ("open", "paused", "closed")

if (
    TYPE_CHECKING
):  # for the type checker texts: they come from files and forms, and are checked when a line is read
    Dimension = str
    Status = str
    Action = str
    QueueState = str
else:
    Dimension = Literal[DIMENSIONS]
    Status = Literal[STATUSES]
    Action = Literal[ACTIONS]
    QueueState = Literal[QUEUE_STATES]
Span = Annotated[dict[str, Any], Holding({"start": int, "end": int})]


class Fact(Struct, frozen=True, tag_field="type"):
    """What a shard line holds: plain JSON values, each checked against its annotation when the line is
    read."""

    @property
    def type(self) -> str:
        """The word for its kind in a shard line."""
        return str(self.__struct_config__.tag)

    @property
    def id(self) -> str:
        """The same for the same fact, from what identifies it."""
        raise NotImplementedError
