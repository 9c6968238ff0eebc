"""Shard lines: a record as a line of JSON, and a line as the record it holds.

A line in the form in which it was written is read by `msgspec`, every type checked. Any other line, and any
that
`msgspec` refuses, is read value by value: that takes longer, and names the field and the value that are
wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, Literal, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

from capsafe_core.errors import CapsafeError
from capsafe_core.records.ids import FORMAT
from capsafe_core.records.outputs import (
    Attack,
    BenchmarkRecord,
    Checkpoint,
    Condition,
    Generation,
    PathPoint,
    Prompt,
    StudyRecord,
)
from capsafe_core.records.queues import GuidelinesRecord, Practice, QueueFrame, QueueItem, QueueRecord
from capsafe_core.records.remarks import Remark, SavedView
from capsafe_core.records.verdicts import Judgment, LabelEvent, Measurement, Rater, StressVerdict
from capsafe_core.values import Id, Seconds, Shape, are_ids, beyond_types, parse_json, shown

LONGEST_LINE = 1 << 28
"""bytes of a shard line"""
Aside = Callable[[CapsafeError], None]
"""told of what one reading sets aside, while it goes on with the rest"""

Record = (
    StudyRecord
    | Checkpoint
    | PathPoint
    | BenchmarkRecord
    | Prompt
    | Condition
    | Attack
    | Generation
    | Rater
    | Judgment
    | StressVerdict
    | Measurement
    | LabelEvent
    | QueueRecord
    | QueueFrame
    | QueueItem
    | Practice
    | GuidelinesRecord
    | Remark
    | SavedView
)
TYPES: dict[str, type[Any]] = {str(kind.__struct_config__.tag): kind for kind in get_args(Record)}


class Rows(Struct, frozen=True):
    """Many generations or judgments column by column: one line for all of them.

    That is quicker to write and to read than a line each.
    """

    type: str
    """generation or judgment"""
    ids: list[str]
    same: dict[str, Any]
    """fields that all of them share; of generations, all that make their cell"""
    columns: dict[str, list[Any]]

    def records(self) -> Iterator[Record]:
        """The rows one by one."""
        kind = TYPES[self.type]
        same = {name: value for name, value in self.same.items() if name in kind.__struct_fields__}
        for values in zip(*self.columns.values(), strict=True):
            yield kind(**same, **dict(zip(self.columns, values, strict=True)))


_SHAPES = {name: Shape(kind) for name, kind in TYPES.items()}
_TIMES = {
    name: tuple(field for field, hint in shape.hints.items() if hint == Seconds)
    for name, shape in _SHAPES.items()
}


def times_of(record: Record) -> list[float]:
    """When what a record tells of happened, in seconds since 1970."""
    return [getattr(record, field) for field in _TIMES[record.type]]


_CELL = {"checkpoint_id", "benchmark_id", "condition_id", "attack_id"}
_line = json.JSONEncoder(ensure_ascii=True).encode


def to_line(record: Record | Rows) -> str:
    """One JSON line (with its newline) for a record, or for many."""
    return _line({"v": FORMAT, "type": record.type, **asdict(record)}) + "\n"


class _Reader:
    """Reads lines of one type of record, in the form in which they are written, or refuses them."""

    def __init__(self, name: str, kind: type[Any]) -> None:
        hints = _SHAPES[name].hints
        self.record = msgspec.json.Decoder(kind).decode
        ids = [field for field, hint in hints.items() if hint in (Id, Id | None)]
        # of one name alone it would give no tuple
        self._ids = attrgetter(*(ids if len(ids) > 1 else ids * 2)) if ids else None
        self._free = [
            (attrgetter(field), _SHAPES[name].tests[field][0])
            for field, hint in hints.items()
            if beyond_types(hint)
        ]

    def __call__(self, raw: bytes) -> Record | None:
        """The record; None where it is not one, or only another reading can say so."""
        record: Record = self.record(raw)
        if self._ids and not are_ids(filter(None, self._ids(record))):
            return None
        for field, holds in self._free:
            value = field(record)
            if value and not holds(value):
                return None
        return record


class _RowsReader:
    """Reads lines of many generations or judgments, in the form in which they are written, or refuses
    them."""

    def __init__(self, name: Literal["generation", "judgment"]) -> None:
        self._shape, self._name = _SHAPES[name], name
        own = {f: hint for f, hint in self._shape.hints.items() if f not in _CELL and f != "evidence"}
        columns = [(f, list[hint] | UnsetType, UNSET) for f, hint in own.items()]  # type: ignore[valid-type]
        line = msgspec.defstruct(
            "Line",
            [
                ("ids", list[Id]),
                ("same", dict[str, Any]),
                ("columns", msgspec.defstruct("Columns", columns, forbid_unknown_fields=True)),
            ],
        )
        self._decode = msgspec.json.Decoder(line).decode
        self._ids = [f for f, hint in own.items() if hint in (Id, Id | None)]

    def __call__(self, raw: bytes) -> Rows | None:
        """The rows; None where they cannot be taken as a whole."""
        line: Any = self._decode(raw)
        columns = {name: values for name, values in asdict(line.columns).items() if values is not UNSET}
        if any(len(column) != len(line.ids) for column in columns.values()) or not are_ids(line.ids):
            return None
        if not all(are_ids(columns[name]) for name in self._ids if name in columns):
            return None
        if _columns_problem(self._shape, line.same, columns):
            return None
        return Rows(self._name, line.ids, line.same, columns)


def _start(name: str, then: str = "") -> bytes:
    return f'{{"v": {FORMAT}, "type": "{name}", {then}'.encode()


_ROWS = {_start(name, '"ids": '): _RowsReader(name) for name in ("generation", "judgment")}
_READERS = {_start(name): _Reader(name, kind) for name, kind in TYPES.items()}
_TYPE_AT = len(_start("")) - 3
"""where in a line the word for its type begins"""


def records_in(raw: bytes, aside: Aside | None = None) -> Iterator[Record | Rows]:
    """What a shard line holds: a record, or many.

    Args:
        aside: told of each record that cannot be used; the others go on.

    Raises:
        CapsafeError: the line is damaged or holds what it may not, where nobody is to be told.
    """
    record = as_written(raw)
    if record is not None:
        yield record
        return
    try:
        data = parse_line(raw)
    except CapsafeError as error:
        if aside is None:
            raise
        aside(error)
        return
    if "columns" in data and not _rows_problem(data):
        yield Rows(data["type"], data["ids"], data["same"], data["columns"])
        return
    for values in _each(data):
        try:
            yield from_dict(values)
        except CapsafeError as error:
            if aside is None:
                raise
            aside(error)


def as_written(raw: bytes) -> Record | Rows | None:
    """What a line holds that is in the form in which it is written.

    Returns:
        None where it is in another form, or something is wrong: `records_in` then reads it, or says what.
    """
    if len(raw) > LONGEST_LINE:
        return None
    start = raw[: raw.find(b'"', _TYPE_AT) + 3]
    reader: _Reader | _RowsReader | None = _READERS.get(start)
    if reader is None:
        return None
    if raw.startswith(b'"ids": ', len(start)):
        reader = _ROWS.get(start + b'"ids": ', reader)
    try:
        return reader(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def parse_line(raw: bytes) -> dict[str, Any]:
    """A shard line as values, not looked at further.

    Raises:
        CapsafeError: it is damaged, or too long to be one.
    """
    try:
        if len(raw) > LONGEST_LINE:
            raise ValueError(f"it is longer than {LONGEST_LINE >> 20} MB")
        data = parse_json(raw)
        if type(data) is not dict:
            raise ValueError(f"it is {shown(data)}, not a mapping")
        return data
    except ValueError as error:
        raise CapsafeError(
            f"A line is damaged: {error}.",
            "Restore the shard from a copy, or delete the job folder and run it again.",
        ) from error


def from_dict(data: dict[str, Any]) -> Record:
    """The record in a parsed shard line.

    Raises:
        CapsafeError: the line was written by a newer format, is not a record, or a field holds what it may
            not.
    """
    if data.get("v") != FORMAT:
        raise CapsafeError(
            f"A shard line has format {shown(data.get('v'))}; this capsafe reads format {FORMAT}.",
            "Update capsafe.",
        )
    name = data.get("type")
    kind = TYPES.get(name) if type(name) is str else None
    if kind is None:
        raise CapsafeError(
            f"A shard line has the unknown type {shown(name)}.", "Update capsafe, or look at the line."
        )
    shape = _SHAPES[str(name)]
    values = {k: tuple(v) if type(v) is list else v for k, v in data.items() if k in shape.fields}
    if missing := shape.required - values.keys():
        raise CapsafeError(
            f"A shard line of type {name} is incomplete: it lacks {', '.join(sorted(missing))}."
        )
    record: Record = kind(**values)
    check_record(record)
    return record


def check_record(record: Record) -> None:
    """Let no record through that could not be stored, computed with and shown.

    Raises:
        CapsafeError: a field holds what it may not.
    """
    if problem := _SHAPES[record.type].problem(asdict(record)):
        raise CapsafeError(f"A record of type {record.type} cannot be used: {problem}.", "Fix what wrote it.")


def check_records(records: Iterable[Record]) -> None:
    """Let none of some records through that could not be stored.

    Raises:
        CapsafeError: as `check_record`.
    """
    for record in records:
        check_record(record)


def _rows_problem(data: dict[str, Any]) -> str:
    """Why a parsed shard line of many rows cannot be taken as a whole; empty where it can."""
    kind, ids, same, columns = (data.get(key) for key in ("type", "ids", "same", "columns"))
    if data.get("v") != FORMAT or kind not in ("generation", "judgment"):
        return "it is of another format or type"
    if type(same) is not dict or type(columns) is not dict or type(ids) is not list:
        return "it holds no columns"
    if any(type(column) is not list or len(column) != len(ids) for column in columns.values()):
        return "its columns are not of one length"
    shape = _SHAPES[kind]
    if problem := _columns_problem(shape, same, columns):
        return problem
    whole = _SHAPES["label"].holds("event_id", ids) and all(
        shape.holds(name, column) for name, column in columns.items()
    )
    return "" if whole else "a value cannot be used"


def _columns_problem(shape: Shape, same: dict[str, Any], columns: dict[str, list[Any]]) -> str:
    """What is wrong with the names of columns, or with what their rows share; empty where nothing is."""
    if (
        not columns.keys() <= shape.fields - {"evidence"}
        or columns.keys() & (_CELL | same.keys())
        or not shape.required <= {*columns, *same}
    ):
        return "its columns are not those of its type"
    return shape.problem_of(same, shape.fields & same.keys())


def _each(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a line one by one, as if each had a line of its own."""
    if "columns" not in data:
        yield data
        return
    columns, same = data["columns"], data.get("same")
    lists = type(columns) is dict and all(type(column) is list for column in columns.values())
    if type(same) is not dict or not lists or len({len(column) for column in columns.values()}) > 1:
        yield {"v": data.get("v"), "type": data.get("type")}  # told of as a record without its fields
        return
    for values in zip(*columns.values(), strict=True):
        yield {
            **same,
            **dict(zip(columns, values, strict=True)),
            "v": data.get("v"),
            "type": data.get("type"),
        }
