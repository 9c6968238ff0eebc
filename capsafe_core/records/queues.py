"""What people are asked to label: queues, their items, practice and guidelines."""

from __future__ import annotations

from typing import Annotated, Any

from capsafe_core.records.fact import Fact, QueueState
from capsafe_core.records.ids import identify
from capsafe_core.values import Count, Holding, Id, Int, Name, Seconds, Share

STRATUM = {"name": str, "draw": int, "size": Count, "drawn": Count, "adaptive": bool}
"""what a queue's record says of each stratum"""


class QueueRecord(Fact, frozen=True, tag="queue"):
    """A queue as it stands since `created`: how it asks, how it drew, and whether it is open."""

    queue: Name
    study: Name
    name: Name
    state: QueueState
    created: Seconds
    author: Name
    settings: dict[str, Any]
    selection: dict[str, str]
    strata: tuple[Annotated[dict[str, Any], Holding(STRATUM)], ...]
    """as `stats.design.Stratum`: {name, draw, size, drawn, adaptive}"""
    words: str = ""
    """how it drew, for people"""

    @property
    def id(self) -> str:
        return identify("queue", self.queue, self.created)


class QueueFrame(Fact, frozen=True, tag="queue_frame"):
    """From which outputs of a cell a queue drew.

    For each output, in the order of prompts and samples, the place of its stratum from 1; 0 where it could
    not be drawn.
    """

    queue: str
    draw: Int
    cell_id: Id
    strata: tuple[Int, ...]

    @property
    def id(self) -> str:
        return identify("queue_frame", self.queue, self.draw, self.cell_id)


class QueueItem(Fact, frozen=True, tag="queue_item"):
    """An output that a queue asks people to label."""

    queue: str
    generation_id: Id
    cell_id: Id
    stratum: str
    place: Int
    """in the order of its stratum, from 0"""
    probability: Share | None
    """with which the queue chose it; None where nobody knows, as for outputs picked by hand"""

    @property
    def id(self) -> str:
        return identify("queue_item", self.queue, self.generation_id, self.stratum)


class Practice(Fact, frozen=True, tag="practice"):
    """A person's go at the practice items of some guidelines; these count as no labels."""

    rater_id: Id
    guidelines: str
    queue: str
    right: Int
    asked: Int
    created: Seconds

    @property
    def id(self) -> str:
        return identify("practice", self.rater_id, self.guidelines, self.created)


class GuidelinesRecord(Fact, frozen=True, tag="guidelines"):
    """A version of the annotators' guidelines."""

    version: str
    text: str
    author: str
    created: Seconds

    @property
    def id(self) -> str:
        return identify("guidelines", self.version, self.created)
