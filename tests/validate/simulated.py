"""What simulated studies share: a study, how answers go together, how often an interval holds the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float] | None
Study = Callable[[np.random.Generator], tuple[float, Interval, float]]
"""A study: its estimate, interval (None where none is given) and the truth."""
STUDIES = 1000


def answers(
    chance: np.random.Generator, rates: Floats, items: int, per_item: int = 1, shared: float = 0.6
) -> Floats:
    """(checkpoints, items, per_item) of 0 and 1 with planted rates; an item's answers go together across
    checkpoints and within it."""
    hard = chance.normal(size=(1, items, 1))
    own = chance.normal(size=(len(rates), items, per_item))
    return (np.sqrt(shared) * hard + np.sqrt(1 - shared) * own < norm.ppf(rates)[:, None, None]).astype(float)


class Promise(StrEnum):
    """What a line promises of its 95 % intervals, or of what it says falsely."""

    CLAIMED = "claimed"
    CONSERVATIVE = "conservative"
    """at least 93 %: wider by design, and the screen says why"""
    REPORTED = "reported"
    FALSE_VERBS = "false verbs"
    """of studies in which nothing differs, in at most 6 % a verb is said"""


BOUNDS = {
    Promise.CLAIMED: (0.93, 0.97),
    Promise.CONSERVATIVE: (0.93, 1.0),
    Promise.REPORTED: (0.0, 1.0),
    Promise.FALSE_VERBS: (0.94, 1.0),
}
"""how often intervals hold the truth (no verb is said, where there is none)"""


@dataclass(frozen=True)
class Coverage:
    """How often an interval held the truth, and how far the estimate was off on average."""

    name: str
    promise: Promise
    studies: int
    covered: float
    bias: float

    @property
    def holds(self) -> bool:
        low, high = BOUNDS[self.promise]
        return low <= self.covered <= high


def coverage(
    name: str, study: Study, promise: Promise = Promise.CLAIMED, studies: int = STUDIES, seed: int = 0
) -> Coverage:
    """Simulate one kind of study; those without an interval are left out.

    Raises:
        ValueError: hardly any study has an interval.
    """
    chance = np.random.default_rng(seed)
    inside, off = [], []
    tries = 10 * studies
    for _ in range(tries):
        estimate, interval, truth = study(chance)
        if interval is not None:
            inside.append(interval[0] <= truth <= interval[1])
            off.append(estimate - truth)
        if len(inside) == studies:
            return Coverage(name, promise, studies, float(np.mean(inside)), float(np.mean(off)))
    raise ValueError(f"{name}: {len(inside)} of {tries} studies have an interval")
