"""Which step of a training's path a text names: step-100, 2k, epoch_2.5, 25%."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FEW = 1000
"""steps that an epoch is counted as, where places on a path are parts of one"""
_PART = re.compile(
    r"(?P<before>[a-z]+(?:[-_ ][a-z]+)*)?[-_=:# ]*"
    r"(?P<number>\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?(?:e\+?\d{1,2})?)"
    r"(?P<scale>[kmb](?![a-z]))?"
    r"(?:[-_ ]?(?P<after>%|steps?|epochs?|iter(?:ation)?s?|tokens?)(?![a-z]|[-_=: ]*\d))?"
)
_SCALES = {"k": 1e3, "m": 1e6, "b": 1e9}
_UNITS = {
    **dict.fromkeys(("step", "steps", "checkpoint", "ckpt", "chkpt", "cp"), "steps"),
    **dict.fromkeys(("iter", "iters", "iteration", "iterations", "it", "update", "updates"), "steps"),
    **dict.fromkeys(("epoch", "epochs", "ep", "e"), "epochs"),
    **dict.fromkeys(("token", "tokens"), "tokens"),
    "%": "shares",
}
"""the words beside a number -> what they count"""
_ENDING = re.compile(r"\.(?:ckpt|pth?|bin|safetensors)$")
MOST = 1e9
"""steps, from where on a number is not a step"""


@dataclass(frozen=True)
class Count:
    """How far a training had got.

    Attributes:
        unit: steps, epochs, tokens or shares; "" where the text does not say.
        named: whether another word stands beside the number, so that it may count something else: llama2.
    """

    value: float
    unit: str
    named: bool


def counted(text: str) -> Count | None:
    """The count in a text, whatever stands between word and number; of several the one of steps. None where
    there is none, or several that say the same."""
    plain = _ENDING.sub("", text.strip().lower())
    parts = list(_PART.finditer(plain))
    if not parts or plain[0] in "-+" or _PART.sub("", plain).strip("-_=,/ "):
        return None
    counts = [_count(part) for part in parts]
    if len(counts) > 1 and all(c.unit or c.named for c in counts):  # not the parts of a date
        counts = [c for c in counts if c.unit == "steps"]
    return counts[0] if len(counts) == 1 else None


def _count(part: re.Match[str]) -> Count:
    value = float(part["number"].replace(",", "")) * _SCALES.get(part["scale"] or "", 1)
    word = part["after"] or re.split("[-_ ]", part["before"] or "")[-1]
    unit = _UNITS.get(word, "")
    if unit == "shares":
        value /= 100
    return Count(value, unit, (bool(word) or part["scale"] == "b") and not unit)


def numbers_in(text: str) -> tuple[float, ...]:
    """All counts in a text: two that name the same step are the same place where they agree in them."""
    return tuple(sorted(_count(part).value for part in _PART.finditer(_ENDING.sub("", text.strip().lower()))))


def is_place(text: str) -> bool:
    """Whether a text says how far a training had got, and nothing else."""
    count = counted(text)
    return count is not None and not count.named


def timed(text: str) -> bool:
    """Whether a text counts how far a training had got beyond its beginning, which is the same in every
    unit."""
    count = counted(text)
    return count is not None and count.value > 0


def whole_number(text: str) -> int | None:
    """The number in texts such as 100, 100.0, 1e3, 2k, step-100; None where there is none, or a broken
    one."""
    count = counted(text)
    return int(count.value) if count and count.value.is_integer() and count.value < MOST else None


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
        counts = {label: c for label in labels if (c := counted(label)) is not None and c.value < MOST / FEW}
        fractions = any(not c.value.is_integer() for c in counts.values())
        epochs = all("epochs" in (c.unit, _unit_by(labels[label])) for label, c in counts.items())
        if fractions and (epochs or max(c.value for c in counts.values()) <= 1):
            guessed |= {label: round(c.value * FEW) for label, c in counts.items()}
        else:
            whole |= set(counts)
    return {} if whole & set(guessed) else guessed


def mixed_units(labels: Mapping[str, str]) -> list[str]:
    """What the places of one path are counted in, where that is not one and the same; empty where it is: the
    beginning is the same in every unit.

    Args:
        labels: what stands where a step is expected -> the column, key or pattern that says it.
    """
    units = {
        count.unit or _unit_by(by)
        for label, by in labels.items()
        if (count := counted(label)) is not None and timed(label)
    }
    return sorted(units - {""}) if len(units - {""}) > 1 else []


def _unit_by(name: str) -> str:
    """What a column, a key or a pattern counts, by its name; "" where that does not say."""
    plain = name.lower().replace("{step}", "")
    return next((_UNITS[word] for word in ("epoch", "token", "step") if word in plain), "")
