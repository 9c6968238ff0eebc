"""What files of other tools cannot know: which checkpoint each log is about, and what each judge's values
say. A TOML file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from capsafe_core.errors import CapsafeError
from capsafe_core.patterns import Pattern, linear
from capsafe_core.records import LABELS, STATUSES
from capsafe_core.toml_text import toml_key, toml_table
from capsafe_core.values import parse_toml

PLACES = ("base", "data", "method", "recipe", "seed", "step", "model", "benchmark", "judge", "attack")
"""what a path pattern can name"""
Kind = Literal["capability", "safety", "over_refusal"]
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
                f"{wrong[0]!r} is no label of {self.dimension} (there are: "
                f"{', '.join(LABELS[self.dimension]) or 'none'})"
            )
        if not self.labels and self.cutoff is None and self.dimension != "quality":
            raise ValueError(f"{self.by}: state labels, or a cut-off with its direction")
        return self

    def verdict(
        self, value: str | float | bool | None, status: str = "ok"
    ) -> tuple[str, str | None, float | None]:
        """Status, canonical label and score of a value."""
        score = float(value) if isinstance(value, bool | int | float) else None
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

    @property
    def words(self) -> str:
        """What is stated, in a line."""
        if self.labels:
            return ", ".join(f"{value} = {label}" for value, label in self.labels.items())
        if self.cutoff is None:
            return "a score without a cut-off"
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
    columns: dict[str, str] = Field(default_factory=dict)
    """of tables: field -> column"""
    goals: dict[str, float] = Field(default_factory=dict)
    """data set -> the accuracy at which recipes are compared"""
    benchmarks: dict[str, BenchmarkReading] = Field(default_factory=dict)
    """by what the logs call them"""
    judges: tuple[Reading, ...] = ()

    @field_validator("pattern")
    @classmethod
    def _readable(cls, pattern: str) -> str:
        compiled(pattern)
        return pattern

    def benchmark(self, name: str, kind: str = "") -> BenchmarkReading:
        """What a benchmark of the logs is here."""
        usual = kind if kind in ("capability", "over_refusal") else "safety"
        return self.benchmarks.get(name) or BenchmarkReading(name=name, kind=usual)  # type: ignore[arg-type]

    def readings(self, by: str, benchmark: str) -> list[Reading]:
        """What a judge's values say on a benchmark; empty where nobody stated it."""
        mine = [r for r in self.judges if r.by == by and r.benchmark in ("", benchmark)]
        own = [r for r in mine if r.benchmark]
        return own or mine

    def to_toml(self) -> str:
        """The mapping as a file that reads back the same."""
        head = {"name": self.name, "title": self.title, "pattern": self.pattern}
        text = "".join(
            f"{key} = {toml_table('x', {'v': value}).split(' = ', 1)[1]}"
            for key, value in head.items()
            if value
        )
        for table in ("aliases", "columns", "goals"):
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
        CapsafeError: it is no TOML, or states something that cannot be; every mistake is named.
    """
    try:
        values = parse_toml(text)
    except ValueError as error:
        raise CapsafeError(f"{name} is not valid TOML: {error}.", "Mend that line and try again.") from error
    try:
        return ImportMapping.model_validate(values)
    except ValidationError as error:
        problems = [
            f"  {'.'.join(str(p) for p in e['loc'])}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise CapsafeError(
            f"{name} states what cannot be:\n" + "\n".join(problems),
            "Mend it and try again; nothing was imported.",
        ) from error


LONGEST_PATTERN = 500
"""characters"""
LONGEST_PATH = 4096
"""characters of a path or a model's name that is looked at"""


def compiled(pattern: str) -> Pattern | None:
    """A path pattern as a regular expression: names stand for the text between the characters around them,
    seed and step for whole numbers, * for anything in a folder's name.

    Raises:
        ValueError: it names something unknown, or the same thing twice.
    """
    if not pattern:
        return None
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"the pattern is longer than {LONGEST_PATTERN} characters")
    names = re.findall(r"\{([^{}]*)\}", pattern)
    unknown = [n for n in names if n not in PLACES]
    if unknown or len(set(names)) < len(names):
        raise ValueError(
            f"the pattern names {{{unknown[0]}}}; it can name {', '.join(PLACES)}"
            if unknown
            else "the pattern names something twice"
        )
    parts = re.split(r"(\{[^{}]*\}|\*)", pattern)
    body = "".join(
        "[^/]*?"
        if part == "*"
        else f"(?P<{part[1:-1]}>{r'[0-9]+' if part[1:-1] in ('seed', 'step') else '[^/]+?'})"
        if part.startswith("{")
        else re.escape(part)
        for part in parts
    )
    try:
        return linear(rf"(?:^|/){body}(?:\Z|/|\.(?:eval|jsonl?|csv|tsv|parquet)\Z)")
    except CapsafeError as error:
        raise ValueError(str(error)) from error


def path_facts(pattern: str, *texts: str) -> dict[str, str]:
    """What the first of some paths that fits the pattern says; empty where none fits."""
    expression = compiled(pattern)
    if expression is None:
        return {}
    for text in texts:
        found = expression.first(text) if len(text) <= LONGEST_PATH else {}
        if found:
            return found
    return {}


_STEP = re.compile(
    r"(?P<word>(?:global_?)?step|checkpoint|ckpt|epoch)(?P<between>[-_=]?)(?P<step>\d+)", re.IGNORECASE
)
_SEED = re.compile(r"(?P<before>.*?)(?P<word>[-_](?:seed|s))(?P<between>[-_=]?)(?P<seed>\d+)$", re.IGNORECASE)


def guess_pattern(paths: Iterable[str]) -> str:
    """The pattern that most paths fit; "" where no path names a training step."""
    found = Counter(guess for guess in (_guess(path) for path in paths) if guess)
    return found.most_common(1)[0][0] if found else ""


def _guess(path: str) -> str:
    segments = path.split("/")
    for i in range(len(segments) - 1, -1, -1):
        stem = segments[i]
        step = _STEP.search(stem)
        if not step:
            continue
        named = f"{step['word']}{step['between']}{{step}}"
        before = stem[: step.start()].rstrip("-_")
        joint = stem[len(before) : step.start()]
        if before:
            return _recipe(before) + joint + named + ("*" if stem[step.end() :].rpartition(".")[0] else "")
        return f"{_recipe(segments[i - 1])}/{named}" if i else named
    return ""


def _recipe(name: str) -> str:
    seed = _SEED.match(name)
    rest = seed["before"] if seed else name
    tail = f"{seed['word']}{seed['between']}{{seed}}" if seed else ""
    parts = re.split(r"[-_]", rest)
    if len(parts) == 2:
        return f"{{base}}{rest[len(parts[0])]}{{data}}{tail}"
    return f"{{recipe}}{tail}"


@dataclass(frozen=True)
class Place:
    """Which checkpoint a log is about: a start, or a step of a recipe."""

    start: str
    recipe: str = ""
    data: str = ""
    seed: int = 0
    step: int = 0

    @property
    def name(self) -> str:
        return f"{self.recipe} s{self.seed} step {self.step}" if self.recipe and self.step else self.start


def placed(
    mapping: ImportMapping, model: str, adapter: str, facts: Mapping[str, str], relative: str
) -> Place | None:
    """The checkpoint of a log; None where neither the file nor its path names a model, or where its step or
    seed is no whole number.

    An adapter is never taken for the model that it stands on: where nobody says its step, it is a checkpoint
    of its own.
    """
    names = [mapping.aliases.get(n, n) for n in (relative, adapter, model) if n]
    renamed = [mapping.aliases[n] for n in (relative, adapter, model) if n in mapping.aliases]
    known = {**facts, **path_facts(mapping.pattern, *renamed, *names)}
    if adapter and "step" not in known:
        known = {**path_facts(guess_pattern([adapter]), adapter), **known}
    start = known.get("base") or known.get("model") or next(iter(renamed), model)
    step, seed = whole_number(known.get("step", "")), whole_number(known.get("seed", "0"))
    if ("step" in known and step is None) or seed is None:
        return None
    if step is None:
        if adapter and not renamed:
            start = f"{start} + {adapter}" if start else adapter
        return Place(start) if start else None
    recipe = (
        known.get("recipe")
        or "-".join(known[k] for k in ("base", "data", "method") if known.get(k))
        or mapping.aliases.get(adapter, adapter)
        or (f"{start} fine-tuned" if start else "")
    )
    if not recipe:
        return None
    return Place(start or f"start of {recipe}", recipe, known.get("data") or recipe, seed, step)


def whole_number(text: str) -> int | None:
    """The number in texts such as 100, 100.0, 1e3, step-100; None where there is none, or a broken one."""
    named = re.fullmatch(r"[A-Za-z_]*[-_=]?(\d{1,9})", text.strip())
    if named:
        return int(named.group(1))
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() and 0 <= value < 1e9 else None
