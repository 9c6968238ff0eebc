"""Which checkpoint a log is about: what a path's pattern and a file say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capsafe_core.errors import CapsafeError
from capsafe_core.path_steps import counted, whole_number
from capsafe_core.patterns import Pattern, linear

if TYPE_CHECKING:
    from capsafe_core.mapping import ImportMapping

PLACES = ("base", "data", "method", "recipe", "seed", "step", "model", "benchmark", "judge", "attack")
"""what a path pattern can name"""
LONGEST_PATTERN = 500
"""characters"""
_NUMBERS = {"seed": "[0-9]+", "step": r"[0-9]+(?:\.[0-9]+)?"}
"""what stands for numbers in a path"""
LONGEST_PATH = 4096
"""characters of a path or a model's name that is looked at"""


def compiled(pattern: str) -> Pattern | None:
    """A path pattern as a regular expression: names stand for the text between the characters around them,
    seed for a whole number, step for a number, * for anything in a folder's name.

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
        else f"(?P<{part[1:-1]}>{_NUMBERS.get(part[1:-1], '[^/]+?')})"
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
    r"(?P<word>(?:global_?)?step|checkpoint|ckpt|epoch)(?P<between>[-_=]?)(?P<step>\d+(?:\.\d+)?)",
    re.IGNORECASE,
)
_SEED = re.compile(r"(?P<before>.*?)(?P<word>[-_](?:seed|s))(?P<between>[-_=]?)(?P<seed>\d+)$", re.IGNORECASE)


def guess_pattern(paths: Iterable[str]) -> str:
    """The pattern that most paths fit; "" where no path names a training step."""
    found = Counter(guess for guess in (_guess(path) for path in paths) if guess)
    return found.most_common(1)[0][0] if found else ""


def folder_facts(path: str) -> dict[str, str]:
    """What the folder of a checkpoint's weights says of it: its step, and its recipe or base and data. Empty
    where the last folder is not a place on a path, such as the model of an organisation, org/Step3."""
    above, _, last = path.rstrip("/").rpartition("/")
    apart = re.search(r"[-_=]", last) or "/" in above
    count = counted(last) if above and apart and len(path) <= LONGEST_PATH else None
    return facts_in_path(path) if count and count.unit else {}


def facts_in_path(path: str) -> dict[str, str]:
    """What a path that names a training step says of it: the step with the word that says what it counts, and
    its recipe or base and data. Empty where it names none."""
    plain = path.rstrip("/")
    pattern = _guess(plain)
    found = path_facts(pattern, plain)
    unit = re.search(r"[A-Za-z_]+[-_=]?(?=\{step\})", pattern)
    return {**found, "step": f"{unit.group()}{found['step']}"} if found and unit else found


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
    seed is not a whole number.

    An adapter is never taken for the model that it stands on, nor a checkpoint for its base: where nobody
    says its step, it is a checkpoint of its own. An alias of all that is told of it (`told_in_full`) names it
    where its plain name is another's, too.
    """
    full = told_in_full(model, adapter, facts)
    names = [mapping.aliases.get(n, n) for n in (relative, adapter, model) if n]
    renamed = [mapping.aliases[n] for n in (relative, adapter, model) if n in mapping.aliases]
    in_full = "" if full in (relative, adapter, model) else mapping.aliases.get(full, "")
    stated = path_facts(mapping.pattern, *renamed, *names)
    known = {**facts, **stated}
    if adapter and "step" not in known:
        known = {**facts_in_path(adapter), **known}
    named = next(iter(renamed), model)
    start = known.get("base") or known.get("model") or named
    step, seed = mapping.step(known.get("step", "")), whole_number(known.get("seed", "0"))
    if ("step" in known and step is None) or seed is None:
        return None
    if step is None:
        if named and not stated and "model" not in known and (renamed or not adapter):
            start = named
        elif facts.get("recipe") and not (named or adapter or stated):
            start = full
        if adapter and not renamed:
            start = f"{start} + {adapter}" if start else adapter
        start = in_full or start
        return Place(start) if start else None
    recipe = in_full or known.get("recipe")
    recipe = recipe or _path_name(known, "" if stated else model, adapter, mapping.aliases)
    recipe = recipe or (f"{start} fine-tuned" if start else "")
    if not recipe:
        return None
    return Place(start or f"start of {recipe}", recipe, known.get("data") or recipe, seed, step)


TOLD = ("base", "recipe", "data")
"""facts that tell two checkpoints of one name apart"""
Told = dict[str, dict[str, str]]
"""All that logs say of a checkpoint, as a name -> its `name` here, and each of TOLD."""


def told_in_full(model: str, adapter: str, facts: Mapping[str, str]) -> str:
    """All that a log says of its checkpoint but its step and seed, as a name."""
    parts = (facts.get("base"), model, adapter, facts.get("data"), facts.get("recipe"))
    return " + ".join(dict.fromkeys(part for part in parts if part))


def names_in_full(told: Told, known: Told, aliases: Mapping[str, str]) -> dict[str, str]:
    """Aliases for the checkpoints that share a name although their bases, data or methods differ.

    Args:
        known: what earlier imports were told: those checkpoints keep their names.
        aliases: as they are stated.
    """
    of_name: dict[str, dict[str, dict[str, str]]] = {}
    for full, facts in {**told, **known}.items():
        of_name.setdefault(facts["name"], {})[full] = facts
    found = {full: known[full]["name"] for full in told if full in known}
    found = {full: name for full, name in found.items() if name != told[full]["name"]}
    for together in of_name.values():
        values = [{facts[k] for facts in together.values() if facts[k]} for k in TOLD]
        if any(len(v) > 1 for v in values):
            found |= {full: full for full in together if full not in known}
    return {full: name for full, name in found.items() if full not in aliases}


def _path_name(known: Mapping[str, str], model: str, adapter: str, aliases: Mapping[str, str]) -> str:
    """What a path through training is called that has no name: by its parts, or by the model that a file
    names beside its base."""
    parts = [known[k] for k in ("base", "data", "method") if known.get(k)]
    if parts == [known.get("base")] and model and model != known["base"]:
        return aliases.get(model, model)
    return "-".join(parts) or aliases.get(adapter, adapter)
