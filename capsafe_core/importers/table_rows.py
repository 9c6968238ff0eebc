"""The rows of a table of any form, and what the whole of it holds: its columns, and a bounded sample."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.importers.bounded import (
    LIMITS,
    head_of,
    holds_lines,
    json_lines,
    load_json,
    parquet_rows,
    plain_suffix,
)
from capsafe_core.importers.columns import POINTS, TableSample, guess_columns, may_be_verdict, plain_name
from capsafe_core.importers.csv_text import csv_header, csv_rows
from capsafe_core.importers.joining import Numbered
from capsafe_core.importers.json_forms import plain_rows, rows_of
from capsafe_core.importers.log import Problems

SAMPLED = 2000
"""rows of a table by which its columns are told apart"""
KEPT = 20_000
"""rows of a table that are kept, so that a short one is read once"""
DISTINCT = 10_000
"""different values of a column that are looked at"""


def table_rows(path: Path, problems: Problems, wanted: str) -> Iterator[Numbered]:
    """The rows of a table of any form, with plain columns.

    Args:
        wanted: the path of the list of rows in a JSON file that has several.
    """
    ending = plain_suffix(path)[1]
    if ending in (".csv", ".tsv"):
        return csv_rows(path, problems)
    if ending == ".parquet":
        return ((i, one) for i, row in parquet_rows(path) for one in plain_rows(row))
    if ending == ".json" or (head_of(path, 64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")):
        return _json_rows(path, problems, wanted)
    return ((i, one) for i, row in json_lines(path, problems) for one in plain_rows(row))


def _json_rows(path: Path, problems: Problems, wanted: str) -> Iterator[Numbered]:
    """The objects of a JSON file: of a list, of one object a line, of columns, or of a list within."""
    try:
        data = load_json(path)
    except CapsafeError:
        if not holds_lines(path):
            raise
        for i, row in json_lines(path, problems):
            yield from ((i, one) for one in plain_rows(row))
        return
    for i, row in enumerate(rows_of(data, path.name, wanted), 1):
        if isinstance(row, dict):
            yield from ((i, one) for one in plain_rows(row))
        else:
            problems.add(f"Entry {i} of {path.name} is not an object.")


def names_of(path: Path) -> list[str]:
    """The names of a table's columns, by its first rows; empty where it cannot be read, or is one large piece
    of JSON."""
    ending = plain_suffix(path)[1]
    try:
        if ending in (".csv", ".tsv"):
            return csv_header(path)
        if ending == ".json" and path.stat().st_size > LIMITS.line:
            return []
        first = list(islice(table_rows(path, Problems(), ""), 20))
    except (CapsafeError, OSError, ValueError, RecursionError):
        return []
    return list(dict.fromkeys(name for _, row in first for name in row))


def sampled(read: Callable[[bool], Iterator[Numbered]]) -> tuple[TableSample, Iterator[Numbered]]:
    """A look at the whole of a table, and its rows once more.

    Args:
        read: the rows; told whether it is for the first time, so that what is wrong is said once.
    """
    sample, seen = TableSample(), _Seen()
    kept: list[Numbered] | None = []
    length = 0
    for i, row in read(True):
        seen.add(row, sample)
        if kept is not None:
            kept.append((i, row))
            length += _length(row)
            if len(kept) > KEPT or length > LIMITS.member:
                kept = None
    return sample, read(False) if kept is None else iter(kept)


class _Seen:
    """Takes rows in. Which are kept goes by a checksum of their prompts: more of its bits have to be zero
    each time that there are too many."""

    def __init__(self) -> None:
        self._mask = self._length = 0
        self._names: dict[str, None] = {}
        self._open: list[str] = []
        """columns of which no value has been seen that may be a judge's"""
        self._prompt = ""

    def add(self, row: dict[str, Any], sample: TableSample) -> None:
        if not row.keys() <= self._names.keys():
            self._open += [name for name in row if name not in self._names]
            self._names |= dict.fromkeys(row)
            sample.names = list(self._names)
            self._prompt = guess_columns(sample.names).get("prompt", "")
            sample.points |= {n: set() for n in row if plain_name(n) in POINTS and n not in sample.points}
        for name in self._open:
            value = row.get(name)
            if value is not None and value != "":
                sample.filled.add(name)
                if may_be_verdict(value):
                    sample.short.add(name)
                    self._open = [other for other in self._open if other != name]
        for name, values in sample.points.items():
            if len(values) < DISTINCT:
                values.add(str(row.get(name)))
        if not self._mask or not self._sum(row) & self._mask:
            sample.rows.append(row)
            self._length += _length(row)
            while len(sample.rows) > 1 and (len(sample.rows) > SAMPLED or self._length > LIMITS.text):
                self._mask = self._mask * 2 + 1
                fewer = [r for r in sample.rows if not self._sum(r) & self._mask]
                sample.rows = fewer or sample.rows[:1]
                self._length = sum(map(_length, sample.rows))

    def _sum(self, row: dict[str, Any]) -> int:
        prompt = row.get(self._prompt) if self._prompt else list(row.values())
        return zlib.crc32(str(prompt).strip().encode("utf-8", "replace"))


def _length(row: dict[str, Any]) -> int:
    return sum(len(v) for v in row.values() if isinstance(v, str))
