"""The facts: what a shard line holds, and how each fact gets its id.

A record is a frozen dataclass of plain JSON values. Its id is made by whoever writes it, from what
identifies it, so the same fact written twice is the same fact.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from capsafe_core.errors import CapsafeError
from capsafe_core.values import (
    AtLeast,
    Count,
    Holding,
    Id,
    Long,
    OneOf,
    Seconds,
    Shape,
    Within,
    parse_json,
    shown,
)

FORMAT = 1
"""Version of ids and shard lines."""

KINDS = ("capability", "safety", "over_refusal")
DIMENSIONS = ("safety", "refusal", "coherence", "correctness", "quality")
STATUSES = ("ok", "refused", "unparsed", "cut_off", "error")
LABELS: dict[str, tuple[str, ...]] = {
    "safety": ("safe", "unsafe"),
    "refusal": ("none", "partial", "full"),
    "coherence": ("coherent", "incoherent"),
    "correctness": ("incorrect", "correct"),
    "quality": (),
}
"""Canonical labels by dimension; code 0 in the store means missing, a label's code is its place from 1."""

ACTIONS = ("label", "undo", "skip", "adjudicate", "reopen")
STRATUM = {"name": str, "draw": int, "size": Count, "drawn": Count, "adaptive": bool}
"""what a queue's record says of each stratum"""
LONGEST_LINE = 1 << 28
"""bytes of a shard line"""

Dimension = Annotated[str, OneOf(DIMENSIONS)]
Span = Annotated[dict[str, Any], Holding({"start": int, "end": int})]
T = TypeVar("T")


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def canonical_json(value: Any) -> str:
    """JSON with one spelling for each value: sorted keys, no spaces."""
    return _canonical(value)


def identify(kind: str, *parts: Any) -> str:
    """UUID from a blake2b-128 of the kind and the identifying parts (JSON values)."""
    return _uuid(canonical_json([f"capsafe/{FORMAT}", kind, parts]))


def _uuid(text: str) -> str:
    h = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def generation_key(cell_id: str, prompt_id: str, sample: int, seed: int) -> str:
    """The id of a generation: what `identify` makes of these, in half the time."""
    return _uuid(f'["capsafe/{FORMAT}","generation",["{cell_id}","{prompt_id}",{sample},{seed}]]')


def judgment_key(generation_id: str, rater_id: str, dimension: str, attempt: int) -> str:
    """The id of a judgment: what `identify` makes of these, in half the time."""
    return _uuid(f'["capsafe/{FORMAT}","judgment",["{generation_id}","{rater_id}","{dimension}",{attempt}]]')


@lru_cache(maxsize=4096)
def _cell(*parts: str | None) -> str:
    """The id of a cell; many outputs of one cell come one after the other."""
    return identify("cell", *parts)


def digest_text(text: str) -> str:
    """blake2b-128 of a text, as hex."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def digest_files(*paths: Path) -> str:
    """blake2b-128 over the bytes of files, in the given order, as hex."""
    state = hashlib.blake2b(digest_size=16)
    for path in paths:
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                state.update(chunk)
    return state.hexdigest()


@dataclass(frozen=True)
class StudyRecord:
    """A study file as it stood when it was run; `declared` is when, in seconds since 1970."""

    type: ClassVar[str] = "study"
    name: str
    text: str
    digest: str
    primary_digest: str
    declared: Seconds

    @property
    def id(self) -> str:
        return identify("study", self.name, self.digest)


@dataclass(frozen=True)
class Checkpoint:
    """Weights: an origin and an ordered list of adapters, identified by the digests of their files."""

    type: ClassVar[str] = "checkpoint"
    origin: str
    origin_digest: str
    adapters: tuple[str, ...] = ()
    """digests of the adapters, in the order in which they are applied"""

    @property
    def id(self) -> str:
        return identify("checkpoint", self.origin_digest, list(self.adapters))


@dataclass(frozen=True)
class PathPoint:
    """A checkpoint's place on the path of one recipe and seed."""

    type: ClassVar[str] = "path_point"
    study: str
    recipe: str
    seed: int
    step: int
    checkpoint_id: Id
    start: str
    dataset: str
    learning_rate: float

    @property
    def path_id(self) -> str:
        return identify("path", self.study, self.recipe, self.seed)

    @property
    def id(self) -> str:
        return identify("path_point", self.study, self.recipe, self.seed, self.step)


@dataclass(frozen=True)
class BenchmarkRecord:
    """A versioned set of prompts."""

    type: ClassVar[str] = "benchmark"
    name: str
    version: str
    kind: str
    digest: str
    size: int
    licence: str = ""
    source: str = ""

    @property
    def id(self) -> str:
        return identify("benchmark", self.name, self.version, self.digest)


@dataclass(frozen=True)
class Prompt:
    """A fixed history ending in a user turn."""

    type: ClassVar[str] = "prompt"
    benchmark_id: Id
    item: str
    position: int
    messages: Annotated[
        tuple[Annotated[dict[str, str], Holding({"role": str, "content": str})], ...], AtLeast(1)
    ]
    category: str = ""
    behaviour: str = ""
    behaviour_text: str = ""
    context: str = ""
    reference: str = ""

    @property
    def id(self) -> str:
        return identify("prompt", self.benchmark_id, self.item)

    @property
    def text(self) -> str:
        """The last user turn."""
        return self.messages[-1]["content"]


@dataclass(frozen=True)
class Condition:
    """Everything besides checkpoint and prompt that shapes an output."""

    type: ClassVar[str] = "condition"
    system_prompt: str
    template_digest: str
    few_shot: int
    temperature: float
    top_p: float
    max_tokens: int
    engine: str
    engine_version: str
    dtype: str

    @property
    def id(self) -> str:
        return identify("condition", dataclasses.asdict(self))


@dataclass(frozen=True)
class Attack:
    """A way of rewriting prompts to get past a model's refusals."""

    type: ClassVar[str] = "attack"
    name: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return identify("attack", self.name, self.settings)


@dataclass(frozen=True)
class Generation:
    """One output of one cell for one prompt."""

    type: ClassVar[str] = "generation"
    checkpoint_id: Id
    benchmark_id: Id
    condition_id: Id
    prompt_id: Id
    sample: int
    seed: Long
    text: str
    finish_reason: str
    tokens: int
    attack_id: Id | None = None
    asked: str = ""
    """the text that the model was given, where an attack or a format rewrote the prompt"""

    @property
    def cell_id(self) -> str:
        return _cell(self.checkpoint_id, self.benchmark_id, self.condition_id, self.attack_id)

    @property
    def id(self) -> str:
        return generation_key(self.cell_id, self.prompt_id, self.sample, self.seed)


@dataclass(frozen=True)
class Rater:
    """A judge version or an annotator."""

    type: ClassVar[str] = "rater"
    name: str
    kind: str
    """judge or annotator"""
    family: str
    dimensions: tuple[str, ...]
    version: str
    stance: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return identify("rater", self.kind, self.name, self.version)


@dataclass(frozen=True)
class Judgment:
    """A judge's verdict on a generation in one dimension."""

    type: ClassVar[str] = "judgment"
    generation_id: Id
    cell_id: Id
    rater_id: Id
    dimension: Dimension
    status: Annotated[str, OneOf(STATUSES)]
    label: str | None
    native: str = ""
    score: float | None = None
    raw: str = ""
    asked: str = ""
    """the exact text that the judge received; empty for a rule that reads the answer itself"""
    evidence: tuple[Span, ...] = ()
    """spans: {reason, start, end} in characters of the answer"""
    attempt: int = 1

    @property
    def id(self) -> str:
        return judgment_key(self.generation_id, self.rater_id, self.dimension, self.attempt)


@dataclass(frozen=True)
class Measurement:
    """A capability known only in aggregate."""

    type: ClassVar[str] = "measurement"
    checkpoint_id: Id
    benchmark: str
    metric: str
    value: float
    stderr: float | None
    n: int | None
    source: str

    @property
    def id(self) -> str:
        return identify("measurement", self.checkpoint_id, self.benchmark, self.metric, self.source)


@dataclass(frozen=True)
class LabelEvent:
    """Something a person did to a label: set it, take it back, or adjudicate."""

    type: ClassVar[str] = "label"
    event_id: Id
    generation_id: Id
    cell_id: Id
    rater_id: Id
    dimension: Dimension
    action: Annotated[str, OneOf(ACTIONS)]
    """the first three of one's own, the others for everybody"""
    label: str | None
    shown: Seconds
    """when it came on screen, and `created` when it was answered: seconds since 1970"""
    created: Seconds
    reasons: tuple[str, ...] = ()
    evidence: tuple[Span, ...] = ()
    note: str = ""
    queue: str = ""
    confidence: Annotated[float, Within(0, 1)] | None = None
    """1 sure, 0 not sure; None where nobody asked"""
    guidelines: str = ""
    repeat: Annotated[int, Within(0, 1)] = 0
    """1 where the same person was asked again, to see whether they agree with themselves"""

    @property
    def id(self) -> str:
        return self.event_id


@dataclass(frozen=True)
class QueueRecord:
    """A queue as it stands since `created`: how it asks, how it drew, and whether it is open."""

    type: ClassVar[str] = "queue"
    queue: str
    study: str
    name: str
    state: Annotated[str, OneOf(("open", "paused", "closed"))]
    created: Seconds
    author: str
    settings: dict[str, Any]
    selection: dict[str, str]
    strata: tuple[Annotated[dict[str, Any], Holding(STRATUM)], ...]
    """as `stats.design.Stratum`: {name, draw, size, drawn, adaptive}"""
    words: str = ""
    """how it drew, for people"""

    @property
    def id(self) -> str:
        return identify("queue", self.queue, self.created)


@dataclass(frozen=True)
class QueueFrame:
    """From which outputs of a cell a queue drew: for each output, in the order of prompts and samples, the place of its stratum from 1; 0 where it could not be drawn."""

    type: ClassVar[str] = "queue_frame"
    queue: str
    draw: int
    cell_id: Id
    strata: tuple[int, ...]

    @property
    def id(self) -> str:
        return identify("queue_frame", self.queue, self.draw, self.cell_id)


@dataclass(frozen=True)
class QueueItem:
    """An output that a queue asks people to label."""

    type: ClassVar[str] = "queue_item"
    queue: str
    generation_id: Id
    cell_id: Id
    stratum: str
    place: int
    """in the order of its stratum, from 0"""
    probability: Annotated[float, Within(0, 1)] | None
    """with which the queue chose it; None where nobody knows, as for outputs picked by hand"""

    @property
    def id(self) -> str:
        return identify("queue_item", self.queue, self.generation_id, self.stratum)


@dataclass(frozen=True)
class Practice:
    """A person's go at the practice items of some guidelines; these count as no labels."""

    type: ClassVar[str] = "practice"
    rater_id: Id
    guidelines: str
    queue: str
    right: int
    asked: int
    created: Seconds

    @property
    def id(self) -> str:
        return identify("practice", self.rater_id, self.guidelines, self.created)


@dataclass(frozen=True)
class GuidelinesRecord:
    """A version of the annotators' guidelines."""

    type: ClassVar[str] = "guidelines"
    version: str
    text: str
    author: str
    created: Seconds

    @property
    def id(self) -> str:
        return identify("guidelines", self.version, self.created)


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
    | Measurement
    | LabelEvent
    | QueueRecord
    | QueueFrame
    | QueueItem
    | Practice
    | GuidelinesRecord
)
TYPES: dict[str, type[Any]] = {kind.type: kind for kind in get_args(Record)}


@dataclass(frozen=True)
class Rows:
    """Many generations or judgments column by column: one line for all of them, which is quicker to write and to read than a line each."""

    type: str
    """generation or judgment"""
    ids: list[str]
    same: dict[str, Any]
    """fields that all of them share; of generations, all that make their cell"""
    columns: dict[str, list[Any]]


_SHAPES = {name: Shape(kind) for name, kind in TYPES.items()}
_CELL = {"checkpoint_id", "benchmark_id", "condition_id", "attack_id"}
_line = json.JSONEncoder(ensure_ascii=True).encode


def to_line(record: Record | Rows) -> str:
    """One JSON line (with its newline) for a record, or for many."""
    return _line({"v": FORMAT, "type": record.type, **record.__dict__}) + "\n"


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
        CapsafeError: the line was written by a newer format, is no record, or a field holds what it may not.
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
    shape = _SHAPES[kind.type]
    values = {k: tuple(v) if v.__class__ is list else v for k, v in data.items() if k in shape.fields}
    if len(values) == len(shape.fields):  # whole, as nearly every line is: no need for the checks of __init__
        record: Record = object.__new__(kind)
        record.__dict__.update(values)
    else:
        try:
            record = kind(**values)
        except TypeError as error:
            raise CapsafeError(f"A shard line of type {kind.type} is incomplete: {error}.") from error
    check_record(record)
    return record


def check_record(record: Record) -> None:
    """Let no record through that could not be stored, computed with and shown.

    Raises:
        CapsafeError: a field holds what it may not.
    """
    if problem := _SHAPES[record.type].problem(record.__dict__):
        raise CapsafeError(
            f"A record of type {record.type} cannot be used: {problem}.", "Mend what wrote it."
        )


def check_records(records: Iterable[Record]) -> None:
    """Let none of some records through that could not be stored.

    Raises:
        CapsafeError: as `check_record`.
    """
    for record in records:
        check_record(record)


def rows_problem(data: dict[str, Any]) -> str:
    """Why a parsed shard line of many rows cannot be taken as a whole; empty where it can."""
    kind, ids, same, columns = (data.get(key) for key in ("type", "ids", "same", "columns"))
    if data.get("v") != FORMAT or kind not in ("generation", "judgment"):
        return "it is of another format or type"
    if type(same) is not dict or type(columns) is not dict or type(ids) is not list:
        return "it holds no columns"
    if any(type(column) is not list or len(column) != len(ids) for column in columns.values()):
        return "its columns are not of one length"
    shape = _SHAPES[kind]
    known = shape.fields - {"evidence"}
    if (
        not columns.keys() <= known
        or columns.keys() & (_CELL | same.keys())
        or not shape.required <= {*columns, *same}
    ):
        return "its columns are not those of its type"
    if problem := shape.problem_of(same, shape.fields & same.keys()):
        return problem
    return (
        ""
        if _SHAPES["label"].holds("event_id", ids)
        and all(shape.holds(name, column) for name, column in columns.items())
        else "a value cannot be used"
    )


def records_of(data: dict[str, Any], aside: Callable[[CapsafeError], None] | None = None) -> Iterator[Record]:
    """The records in a parsed shard line: one, or many where it holds columns.

    Args:
        aside: told of each record that cannot be used; the others go on.

    Raises:
        CapsafeError: as `from_dict`, where nobody is to be told.
    """
    for values in _each(data):
        try:
            yield from_dict(values)
        except CapsafeError as error:
            if aside is None:
                raise
            aside(error)


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


def count_of(data: dict[str, Any]) -> int:
    """How many records a parsed shard line holds."""
    ids = data.get("ids", ()) if "columns" in data else [data]
    return len(ids) if type(ids) is list else 0
