"""Intervals for rates and their differences."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from capsafe_core.stats.distributions import normal_quantile, normal_tail

Floats = npt.NDArray[np.float64]
FEW = 5
"""With fewer effective events, or non-events, an interval by resamples or by a standard error is too narrow,
and is at least Wilson's."""


def wilson(count: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson's score interval of a rate (Wilson 1927).

    Args:
        count: events, any shape.
        n: trials, the same shape; where it is 0 the interval is NaN.
        level: coverage.

    Returns:
        Lower and upper bound, each of the given shape, within [0, 1].

    Raises:
        ValueError: a count is negative or above its n.
    """
    k, total = np.broadcast_arrays(np.asarray(count, dtype=float), np.asarray(n, dtype=float))
    if np.any(k < 0) or np.any(k > total):
        raise ValueError("counts must lie between 0 and n")
    z = normal_quantile(0.5 + level / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = k / total
        centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
        half = z * np.sqrt(p * (1 - p) / total + z**2 / (4 * total**2)) / (1 + z**2 / total)
    low = np.where(k == 0, np.where(total > 0, 0.0, np.nan), centre - half)
    high = np.where(k == total, np.where(total > 0, 1.0, np.nan), centre + half)
    return low, high


def missing_bounds(count: int, n: int, missing: int) -> tuple[float, float] | None:
    """The rate if every judgment that is not a verdict were a non-event, and if it were an event; None
    without items."""
    total = n + missing
    return (count / total, (count + missing) / total) if total else None


def newcombe(
    count_1: float, n_1: float, count_2: float, n_2: float, level: float = 0.95
) -> tuple[float, float] | None:
    """Interval of the difference of two independent rates, rate 1 minus rate 2, from their Wilson intervals
    (Newcombe 1998, method 10).

    It does not collapse where both rates are 0 or 1, as the bootstrap does.

    Returns:
        Lower and upper bound within [-1, 1]; None where a rate has no trials.

    Raises:
        ValueError: a count is negative or above its n.
    """
    if n_1 == 0 or n_2 == 0:
        return None
    (low_1, high_1), (low_2, high_2) = (
        tuple(map(float, wilson(c, n, level))) for c, n in ((count_1, n_1), (count_2, n_2))
    )
    one, two = count_1 / n_1, count_2 / n_2
    return one - two - float(np.hypot(one - low_1, high_2 - two)), one - two + float(
        np.hypot(high_1 - one, two - low_2)
    )


def interval_p(estimate: float, low: float, high: float, level: float = 0.95) -> float:
    """Two-sided p-value of an estimate, from its interval (Altman and Bland 2011): normal, by the end that
    lies towards zero, so that it is below 1 - level exactly where the interval leaves zero out."""
    half = estimate - low if estimate > 0 else high - estimate
    if half <= 0:
        return 1.0 if estimate == 0 else 0.0
    return 2 * normal_tail(abs(estimate) / half * normal_quantile(0.5 + level / 2))
