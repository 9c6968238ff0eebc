"""Labels as files: capsafe's own rows (JSONL, CSV), and what Label Studio and Argilla import and export.

One row a label: generation_id (or prompt and answer), annotator, dimension, label; and where known reasons,
note, confidence, created, shown, repeat, queue, probability, event_id. A row without a label is an output
that somebody shall label elsewhere.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from capsafe_core.errors import CapsafeError, UnknownNameError
from capsafe_core.store.export import FORMULA, guarded
from capsafe_core.store.label_rows import COLUMNS

FORMATS = ("jsonl", "csv", "label-studio", "argilla")
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
