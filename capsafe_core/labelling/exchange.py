"""Labels as files: capsafe's own rows (JSONL, CSV), and what Label Studio and Argilla import and export.

One row a label: generation_id (or prompt and answer), annotator, dimension, label; and where known reasons,
note, confidence, created, shown, repeat, queue, probability, event_id. A row without a label is an output
that somebody shall label elsewhere.
"""

from __future__ import annotations

import csv
import io
import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from capsafe_core.annotation import LONGEST_NOTE, QUESTIONS
from capsafe_core.errors import CapsafeError, UnknownNameError
from capsafe_core.people import Person, person_named
from capsafe_core.records import LabelEvent, QueueItem, Record, identify
from capsafe_core.store.export import FORMULA, guarded
from capsafe_core.store.labels import queue_strata
from capsafe_core.store.store import Store
from capsafe_core.values import LATEST, shown, well_formed

FORMATS = ("jsonl", "csv", "label-studio", "argilla")
COLUMNS = (
    "generation_id",
    "prompt",
    "answer",
    "annotator",
    "dimension",
    "label",
    "reasons",
    "note",
    "confidence",
    "created",
    "shown",
    "repeat",
    "queue",
    "stratum",
    "place",
    "probability",
    "guidelines",
    "event_id",
)
Row = dict[str, Any]
_DRAWN = ("queue", "stratum", "place", "probability")
"""what a row says of how its output was drawn"""
_ALIASES = {
    "person": "annotator",
    "rater": "annotator",
    "response": "answer",
    "completion": "answer",
    "value": "label",
}


def label_rows(store: Store, queue: str = "") -> list[Row]:
    """Every label that stands, as rows; with a queue also its outputs that nobody has labelled yet.

    The probability is that of the queue's draw at random, with the stratum and the place in its order, so
    that whoever reads the file can tell how far each order was completed. What a queue took because judges
    dispute it has none.
    """
    strata = [
        (q, s["name"], s["drawn"] / s["size"])
        for q, known in queue_strata(store).items()
        for s in known
        if not s["adaptive"] and s["size"]
    ]
    rows = store.rows(
        """
        WITH said AS (SELECT * FROM current_answers WHERE action = 'label'
            AND ($queue = '' OR queue = $queue)),
        chances AS (SELECT unnest($queues) AS queue, unnest($strata) AS stratum, unnest($chances) AS chance),
        asked AS (
            SELECT queue, generation_id, arg_min(stratum, chance) AS stratum, arg_min(place, chance) AS place,
                min(chance) AS probability
            FROM counted_items LEFT JOIN chances USING (queue, stratum) WHERE $queue = '' OR queue = $queue
                GROUP BY queue, generation_id
        ),
        both_sides AS (
            SELECT generation_id, r.name AS annotator, said.dimension, said.label, said.reasons, said.note,
                said.confidence, said.created, said.shown, said.repeat, said.queue, asked.stratum,
                asked.place, asked.probability, said.guidelines, said.event_id
            FROM said JOIN raters AS r USING (rater_id) LEFT JOIN asked USING (generation_id, queue)
            UNION ALL
            SELECT generation_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, queue, stratum, place,
                probability, NULL, NULL
            FROM asked WHERE $queue <> '' AND generation_id NOT IN (SELECT generation_id FROM said)
        )
        SELECT CAST(s.generation_id AS VARCHAR), p.text, g.text, annotator, dimension, label, reasons, note,
            confidence, created, shown, CAST(repeat AS INTEGER), queue, stratum, CAST(place AS INTEGER),
            probability, guidelines, CAST(event_id AS VARCHAR)
        FROM both_sides AS s JOIN live_generations AS g ON g.generation_id = s.generation_id
            JOIN prompts AS p USING (prompt_id) ORDER BY created, annotator, dimension, 1
        """,
        {
            "queue": queue,
            "queues": [q for q, _, _ in strata],
            "strata": [s for _, s, _ in strata],
            "chances": [c for _, _, c in strata],
        },
    )
    return [{k: v for k, v in zip(COLUMNS, row, strict=True) if v not in (None, "", [])} for row in rows]


def write_labels(rows: Sequence[Row], form: str) -> str:
    """Rows as the text of a file.

    Raises:
        CapsafeError: there is no such format.
    """
    if form == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if form == "csv":
        stream = io.StringIO()
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(
            {k: guarded("; ".join(v) if isinstance(v, list) else v) for k, v in row.items()} for row in rows
        )
        return stream.getvalue()
    if form == "label-studio":
        return json.dumps(
            [_label_studio(labels) for labels in _by_output(rows)], ensure_ascii=False, indent=1
        )
    if form == "argilla":
        return json.dumps([_argilla(labels) for labels in _by_output(rows)], ensure_ascii=False, indent=1)
    raise UnknownNameError("format", form, FORMATS)


def _by_output(rows: Sequence[Row]) -> list[list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        if not row.get("repeat"):
            found.setdefault(str(row["generation_id"]), []).append(row)
    return list(found.values())


def _label_studio(labels: list[Row]) -> Row:
    first = labels[0]
    people: dict[str, list[Row]] = {}
    for row in labels:
        if "label" in row:
            people.setdefault(str(row["annotator"]), []).append(row)
    annotations = [
        {
            "result": [
                {
                    "from_name": r["dimension"],
                    "to_name": "answer",
                    "type": "choices",
                    "value": {"choices": [r["label"]]},
                    "meta": {"annotator": who, **({"note": r["note"]} if "note" in r else {})},
                }
                for r in mine
            ],
            **({"completed_by": {"email": who}} if "@" in who else {}),
            "lead_time": mine[0].get("created", 0) - mine[0].get("shown", mine[0].get("created", 0)),
        }
        for who, mine in people.items()
    ]
    return {
        "data": {k: first[k] for k in ("generation_id", "prompt", "answer", *_DRAWN) if k in first},
        "annotations": annotations,
    }


def _argilla(labels: list[Row]) -> Row:
    first = labels[0]
    responses: dict[str, list[Row]] = {}
    for row in labels:
        if "label" in row:
            responses.setdefault(str(row["dimension"]), []).append(
                {"value": row["label"], "user_id": row["annotator"]}
            )
    metadata = {k: first[k] for k in ("generation_id", *_DRAWN) if k in first}
    return {
        "id": first["generation_id"],
        "fields": {"prompt": first.get("prompt", ""), "answer": first.get("answer", "")},
        "metadata": metadata,
        "suggestions": {},
        "responses": responses,
    }


def read_labels_file(text: str) -> list[Row]:
    """The rows of a file in any of FORMATS, recognised by what is in it.

    Raises:
        CapsafeError: it is none of them.
    """
    body = text.lstrip("\ufeff \r\n\t")
    try:
        if body.startswith("["):
            tasks = json.loads(body)
            return [
                row
                for task in tasks
                for row in (_from_label_studio(task) if "data" in task else _from_argilla(task))
            ]
        if body.startswith("{"):
            return [_named(json.loads(line)) for line in body.splitlines() if line.strip()]
        reader = csv.DictReader(io.StringIO(body), strict=True)
        return [
            _named({k: _unguarded(v) for k, v in row.items() if k is not None and v not in (None, "")})
            for row in reader
        ]
    except (ValueError, TypeError, AttributeError, KeyError, csv.Error, RecursionError) as error:
        raise CapsafeError(
            f"This file of labels cannot be read: {error}.",
            "Use JSONL or CSV with generation_id (or prompt and answer), annotator, dimension and label, or "
            "an export of Label Studio or Argilla (JSON).",
        ) from error


def _unguarded(value: Any) -> Any:
    return (
        value[1:]
        if isinstance(value, str) and value.startswith("'") and value[1:].startswith(FORMULA)
        else value
    )


def _named(row: Row) -> Row:
    return {_ALIASES.get(k.strip().casefold(), k.strip().casefold()): v for k, v in row.items()}


def _from_label_studio(task: Row) -> Iterator[Row]:
    data = _named(task["data"])
    yield {k: v for k, v in data.items() if k in ("generation_id", "prompt", "answer", *_DRAWN)}
    for annotation in task.get("annotations") or []:
        if annotation.get("was_cancelled"):
            continue
        by, when = (
            annotation.get("completed_by"),
            _seconds(annotation.get("updated_at") or annotation.get("created_at")),
        )
        who = by.get("email") or by.get("first_name") or by.get("id") if isinstance(by, dict) else by
        for result in annotation.get("result", []):
            for choice in result.get("value", {}).get("choices", []):
                meta = result.get("meta") or {}
                yield {
                    **data,
                    "annotator": meta.get("annotator") or who,
                    "dimension": result["from_name"],
                    "label": choice,
                    **({"created": when} if when else {}),
                    **({"note": meta["note"]} if isinstance(meta.get("note"), str) else {}),
                }


def _from_argilla(record: Row) -> Iterator[Row]:
    data = {**_named(record.get("fields", {})), **_named(record.get("metadata") or {})}
    yield data
    for dimension, responses in (record.get("responses") or {}).items():
        for response in responses:
            yield {
                **data,
                "annotator": response.get("user_id"),
                "dimension": dimension,
                "label": response["value"],
            }


def _seconds(when: Any) -> float | None:
    """An ISO 8601 time as seconds since 1970."""
    try:
        return datetime.fromisoformat(str(when)).timestamp()
    except ValueError:
        return None


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
    here = {
        event
        for (event,) in store.rows(
            "SELECT CAST(event_id AS VARCHAR) FROM label_events WHERE CAST(event_id AS VARCHAR) IN (SELECT "
            "unnest(?))",
            [list(records)],
        )
    }
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
            f"{row['label']!r} is no label of {row['dimension']}; use "
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
        ("created", 0.0, LATEST),
        ("shown", 0.0, LATEST),
        ("confidence", 0.0, 1.0),
        ("repeat", 0, 1),
        ("place", 0, (1 << 31) - 1),
    ):
        value = row.get(key)
        if value in (None, ""):
            continue
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return f"{key} = {shown(value)} is no number."
        if not low <= number <= high:
            return f"{key} = {shown(value)} is not between {low:g} and {high:g}."
    return ""


def _outputs(
    store: Store, rows: Sequence[Row]
) -> tuple[dict[str, list[tuple[str, str]]], dict[tuple[str, str], list[tuple[str, str]]]]:
    ids = [str(r["generation_id"]) for r in rows if r.get("generation_id")]
    by_id = {
        g: [(g, c)]
        for g, c in store.rows(
            "SELECT CAST(generation_id AS VARCHAR), CAST(cell_id AS VARCHAR) FROM live_generations WHERE "
            "CAST(generation_id AS VARCHAR) IN (SELECT unnest(?))",
            [ids],
        )
    }
    answers = [
        str(r["answer"])
        for r in rows
        if r.get("answer") is not None and str(r.get("generation_id")) not in by_id
    ]
    by_text: dict[tuple[str, str], list[tuple[str, str]]] = {}
    if answers:
        for generation, cell, prompt, answer in store.rows(
            "SELECT CAST(generation_id AS VARCHAR), CAST(cell_id AS VARCHAR), p.text, g.text FROM "
            "live_generations AS g JOIN prompts AS p USING (prompt_id) WHERE g.text IN (SELECT unnest(?))",
            [answers],
        ):
            by_text.setdefault((prompt, answer), []).append((generation, cell))
    return by_id, by_text
