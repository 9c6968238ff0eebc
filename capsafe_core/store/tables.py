"""How each record becomes a row of its table: columns and their types are those of the record."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pyarrow as pa
from msgspec import NODEFAULT
from msgspec.structs import fields

from capsafe_core.records import (
    Attack,
    BenchmarkRecord,
    Checkpoint,
    Condition,
    Fact,
    Generation,
    GuidelinesRecord,
    Judgment,
    LabelEvent,
    Measurement,
    PathPoint,
    Practice,
    Prompt,
    QueueFrame,
    QueueItem,
    QueueRecord,
    Rater,
    Remark,
    Rows,
    SavedView,
    StressVerdict,
    StudyRecord,
)
from capsafe_core.values import Count, Id, Long, Shape, well_formed

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Column:
    """A column: its name and type in the store, and its value of a record, of many rows one each or
    shared."""

    name: str
    type: pa.DataType
    is_id: bool
    of: Callable[[Any], Any]
    default: Any = None
    """where a line of many rows does not have it"""


@dataclass(frozen=True)
class Table:
    """A facts table without the batch: its columns, the first of which is the id."""

    name: str
    columns: tuple[Column, ...]
    schema: pa.Schema = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "schema", pa.schema([(c.name, c.type) for c in self.columns]))

    @property
    def id(self) -> str:
        """The name of its id column."""
        return self.columns[0].name

    def row(self, record: Any) -> Row:
        """The row of a record."""
        return tuple([column.of(record) for column in self.columns])

    def arrow(self, rows: Collection[Row]) -> pa.Table:
        """Rows as an Arrow table."""
        columns = zip(*rows, strict=True) if rows else ([] for _ in self.schema)
        return pa.table(
            [_array(c, f.type) for c, f in zip(columns, self.schema, strict=True)], schema=self.schema
        )

    def arrow_of_columns(self, rows: Rows, same: Mapping[str, Any]) -> pa.Table:
        """The rows of a shard line that holds columns, of generations or judgments.

        Args:
            same: columns of this table that the line's rows share, besides those that the line names.
        """
        shared = {c.name: c.default for c in self.columns} | rows.same | dict(same)
        each = {**rows.columns, self.id: rows.ids}
        arrays = [
            _array(each[f.name], f.type)
            if f.name in each
            else pa.repeat(pa.scalar(shared[f.name], f.type), len(rows.ids))
            for f in self.schema
        ]
        return pa.table(arrays, schema=self.schema)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        # half a character, as a browser or a tokenizer may cut it: the shard keeps it, the store cannot
        return pa.array([well_formed(v) for v in values], kind)


def _json(value: Any) -> str:
    text = json.dumps(value)
    return json.dumps(well_formed(value)) if "\\ud" in text else text


def _arrow_type(annotation: Any) -> pa.DataType | None:
    """The type of a field's column; None where the field goes into one as JSON."""
    if annotation in (Long, Count):
        return pa.int64()
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _arrow_type(inner[0])
    if origin is Literal:
        return pa.string()
    if origin in (types.UnionType, Union):  # whole numbers and others are others
        kinds = [_arrow_type(kind) for kind in inner if kind is not types.NoneType]
        return pa.float64() if pa.float64() in kinds else kinds[0]
    if origin is tuple:
        each = _arrow_type(inner[0])
        return each and pa.list_(each)
    return {str: pa.string(), int: pa.int32(), float: pa.float64()}.get(annotation)


def _value(name: str, kind: pa.DataType | None) -> Callable[[Any], Any]:
    if kind is None:
        return lambda record: _json(getattr(record, name))
    return lambda record: getattr(record, name)


def _column(kind: type[Fact], name: str, renamed: str = "") -> Column:
    hint = Shape(kind).hints[name]
    arrow = _arrow_type(hint)
    default = next(f.default for f in fields(kind) if f.name == name)
    if default is NODEFAULT:
        default = None
    return Column(
        renamed or name,
        arrow or pa.string(),
        hint in (Id, Id | None),
        _value(name, arrow),
        default if arrow else _json(default),
    )


def _property(name: str, column: str = "", is_id: bool = True) -> Column:
    """A column that is worked out from a record's fields."""
    return Column(column or name, pa.string(), is_id, _value(name, pa.string()))


def _table(
    kind: type[Fact],
    name: str,
    key: str,
    *,
    more: Collection[Column] = (),
    without: Collection[str] = (),
    renamed: Mapping[str, str] | None = None,
) -> Table:
    """The table of a type of record.

    Args:
        key: the column of its id.
        more: columns that are no fields.
        without: fields that stand in another table.
        renamed: the columns of fields whose names SQL does not take.
    """
    own = [f.name for f in fields(kind) if f.name not in {key, *without}]
    columns = [_column(kind, field, (renamed or {}).get(field, "")) for field in own]
    return Table(name, (_property("id", key), *more, *columns))


_CELL = ("checkpoint_id", "benchmark_id", "condition_id", "attack_id")

TABLES: dict[str, Table] = {
    "study": _table(StudyRecord, "studies", "study_id", without=["again"]),
    "checkpoint": _table(Checkpoint, "checkpoints", "checkpoint_id"),
    "path_point": _table(PathPoint, "path_points", "point_id", more=[_property("path_id")]),
    "benchmark": _table(BenchmarkRecord, "benchmarks", "benchmark_id"),
    "prompt": _table(Prompt, "prompts", "prompt_id", more=[_property("text", is_id=False)]),
    "condition": _table(Condition, "conditions", "condition_id"),
    "attack": _table(Attack, "attacks", "attack_id"),
    "cell": Table("cells", (_property("cell_id"), *(_column(Generation, name) for name in _CELL))),
    "generation": _table(
        Generation, "generations", "generation_id", more=[_property("cell_id")], without=_CELL
    ),
    "rater": _table(Rater, "raters", "rater_id"),
    "judgment": _table(Judgment, "judgments", "judgment_id"),
    "stress": _table(StressVerdict, "stress_verdicts", "stress_id"),
    "measurement": _table(Measurement, "measurements", "measurement_id"),
    "label": _table(LabelEvent, "label_events", "event_id"),
    "queue": _table(QueueRecord, "queues", "version_id"),
    "queue_frame": _table(QueueFrame, "queue_frames", "frame_id"),
    "queue_item": _table(QueueItem, "queue_items", "item_id"),
    "practice": _table(Practice, "practices", "practice_id", renamed={"right": "right_answers"}),
    "guidelines": _table(GuidelinesRecord, "guidelines", "guidelines_id"),
    "remark": _table(Remark, "remarks", "event_id"),
    "saved_view": _table(SavedView, "saved_views", "view_id"),
}
"""By record type; "cell" is made from generations."""
