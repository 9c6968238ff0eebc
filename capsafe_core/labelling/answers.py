"""What a browser sends of an item: whether it can be kept, and the label events that it becomes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from capsafe_core.annotation import LONGEST_NOTE, OTHER, QUESTIONS, REASONS
from capsafe_core.labelling.open_queue import OpenQueue
from capsafe_core.people import Person
from capsafe_core.records import LabelEvent, identify
from capsafe_core.values import Holding, OneOf, Seconds, Shape, Within, shown

HANDED_OUT = 10
"""items that a browser gets at once"""
SHOWN_AT_LEAST = 0.25
"""seconds that an item must have been on screen before it can be labelled"""
LONGEST_ABSENCE = 60 * 86400.0
"""seconds after which what a browser kept is too old to be taken in"""
TOLERANCE = 2.0
"""seconds by which a browser's clock may run faster than this one"""
MOST_MARKS = 200
"""marks and reasons of one answer"""

Place = Annotated[int, Within(0, 1 << 30)]
Mark = Annotated[dict[str, Any], Holding({"start": Place, "end": Place})]
"""characters of an answer that a person marked, and why"""


@dataclass(frozen=True)
class Sent:
    """What a browser sends of an item; `Desk.submit` says what each field means."""

    id: str
    task: str
    kind: Annotated[str, OneOf(("label", "skip", "undo"))]
    answers: dict[str, str] = field(default_factory=dict)
    seconds: Seconds = 0.0
    age: Annotated[float, Within(0, LONGEST_ABSENCE)] = 0.0
    reasons: tuple[Annotated[str, OneOf((*REASONS, OTHER))], ...] = ()
    evidence: tuple[Mark, ...] = ()
    note: str = ""
    confidence: Annotated[float, Within(0, 1)] | None = None
    guidelines: str = ""


_SENT = Shape(Sent)
_WRONG = {
    "kind": "It is neither a label, nor a skip, nor taking one back.",
    "seconds": "It does not say how long the item was shown, or when it was answered.",
    "age": "It does not say how long the item was shown, or when it was answered.",
    "reasons": "Its reasons, marks or confidence cannot be read.",
    "evidence": "Its reasons, marks or confidence cannot be read.",
    "confidence": "Its reasons, marks or confidence cannot be read.",
}
"""why something that holds what it may not is not kept; of all other fields, that it could not be read"""


def read_answer(given: Mapping[str, Any]) -> Sent | str:
    """What was sent; or a sentence on why it cannot be kept."""
    try:
        return Sent(**_SENT.known(given))
    except ValueError:
        return next(
            (
                sentence
                for name, sentence in _WRONG.items()
                if name in given and not _SENT.holds(name, [given[name]])
            ),
            "It could not be read.",
        )


def problem_of(q: OpenQueue, person: Person, entry: Sent) -> str:
    """Why something cannot be kept; empty where it can."""
    try:
        uuid.UUID(entry.id)
    except ValueError:
        return "It could not be read."
    generation, _, again = entry.task.partition("#")
    if generation not in q.items or again not in ("", "1"):
        return "It is about an item that is not in this queue."
    if entry.kind == "label" and not entry.answers:
        return "It has no answer."
    for dimension, label in entry.answers.items():
        if dimension not in q.settings.questions or label not in QUESTIONS[dimension].answers:
            return f"{shown(label)} is not an answer to a question of this queue."
    if len(entry.note) > LONGEST_NOTE:
        return (
            f"The note has {len(entry.note):,} characters, and {LONGEST_NOTE:,} are kept at most: "
            "shorten it and label the item again."
        )
    if max(len(entry.reasons), len(entry.evidence)) > MOST_MARKS or len(entry.guidelines) > 100:
        return f"It has more than {MOST_MARKS} marks or reasons: leave some out and label the item again."
    if any(
        mark["end"] <= mark["start"] or mark.get("reason") not in (None, *REASONS, OTHER)
        for mark in entry.evidence
    ):
        return "Its reasons, marks or confidence cannot be read."
    if entry.kind != "undo" and entry.seconds < SHOWN_AT_LEAST:
        return (
            f"The item was shown for less than {SHOWN_AT_LEAST * 1000:.0f} ms, so the key was not "
            "meant for it."
        )
    if entry.task in q.done.get(person.name, {}):
        return ""
    if entry.kind == "undo":
        return "There is nothing to take back."
    if entry.task in q.seen.get(person.name, {}):
        return ""
    # of a queue from before this was kept nobody remembers: what this person would get next may have been
    # on their screen
    near = not q.all_seen and entry.task in {t.id for t in q.next_tasks(person.name, 2 * HANDED_OUT)}
    return "" if near else "The item was not shown to you."


def events_of(q: OpenQueue, person: Person, entry: Sent) -> Iterator[LabelEvent]:
    """The answers to a queue's questions, as events."""
    generation, _, again = entry.task.partition("#")
    began, created = _times(q, person, entry)
    for dimension in q.settings.questions:
        label = entry.answers.get(dimension) if entry.kind == "label" else None
        if entry.kind == "label" and label is None:
            continue
        reasons, evidence = (
            (entry.reasons, tuple(map(_span, entry.evidence))) if dimension == "coherence" else ((), ())
        )
        yield LabelEvent(
            identify("label", entry.id, dimension),
            generation,
            q.items[generation].cell_id,
            person.rater.id,
            dimension,
            entry.kind,
            label,
            began,
            created,
            reasons,
            evidence,
            entry.note,
            q.record.queue,
            entry.confidence,
            entry.guidelines,
            int(again == "1"),
        )


def _times(q: OpenQueue, person: Person, entry: Sent) -> tuple[float, float]:
    """When the item came on screen and when it was answered: as the sender says, but not before it was
    handed out.

    Where that is not known, it is the time of receipt, and how long it was shown stays open.
    """
    now, handed = time.time(), q.seen.get(person.name, {}).get(entry.task)
    after = q.latest.get(person.name, 0.0) + 1e-5
    if handed is None:
        created = max(now, after)
        return created, created
    created = max(now - entry.age, handed, after)
    return max(created - entry.seconds, handed - TOLERANCE), created


def _span(mark: dict[str, Any]) -> dict[str, Any]:
    """A mark without what is not asked for."""
    return {key: mark[key] for key in ("reason", "start", "end") if key in mark}
