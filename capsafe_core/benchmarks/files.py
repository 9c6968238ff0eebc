"""Prompt files of other people: CSV, JSON, JSONL and Parquet, in a published form or with columns that the
user names."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capsafe_core import catalogue
from capsafe_core.errors import CapsafeError

Row = dict[str, Any]
FIELDS = ("id", "prompt", "category", "behaviour", "behaviour_text", "context", "reference")
"""What a prompt of a benchmark can have."""
LARGEST = 1 << 30
"""bytes of a file"""


@dataclass(frozen=True)
class PromptFile:
    """The prompts of a file, and what is known of where they are from."""

    rows: list[Row]
    kind: str = "safety"
    licence: str = ""
    citation: str = ""


def read_prompts(path: Path, columns: Any = None, part: str = "") -> PromptFile:
    """The prompts of a file, recognised by its columns.

    Args:
        columns: field -> column, where the file is in no form that is known; fields are those of FIELDS.
        part: of a file that mixes safe and unsafe prompts, "safe" or "unsafe".

    Raises:
        CapsafeError: the file cannot be read, or its columns say nothing of prompts.
    """
    rows = read_rows(path)
    there = set(rows[0]) if rows else set()
    if columns and not isinstance(columns, dict):
        raise CapsafeError(
            f"{path}: columns must say which column is which.",
            'Such as columns = { prompt = "question", id = "qid" }.',
        )
    if columns:
        missing = [c for c in columns.values() if c not in there]
        if missing or not set(columns) <= set(FIELDS):
            raise CapsafeError(
                f"{path} has no column {missing[0]!r}."
                if missing
                else f"{path}: columns can name {', '.join(FIELDS)}.",
                f"Its columns are: {', '.join(sorted(there))}.",
            )
        return PromptFile(
            [
                _numbered({field: row.get(column) for field, column in columns.items()}, i)
                for i, row in enumerate(rows, 1)
            ]
        )
    form = next((f for f in catalogue.benchmarks().values() if set(f["columns"]) <= there), None)
    if form is None:
        return PromptFile(rows if "id" in there else [_numbered(row, i) for i, row in enumerate(rows, 1)])
    kind = form["kind"]
    if "split" in form:
        unsafe = form["split"]["unsafe"]
        if part not in ("", "safe", "unsafe"):
            raise CapsafeError(f"{path}: there is no part {part!r}.", "Use safe or unsafe.")
        rows = [
            row for row in rows if str(row[form["split"]["column"]]).startswith(unsafe) == (part == "unsafe")
        ]
        kind = "safety" if part == "unsafe" else kind
    return PromptFile(
        [_published(form, row, i) for i, row in enumerate(rows, 1) if row[form["prompt"]]],
        kind,
        form["licence"],
        form["citation"],
    )


def _published(form: dict[str, Any], row: Row, i: int) -> Row:
    """A prompt of a published form. A HarmBench behaviour with a context is asked as its authors ask it:
    context first."""
    found = {field: str(row[form[field]] or "") for field in FIELDS if field in form}
    if found.get("context"):
        found["prompt"] = f"{found['context']}\n\n---\n\n{found['prompt']}"
    return _numbered(found, i)


def _numbered(row: Row, i: int) -> Row:
    """A row with an id: its own, else its number in the file."""
    own = row.get("id")
    return {**row, "id": str(i) if own is None or own == "" else str(own)}


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, by its ending: .csv, .parquet, .json (a list, or an object that holds one), else
    JSON lines.

    Raises:
        CapsafeError: the file cannot be read; the first broken line is named.
    """
    ending = path.suffix.lower()
    if path.exists() and not path.is_file():
        raise CapsafeError(f"{path} is not a regular file, so it is not opened.", "Name a file.")
    if path.exists() and path.stat().st_size > LARGEST:
        raise CapsafeError(
            f"{path} has more than {LARGEST >> 20} MB.", "Split it, or keep the prompts that are needed."
        )
    if ending == ".parquet":
        return _parquet(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CapsafeError(
            f"The file {path} cannot be read: {error}.", "Check the path; the file must be UTF-8."
        ) from error
    if ending == ".csv":
        return _csv(path, text)
    if ending == ".json":
        return _json(path, text)
    rows = []
    for i, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CapsafeError(
                f"Line {i} of {path} is not JSON: {getattr(error, 'msg', error)}.", "Fix that line."
            ) from error
        if not isinstance(row, dict):
            raise CapsafeError(
                f"Line {i} of {path} is not a JSON object.",
                'Every line must look like {"id": ..., "prompt": ...}.',
            )
        rows.append(row)
    return rows


def _csv(path: Path, text: str) -> list[Row]:
    csv.field_size_limit(1 << 27)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = [dict(row) for row in reader]
    except csv.Error as error:
        raise CapsafeError(
            f"{path} is not a CSV near line {reader.line_num}: {error}.",
            "Look for a quotation mark that is not closed.",
        ) from error
    longer = next((i for i, row in enumerate(rows, 1) if None in row), None)
    if longer:
        raise CapsafeError(
            f"Row {longer} of {path} has more cells than there are columns.",
            "Put quotation marks around cells that hold commas.",
        )
    return rows


def _json(path: Path, text: str) -> list[Row]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CapsafeError(
            f"{path} is not JSON: {error}.", "Fix it, or save one object a line as .jsonl."
        ) from error
    lists = (
        [data]
        if isinstance(data, list)
        else [v for v in data.values() if isinstance(v, list)]
        if isinstance(data, dict)
        else []
    )
    rows = [rows for rows in lists if rows and all(isinstance(row, dict) for row in rows)]
    if len(rows) != 1:
        raise CapsafeError(
            f"{path} holds no list of objects, or several.",
            "Save the prompts as one list, or one object a line as .jsonl.",
        )
    return rows[0]


def _parquet(path: Path) -> list[Row]:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise CapsafeError(
            "To read Parquet, the worker's environment needs pyarrow.",
            "Install pyarrow there, or save the prompts as CSV or JSONL.",
        ) from error
    try:
        return [dict(row) for row in parquet.read_table(path).to_pylist()]
    except (OSError, ValueError) as error:
        raise CapsafeError(
            f"The file {path} cannot be read: {error}.", "Check the path and that it is Parquet."
        ) from error
