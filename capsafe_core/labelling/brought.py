"""Labels that were made elsewhere, as records about outputs of a store."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from capsafe_core.annotation import LONGEST_NOTE, QUESTIONS
from capsafe_core.errors import CapsafeError
from capsafe_core.labelling.formats import Row
from capsafe_core.people import Person, person_named
from capsafe_core.records import LabelEvent, QueueItem, Record, identify
from capsafe_core.store.contents import cells_of_outputs, outputs_by_text
from capsafe_core.store.labels import known_events
from capsafe_core.store.store import Store
from capsafe_core.values import EARLIEST, is_to_come, shown, well_formed

_TIMES = ("created", "shown")
"""columns of seconds since 1970; 0 is one that nobody knows"""


@dataclass(frozen=True)
class Read:
    """What a file of labels brings: records, how many labels, how many of them with a known probability, how
    many are here already, and what could not be used."""

    records: list[Record]
    labels: int
    weighted: int
    known: int
    problems: list[str]

    @property
    def words(self) -> str:
        """What came of it, for people."""
        already = f" {self.known} more were here already." if self.known else ""
        return (
            f"{self.labels} labels, {self.weighted} of them with a known chance of having been labelled; "
            f"the others count as picked by hand and correct no rate.{already}"
        )


def match_labels(store: Store, rows: Sequence[Row], queue: str) -> Read:
    """Rows as records about outputs of a store. Outputs are found by id, else by prompt and answer: a label
    then counts for every output with this very text.

    Args:
        queue: under which the probabilities are kept.
    """
    rows = [well_formed(row) for row in rows]
    told = [
        {**{k: v for k, v in row.items() if k not in QUESTIONS}, "dimension": d, "label": row[d]}
        for row in rows
        if "dimension" not in row
        for d in QUESTIONS
        if row.get(d) not in (None, "")
    ]
    told += [row for row in rows if "dimension" in row]
    by_id, by_text = _outputs(store, rows)
    now = time.time()
    people: dict[str, Person] = {}
    records: dict[str, LabelEvent] = {}
    problems: list[str] = []

    def outputs_of(row: Row) -> list[tuple[str, str]]:
        return by_id.get(str(row.get("generation_id")), []) or by_text.get(
            (str(row.get("prompt")), str(row.get("answer"))), []
        )

    for number, row in enumerate(told, 1):
        found = outputs_of(row)
        if problem := _problem(row, len(found)):
            problems.append(f"Label {number}: {problem}")
            continue
        who = people.setdefault(str(row["annotator"]), person_named(str(row["annotator"])))
        for generation, cell in found:
            event = _event(row, generation, cell, who, queue, now)
            records[event.event_id] = event
    here = known_events(store, list(records))
    new = [record for event, record in records.items() if event not in here]
    items = _drawn_items(rows, outputs_of, queue) if new else {}
    weighted = sum(record.generation_id in items for record in new)
    return Read(
        [*(p.rater for p in people.values()), *items.values(), *new], len(new), weighted, len(here), problems
    )


def _event(row: Row, generation: str, cell: str, who: Person, queue: str, now: float) -> LabelEvent:
    """The label of a row about one output."""
    created = float(row.get("created") or now)
    reasons = row.get("reasons") or ()
    return LabelEvent(
        _event_id(row, generation, who),
        generation,
        cell,
        who.rater.id,
        row["dimension"],
        "label",
        _label(row),
        float(row.get("shown") or created),
        created,
        tuple(r.strip() for r in reasons.split(";"))
        if isinstance(reasons, str)
        else tuple(map(str, reasons)),
        (),
        str(row.get("note") or ""),
        queue,
        None if row.get("confidence") in (None, "") else float(row["confidence"]),
        str(row.get("guidelines") or ""),
        int(float(row.get("repeat") or 0)),
    )


def _drawn_items(
    rows: Sequence[Row], outputs_of: Callable[[Row], list[tuple[str, str]]], queue: str
) -> dict[str, QueueItem]:
    """The outputs of which the rows say how likely they were to be drawn, labelled or not, by generation."""
    items: dict[str, QueueItem] = {}
    for row in rows:
        found = outputs_of(row)
        if len(found) == 1 and row.get("probability") not in (None, "") and not _number_problem(row):
            generation, cell = found[0]
            stratum = f"imported {row.get('queue', '')} {row.get('stratum', '')}".strip()
            items.setdefault(
                generation,
                QueueItem(
                    queue,
                    generation,
                    cell,
                    stratum,
                    int(float(row.get("place") or len(items))),
                    float(row["probability"]),
                ),
            )
    return items


def _event_id(row: Row, generation: str, who: Person) -> str:
    """The same label in the same file is the same event, however often it is brought in."""
    with suppress(ValueError):
        return str(uuid.UUID(str(row.get("event_id", ""))))
    return identify(
        "imported label",
        generation,
        who.name,
        row["dimension"],
        _label(row),
        str(row.get("created", "")),
        int(float(row.get("repeat") or 0)),
    )


def _label(row: Row) -> str:
    return str(row["label"]).strip().casefold().replace(" ", "_")


def _problem(row: Row, found: int) -> str:
    if not found:
        return f"no output {row.get('generation_id') or 'with this prompt and answer'} is in the store."
    if not isinstance(row["dimension"], str) or row["dimension"] not in QUESTIONS:
        return f"there is no dimension {shown(row['dimension'])}; use {', '.join(QUESTIONS)}."
    if "label" not in row:
        return "it has no label."
    if _label(row) not in QUESTIONS[row["dimension"]].answers:
        return (
            f"{row['label']!r} is not a label of {row['dimension']}; use "
            f"{', '.join(QUESTIONS[row['dimension']].answers)}."
        )
    try:
        person_named(str(row.get("annotator") or ""))
    except CapsafeError as error:
        return f"its annotator is missing. {error.message}"
    if not isinstance(row.get("reasons") or [], str | list):
        return "its reasons are no list."
    if len(str(row.get("note") or "")) > LONGEST_NOTE or len(row.get("reasons") or []) > LONGEST_NOTE:
        return f"its note or its reasons are longer than {LONGEST_NOTE:,} characters."
    if problem := _number_problem(row):
        return problem
    if found > 1 and row.get("probability") not in (None, ""):
        return f"it has a probability, and {found} outputs have this text: give generation_id."
    return ""


def _number_problem(row: Row) -> str:
    for key, low, high in (
        ("probability", 1e-9, 1.0),
        ("created", EARLIEST, math.inf),
        ("shown", EARLIEST, math.inf),
        ("confidence", 0.0, 1.0),
        ("repeat", 0, 1),
        ("place", 0, (1 << 31) - 1),
    ):
        value = row.get(key)
        if value in (None, "") or (key in _TIMES and value == 0):
            continue
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return f"{key} = {shown(value)} is not a number."
        if key in _TIMES and (not number >= low or is_to_come(number)):
            return f"{key} = {shown(value)} is not a time between 2000 and now, in seconds since 1970."
        if not low <= number <= high:
            return f"{key} = {shown(value)} is not between {low:g} and {high:g}."
    return ""


def _outputs(
    store: Store, rows: Sequence[Row]
) -> tuple[dict[str, list[tuple[str, str]]], dict[tuple[str, str], list[tuple[str, str]]]]:
    """The outputs, and their cells, that rows name by id, and of the others those that they name by text."""
    cells = cells_of_outputs(store, [str(r["generation_id"]) for r in rows if r.get("generation_id")])
    answers = [
        str(r["answer"])
        for r in rows
        if r.get("answer") is not None and str(r.get("generation_id")) not in cells
    ]
    return {g: [(g, c)] for g, c in cells.items()}, outputs_by_text(store, answers)
