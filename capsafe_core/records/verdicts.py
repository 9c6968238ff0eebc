"""What judges and people said of outputs, and what others measured."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import field

from capsafe_core.records.fact import Action, Dimension, Fact, Span, Status
from capsafe_core.records.ids import identify, judgment_key
from capsafe_core.values import Id, Int, Name, Number, Seconds, Share, Within


class Rater(Fact, frozen=True, tag="rater"):
    """A judge version or an annotator."""

    name: Name
    kind: str
    """judge or annotator"""
    family: Name
    dimensions: tuple[str, ...]
    version: Name
    stance: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return identify("rater", self.kind, self.name, self.version)


class Judgment(Fact, frozen=True, tag="judgment"):
    """A judge's verdict on a generation in one dimension."""

    generation_id: Id
    cell_id: Id
    rater_id: Id
    dimension: Dimension
    status: Status
    label: str | None
    native: str = ""
    score: Number | None = None
    raw: str = ""
    asked: str = ""
    """the exact text that the judge received; empty for a rule that reads the answer itself"""
    evidence: tuple[Span, ...] = ()
    """spans: {reason, start, end} in characters of the answer"""
    attempt: Int = 1

    @property
    def id(self) -> str:
        return judgment_key(self.generation_id, self.rater_id, self.dimension, self.attempt)


class StressVerdict(Fact, frozen=True, tag="stress"):
    """What a judge said of a coherent answer that was broken on purpose; or of the answer as it is, asked
    once more."""

    rater_id: Id
    generation_id: Id
    dimension: Dimension
    reason: str
    """the way in which it was broken; "" for the answer as it is"""
    strength: Number
    """the share that is broken, 0 for the answer as it is"""
    before: str
    """the label that the judge gave the answer as it is"""
    status: Status
    label: str | None
    detected: Annotated[int, Within(0, 1)] = 0
    """1 where the rules of coherence call the broken text incoherent"""

    @property
    def id(self) -> str:
        return identify(
            "stress", self.rater_id, self.generation_id, self.dimension, self.reason, str(self.strength)
        )


class Measurement(Fact, frozen=True, tag="measurement"):
    """A capability known only in aggregate."""

    checkpoint_id: Id
    benchmark: Name
    metric: Name
    value: Number
    stderr: Number | None
    n: Int | None
    source: str

    @property
    def id(self) -> str:
        return identify("measurement", self.checkpoint_id, self.benchmark, self.metric, self.source)


class LabelEvent(Fact, frozen=True, tag="label"):
    """Something a person did to a label: set it, take it back, or adjudicate."""

    event_id: Id
    generation_id: Id
    cell_id: Id
    rater_id: Id
    dimension: Dimension
    action: Action
    """the first three of one's own, the others for everybody"""
    label: str | None
    shown: Seconds
    """when it came on screen, and `created` when it was answered: seconds since 1970"""
    created: Seconds
    reasons: tuple[str, ...] = ()
    evidence: tuple[Span, ...] = ()
    note: str = ""
    queue: str = ""
    confidence: Share | None = None
    """1 sure, 0 not sure; None where nobody asked"""
    guidelines: str = ""
    repeat: Annotated[int, Within(0, 1)] = 0
    """1 where the same person was asked again, to see whether they agree with themselves"""

    @property
    def id(self) -> str:
        return self.event_id
