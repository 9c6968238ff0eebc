"""Comparing at a capability goal: where a path crosses it, and what safety it has there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from capsafe_core.specification import UPWARD
from capsafe_core.stats.distributions import normal_quantile

Floats = npt.NDArray[np.float64]


def crossing(
    capability: npt.ArrayLike, goal: float, rule: str = "first", unsafe: npt.ArrayLike | None = None
) -> Floats:
    """Where capability along a path crosses a goal, as a place on the list of checkpoints.

    A place of 2.25 lies a quarter of the way from checkpoint 2 to checkpoint 3. Between two checkpoints the
    path is a straight line along training step; nothing is extrapolated.

    Args:
        capability: (..., steps), in order of training step.
        goal: the capability at which to compare.
        rule: one of `UPWARD`. A path that starts at or above the goal crosses at 0.
        unsafe: (..., steps) unsafe rates; only the rule "safest" looks at them.

    Returns:
        (...) places; NaN where the goal is not reached.

    Raises:
        ValueError: there is no such rule, or "safest" has no unsafe rates.
    """
    if rule not in UPWARD:
        raise ValueError(f"no crossing rule {rule!r}; use one of {', '.join(UPWARD)}")
    if rule == "safest" and unsafe is None:
        raise ValueError("the rule 'safest' needs unsafe rates")
    shape = np.shape(capability)[:-1]
    a = np.atleast_2d(np.asarray(capability, dtype=float))
    above = a >= goal
    up = np.concatenate([above[:, :1], above[:, 1:] & ~above[:, :-1]], axis=1)
    steps, rows = a.shape[1], np.arange(len(a))
    if rule == "safest":
        risk = np.broadcast_to(np.asarray(unsafe, dtype=float), a.shape)
        there = [
            at_place(risk, np.where(up[:, j], _place(a, rows, np.full(len(a), j), goal), np.nan))
            for j in range(steps)
        ]
        right = np.argmin(np.nan_to_num(np.stack(there, axis=1), nan=np.inf), axis=1)
    else:
        right = np.argmax(up, axis=1) if rule == "first" else steps - 1 - np.argmax(up[:, ::-1], axis=1)
    return np.where(up.any(axis=1), _place(a, rows, right, goal), np.nan).reshape(shape)


def _place(a: Floats, rows: npt.NDArray[np.int64], right: npt.NDArray[np.int64], goal: float) -> Floats:
    """Where the line that ends at checkpoint `right` has the goal."""
    left = np.maximum(right - 1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(
            np.where(right == 0, 0.0, left + (goal - a[rows, left]) / (a[rows, right] - a[rows, left]))
        )


def at_place(values: npt.ArrayLike, place: npt.ArrayLike) -> Floats:
    """Values along a path at places between its checkpoints, by straight lines.

    Args:
        values: (..., steps).
        place: (...), as `crossing` gives them; NaN stays NaN.
    """
    v = np.asarray(values, dtype=float)
    where = np.asarray(place, dtype=float)
    known = np.where(np.isnan(where), 0.0, where)
    left = np.floor(known).astype(int)
    right = np.minimum(left + 1, v.shape[-1] - 1)
    share = known - left
    low = np.take_along_axis(v, left[..., None], -1)[..., 0]
    high = np.take_along_axis(v, right[..., None], -1)[..., 0]
    # a checkpoint without a rate does not matter where the path passes exactly through the other
    mixed = np.where(share == 0, low, (1 - share) * low + share * high)
    return np.where(np.isnan(where), np.nan, mixed)


def share_gained(capability: npt.ArrayLike, start: npt.ArrayLike, goal: npt.ArrayLike) -> Floats:
    """(a - a_start) / (goal - a_start): the axis on which different capabilities can be laid side by side.

    Args:
        capability, start, goal: of shapes that fit together; where the start has the goal already the share
            is NaN.
    """
    a, first, target = (np.asarray(x, dtype=float) for x in (capability, start, goal))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(target <= first, np.nan, (a - first) / (target - first)))


def plateau(observed: npt.ArrayLike, draws: Floats, level: float = 0.95) -> bool:
    """Whether a capability measure does not separate these checkpoints.

    The largest difference between two checkpoints is compared with what resampling alone gives when every
    checkpoint has the same capability (draws centred on what was observed).

    Args:
        observed: (checkpoints,) capability.
        draws: (resamples, checkpoints) the same under a bootstrap with shared weights.
        level: the quantile of the centred largest differences that the observed one must exceed.
    """
    a = np.asarray(observed, dtype=float)
    centred = draws - a
    return bool(np.ptp(a) <= np.quantile(np.ptp(centred, axis=1), level))


def detectable(observed: npt.ArrayLike, draws: Floats, level: float = 0.95, power: float = 0.8) -> float:
    """The difference in capability between two checkpoints that `plateau` sees in a share `power` of studies.

    The quantile that the largest difference must exceed, and what resampling spreads a difference of two by.

    Args:
        observed, draws, level: as for `plateau`.
    """
    centred = draws - np.asarray(observed, dtype=float)
    apart = [centred[:, i] - centred[:, j] for i in range(centred.shape[1]) for j in range(i)]
    spread = float(np.sqrt(np.mean([d.var() for d in apart]))) if apart else 0.0
    return float(np.quantile(np.ptp(centred, axis=1), level)) + normal_quantile(power) * spread


def pareto_probability(capability: Floats, unsafe: Floats) -> Floats:
    """For each point the share of resamples in which no other has at least its capability and at most its
    unsafe rate, one of them strictly better.

    Args:
        capability, unsafe: (resamples, points); a NaN takes the point out of that resample.

    Returns:
        (points,); NaN for a point that is in no resample.
    """
    known = ~(np.isnan(capability) | np.isnan(unsafe))
    a, s = np.where(known, capability, -np.inf), np.where(known, unsafe, np.inf)
    beaten = np.stack(
        [
            ((a >= a[:, [i]]) & (s <= s[:, [i]]) & ((a > a[:, [i]]) | (s < s[:, [i]]))).any(axis=1)
            for i in range(a.shape[1])
        ],
        axis=1,
    )
    with np.errstate(invalid="ignore"):
        return np.asarray(
            (known & ~beaten).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)
        )
