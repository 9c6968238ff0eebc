"""Which checkpoint a log is about: what a path's pattern and a file say, and which step a place is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capsafe_core.errors import CapsafeError
from capsafe_core.patterns import Pattern, linear

if TYPE_CHECKING:
    from capsafe_core.mapping import ImportMapping

PLACES = ("base", "data", "method", "recipe", "seed", "step", "model", "benchmark", "judge", "attack")
"""what a path pattern can name"""
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

    An adapter is never taken for the model that it stands on, nor a checkpoint for its base: where nobody
    says its step, it is a checkpoint of its own.
    """
    names = [mapping.aliases.get(n, n) for n in (relative, adapter, model) if n]
    renamed = [mapping.aliases[n] for n in (relative, adapter, model) if n in mapping.aliases]
    stated = path_facts(mapping.pattern, *renamed, *names)
    known = {**facts, **stated}
    if adapter and "step" not in known:
        known = {**path_facts(guess_pattern([adapter]), adapter), **known}
    named = next(iter(renamed), model)
    start = known.get("base") or known.get("model") or named
    step, seed = step_of(mapping.places, known.get("step", "")), whole_number(known.get("seed", "0"))
    if ("step" in known and step is None) or seed is None:
        return None
    if step is None:
        if named and not stated and "model" not in known and (renamed or not adapter):
            start = named
        if adapter and not renamed:
            start = f"{start} + {adapter}" if start else adapter
        return Place(start) if start else None
    recipe = known.get("recipe") or _path_name(known, "" if stated else model, adapter, mapping.aliases)
    recipe = recipe or (f"{start} fine-tuned" if start else "")
    if not recipe:
        return None
    return Place(start or f"start of {recipe}", recipe, known.get("data") or recipe, seed, step)


def _path_name(known: Mapping[str, str], model: str, adapter: str, aliases: Mapping[str, str]) -> str:
    """What a path through training is called that has no name: by its parts, or by the model that a file
    names beside its base."""
    parts = [known[k] for k in ("base", "data", "method") if known.get(k)]
    if parts == [known.get("base")] and model and model != known["base"]:
        return aliases.get(model, model)
    return "-".join(parts) or aliases.get(adapter, adapter)


def step_of(places: Mapping[str, int], text: str) -> int | None:
    """The step in a text: as it is stated, or a whole number; None where there is none."""
    return places[text] if text in places else whole_number(text)


FEW = 1000
"""steps that an epoch is counted as, where places on a path are parts of one"""


def guess_places(paths: Iterable[Mapping[str, str]]) -> dict[str, int]:
    """Steps for places that are fractions: epochs, or shares of the training.

    Args:
        paths: of each path, what stands where a step is expected -> the column or key that says it.

    Returns:
        Thousandths of an epoch or of the training for every place of such a path, so that they stay in order;
        nothing for a path whose places are whole numbers, or whose fractions are neither epochs nor shares.
    """
    guessed: dict[str, int] = {}
    whole: set[str] = set()
    for labels in paths:
        values = {label: v for label in labels if (v := _number(label)) is not None}
        fractions = any(not v.is_integer() for v in values.values())
        epochs = all("epoch" in labels[label].lower() for label in values)
        if fractions and (epochs or max(values.values()) <= 1):
            guessed |= {label: round(v * FEW) for label, v in values.items()}
        else:
            whole |= set(values)
    return {} if whole & set(guessed) else guessed


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1e6 else None


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
