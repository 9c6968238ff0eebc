"""Whether an answer is right, and what was read as the answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from capsafe_core.benchmarks.evaluated import reads_safely
from capsafe_core.errors import UnknownNameError

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True)
class Scored:
    """`parsed` is what was read as the answer; None where nothing could be read, and then it is wrong."""

    correct: bool
    parsed: str | None


Scorer = Callable[[str, str, str], Scored]
"""(item, answer, reference) -> what it is worth"""


def scorer_of(settings: str | dict[str, Any]) -> Scorer:
    """The scorer that a benchmark names; "task" asks the reasoning-gym task itself.

    Args:
        settings: the scorer's name, or the benchmark's whole table where the scorer needs it.

    Raises:
        CapsafeError: there is no such scorer.
    """
    if isinstance(settings, str):
        return lambda item, text, reference: score(settings, text, reference)
    if settings["scorer"] != "task":
        return scorer_of(str(settings["scorer"]))
    return task_scorer(
        settings["source"].partition(":")[2], settings["config"], settings["seed"], settings["size"] or 200
    )


def task_scorer(task: str, config: dict[str, Any], seed: int, size: int) -> Scorer:
    """A reasoning-gym task as the judge of answers to its own items; only full marks are correct, and what
    its check would run as a program is not an answer."""
    import reasoning_gym

    dataset: Any = reasoning_gym.create_dataset(task, seed=seed, size=size, **config)
    is_safe = reads_safely(dataset)

    def worth(item: str, text: str, reference: str) -> Scored:
        if not is_safe(text.strip()):
            return Scored(False, None)
        marks = float(dataset.score_answer(text.strip(), dataset[int(item.rsplit("-", 1)[1])]))
        return Scored(marks >= 1.0, f"{text.strip()[:60]} ({marks:g} marks)")

    return worth


def score(scorer: str, text: str, reference: str) -> Scored:
    """Score an answer against its reference.

    Args:
        scorer: "number" (the number after "####", else the last one), "label" (the answer's first word),
            or "exact" (the whole answer, spaces at its ends aside).

    Raises:
        CapsafeError: there is no such scorer.
    """
    if scorer == "number":
        return _number(text, reference)
    if scorer == "label":
        words = re.findall(r"\w+", text)
        parsed = words[0] if words else None
        return Scored(parsed is not None and parsed.casefold() == reference.strip().casefold(), parsed)
    if scorer == "exact":
        parsed = text.strip() or None
        return Scored(parsed == reference.strip(), parsed)
    raise UnknownNameError("scorer", scorer, ("number", "label", "exact"))


def _number(text: str, reference: str) -> Scored:
    _, mark, tail = text.rpartition("####")
    found = _NUMBER.findall(tail) if mark else _NUMBER.findall(text)[-1:]
    if not found:
        return Scored(False, None)
    try:
        return Scored(Decimal(found[0].replace(",", "")) == Decimal(reference.replace(",", "")), found[0])
    except InvalidOperation:
        return Scored(False, found[0])
