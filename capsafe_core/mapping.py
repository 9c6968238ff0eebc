"""What files of other tools cannot know: which checkpoint each log is about, and what each judge's values
say. A TOML file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from capsafe_core.checkpoint_places import Place, compiled, guess_pattern, path_facts, placed
from capsafe_core.errors import CapsafeError
from capsafe_core.path_steps import whole_number
from capsafe_core.records import KINDS, LABELS, STATUSES, UNKNOWN_KIND
from capsafe_core.toml_text import toml_key, toml_table
from capsafe_core.values import parse_toml
from capsafe_core.written_numbers import written_number

__all__ = [
    "BenchmarkReading",
    "ImportMapping",
    "Place",
    "Reading",
    "guess_pattern",
    "parse_mapping",
    "path_facts",
    "placed",
    "spelled",
]
Kind = Literal["capability", "safety", "over_refusal", "unknown"]
Rule = Literal["", "first", "last"]
"""which of several files that say different things counts; none until somebody picks"""
Dimension = Literal["safety", "refusal", "coherence", "correctness", "quality"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BenchmarkReading(_Part):
    """What a benchmark is called here, and what it measures."""

    name: str = Field(min_length=1)
    kind: Kind


class Reading(_Part):
    """What the values of one judge, scorer or annotator say. Nothing is read whose scale and direction nobody
    stated."""

    by: str
    """as the logs call it"""
    name: str = Field(min_length=1)
    """as it is called here; several readings of one name are one judge with several dimensions"""
    dimension: Dimension
    benchmark: str = ""
    """only on this benchmark, as the logs call it: the same letters mean different things by task"""
    labels: dict[str, str] = Field(default_factory=dict)
    """value -> canonical label; values that are not listed are no verdicts"""
    cutoff: float | None = None
    """for numbers: from here on they are unsafe, a refusal, incoherent or correct"""
    direction: Literal["from", "below"] = "from"
    """"below": it is the numbers under the cut-off that are"""
    scale: tuple[float, float] | None = None
    """lowest and highest value; others are no verdicts"""
    person: bool = False
    """whether people said it"""

    @model_validator(mode="after")
    def _whole(self) -> Reading:
        wrong = [label for label in self.labels.values() if label not in LABELS[self.dimension]]
        if wrong:
            raise ValueError(
                f"{wrong[0]!r} is not a label of {self.dimension} (there are: "
                f"{', '.join(LABELS[self.dimension]) or 'none'})"
            )
        if not self.labels and self.cutoff is None and self.dimension != "quality":
            raise ValueError(f"{self.by}: state labels, or a threshold with its direction")
        return self

    def verdict(
        self, value: str | float | bool | None, status: str = "ok"
    ) -> tuple[str, str | None, float | None]:
        """Status, canonical label and score of a value."""
        score = self._score(value)
        if status != "ok":
            return (status if status in STATUSES else "error"), None, score
        if self.labels:
            label = {spelled(k): v for k, v in self.labels.items()}.get(spelled(value))
            return ("ok", label, score) if label else ("unparsed", None, score)
        if score is None or (self.scale and not self.scale[0] <= score <= self.scale[1]):
            return "unparsed", None, score
        if self.cutoff is None:
            return "ok", None, score
        positive = (score >= self.cutoff) == (self.direction == "from")
        return "ok", LABELS[self.dimension][-1 if positive else 0], score

    def _score(self, value: str | float | bool | None) -> float | None:
        """A value as a number; of a text only where it is numbers that were stated."""
        if isinstance(value, bool | int | float):
            return float(value)
        if self.labels or value is None:
            return None
        usual = 1.0 if self.cutoff is not None and self.cutoff <= 1 else 100.0
        return written_number(value, self.scale[1] if self.scale else usual)

    @property
    def words(self) -> str:
        """What is stated, in a line."""
        if self.labels:
            return ", ".join(f"{value} = {label}" for value, label in self.labels.items())
        if self.cutoff is None:
            return "a score without a threshold"
        ends = f"{self.scale[0]:g} to {self.scale[1]:g}, " if self.scale else ""
        return (
            f"{ends}{LABELS[self.dimension][-1]} {'from' if self.direction == 'from' else 'below'} "
            f"{self.cutoff:g}"
        )


def spelled(value: Any) -> str:
    """A value as `labels` names it: 1.0 and 1 alike, yes and Yes alike."""
    if isinstance(value, float) and value.is_integer():
        value = int(value) if not isinstance(value, bool) else value
    return str(value).strip().lower()


class ImportMapping(_Part):
    """How logs become a study."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    """of the study"""
    title: str = ""
    pattern: str = ""
    """where a path says which checkpoint it is, such as "{base}-{data}-s{seed}/checkpoint-{step}"."""
    aliases: dict[str, str] = Field(default_factory=dict)
    """what tools call a checkpoint -> what it is called here, or a path that the pattern can read"""
    places: dict[str, int] = Field(default_factory=dict)
    """a word that stands where a training step is expected, such as final -> the step that it is"""
    unplaced: tuple[str, ...] = ()
    """what stands there and looks like a step, but is counted otherwise than the rest of its path: none until
    `places` states one"""
    columns: dict[str, str] = Field(default_factory=dict)
    """of tables: field -> column"""
    goals: dict[str, float] = Field(default_factory=dict)
    """data set -> the accuracy at which recipes are compared"""
    benchmarks: dict[str, BenchmarkReading] = Field(default_factory=dict)
    """by what the logs call them"""
    judges: tuple[Reading, ...] = ()
    conflicts: Rule = ""
    """where files say different things of one output or number: whether the first or the last that was read
    counts; empty: neither"""

    @field_validator("pattern")
    @classmethod
    def _readable(cls, pattern: str) -> str:
        compiled(pattern)
        return pattern

    def benchmark(self, name: str, kind: str = "") -> BenchmarkReading:
        """What a benchmark of the logs is here."""
        usual = kind if kind in KINDS else UNKNOWN_KIND
        return self.benchmarks.get(name) or BenchmarkReading(name=name, kind=usual)  # type: ignore[arg-type]

    @property
    def read_by(self) -> tuple[object, ...]:
        """What decides how logs are read; the rest can be stated after they were looked at."""
        return self.pattern, self.aliases, self.places, self.unplaced, self.columns, self.benchmarks

    def step(self, text: str) -> int | None:
        """The step in a text; None where it has none, or one that somebody has to state."""
        if text in self.places:
            return self.places[text]
        return None if text in self.unplaced else whole_number(text)

    def settled(self, heard: Iterable[tuple[str, str]]) -> ImportMapping:
        """The mapping where a benchmark that nobody stated measures what its accepted readings speak of.

        Args:
            heard: each judge, as the logs call it, and the benchmark on which it was heard.
        """
        spoken: dict[str, set[str]] = {}
        for by, benchmark in heard:
            spoken.setdefault(benchmark, set()).update(r.dimension for r in self.readings(by, benchmark))
        benchmarks = {}
        for name, reading in self.benchmarks.items():
            said = spoken.get(name, set()) & {"safety", "correctness"}
            kind = {"safety": "safety", "correctness": "capability"}[said.pop()] if len(said) == 1 else ""
            if kind and reading.kind == UNKNOWN_KIND:
                reading = reading.model_copy(update={"kind": kind})
            benchmarks[name] = reading
        return self.model_copy(update={"benchmarks": benchmarks})

    def readings(self, by: str, benchmark: str) -> list[Reading]:
        """What a judge's values say on a benchmark; empty where nobody stated it."""
        mine = [r for r in self.judges if r.by == by and r.benchmark in ("", benchmark)]
        own = [r for r in mine if r.benchmark]
        return own or mine

    def to_toml(self) -> str:
        """The mapping as a file that reads back the same."""
        head = {
            "name": self.name,
            "title": self.title,
            "pattern": self.pattern,
            "conflicts": self.conflicts,
            "unplaced": list(self.unplaced),
        }
        text = "".join(
            f"{key} = {toml_table('x', {'v': value}).split(' = ', 1)[1]}"
            for key, value in head.items()
            if value
        )
        for table in ("aliases", "places", "columns", "goals"):
            text += toml_table(table, getattr(self, table))
        for name, reading in self.benchmarks.items():
            text += toml_table(f"benchmarks.{toml_key(name)}", reading.model_dump())
        for judge in self.judges:
            values = judge.model_dump(exclude_defaults=True)
            text += toml_table("[judges]", {**values, "scale": list(judge.scale) if judge.scale else None})
        return text


def parse_mapping(text: str, name: str = "mapping.toml") -> ImportMapping:
    """The mapping in a TOML text.

    Raises:
        CapsafeError: it is not a TOML, or states something that cannot be; every mistake is named.
    """
    try:
        values = parse_toml(text)
    except ValueError as error:
        raise CapsafeError(f"{name} is not valid TOML: {error}.", "Fix that line and try again.") from error
    try:
        return ImportMapping.model_validate(values)
    except ValidationError as error:
        problems = [
            f"  {'.'.join(str(p) for p in e['loc'])}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise CapsafeError(
            f"{name} states what cannot be:\n" + "\n".join(problems),
            "Fix it and try again; nothing was imported.",
        ) from error
