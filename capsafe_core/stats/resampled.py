"""Rates with their resamples, and the interval of a rate and of a difference of two.

Percentiles of resamples, but where few events tell a rate: there resamples vary too little (not at all at 0
and at 1), and no interval is narrower than Wilson's for as many independent outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt

from capsafe_core.stats.bootstrap import percentile_intervals
from capsafe_core.stats.intervals import FEW, newcombe, wilson

Floats = npt.NDArray[np.float64]
UNREACHED_LIMIT = 0.05
"""Above this share of resamples that do not have the rate, no interval is given."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class Resampled:
    """A rate and its resamples.

    Attributes:
        draws: (resamples,); NaN where a resample does not have the rate (its path does not reach the goal).
        n: independent outputs behind the rate: behaviours, where several outputs share one.
    """

    rate: float
    draws: Floats
    n: int

    @cached_property
    def missing(self) -> float:
        """The share of resamples that do not have it."""
        return float(np.isnan(self.draws).mean())

    @cached_property
    def effective(self) -> float:
        """How many independent outputs would spread as the resamples do.

        It is n where nothing tells (a rate of 0 or 1, or no spread), and at most twice n (a rate between two
        checkpoints has both of their answers).
        """
        spread, events = (
            float(np.nanvar(self.draws)) if self.missing < 1 else 0.0,
            self.rate * (1 - self.rate),
        )
        return float(self.n) if spread == 0 or events == 0 else min(events / spread, 2.0 * self.n)

    @property
    def few(self) -> bool:
        """Whether few events, or few non-events, tell it."""
        return min(self.rate, 1 - self.rate) * self.effective < FEW

    def interval(self, level: float = 0.95) -> Interval | None:
        """The interval of the rate; None without trials, and where too many resamples do not have it."""
        if np.isnan(self.rate) or self.missing > UNREACHED_LIMIT:
            return None
        found = percentile_intervals(self.draws[:, None], level)[0]
        if not (found and self.few):
            return found
        low, high = (float(x) for x in wilson(self.rate * self.effective, self.effective, level))
        return min(low, found[0]), max(high, found[1])


def difference(a: Resampled, b: Resampled, level: float = 0.95) -> Interval | None:
    """The interval of a's rate minus b's, resample by resample; None where one has no rate, or too many
    resamples lack one of them.

    Where few events tell one of them, or few outputs differ, it is at least Newcombe's for the outputs that
    only a and only b has an event in, as many of them as spread like the resamples.
    """
    draws, change = a.draws - b.draws, a.rate - b.rate
    if np.isnan(change) or np.isnan(draws).mean() > UNREACHED_LIMIT:
        return None
    found = percentile_intervals(draws[:, None], level)[0]
    n = min(a.n, b.n)
    differ = min(n**2 * float(np.nanvar(draws)) + n * change**2, float(n))
    if not (found and n and (a.few or b.few or differ < FEW)):
        return found
    only_a, only_b = (max(differ + sign * n * change, 0.0) / 2 for sign in (1, -1))
    low, high = newcombe(only_a, n, only_b, n, level) or found
    return min(low, found[0]), max(high, found[1])


def envelope(found: Sequence[Interval | None]) -> Interval | None:
    """The interval that holds all of these; None where one is missing."""
    known = [interval for interval in found if interval]
    if not known or len(known) < len(found):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def interval_of(variants: Sequence[Resampled], level: float = 0.95) -> Interval | None:
    """The interval of a rate that may be any of these: at a goal between two checkpoints far apart, theirs
    too."""
    return envelope([variant.interval(level) for variant in variants])


def difference_between(
    a: Sequence[Resampled], b: Sequence[Resampled], level: float = 0.95
) -> Interval | None:
    """The interval of the difference of two rates, each of which may be any of its variants."""
    return envelope([difference(one, two, level) for one, two in product(a, b)])
