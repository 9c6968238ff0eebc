"""Comparing at a capability goal: where a path crosses it, and what safety it has there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def crossing(capability: npt.ArrayLike, goal: float, rule: str = "first") -> Floats:
    """Where capability along a path crosses a goal, as a place on the list of checkpoints.

    A place of 2.25 lies a quarter of the way from checkpoint 2 to checkpoint 3. Between two checkpoints the
    path is a straight line along training step; nothing is extrapolated.

    Args:
        capability: (..., steps), in order of training step.
        goal: the capability at which to compare.
        rule: "first" or "last" upward crossing. A path that starts at or above the goal crosses at 0.

    Returns:
        (...) places; NaN where the goal is not reached.

    Raises:
        ValueError: there is no such rule.
    """
    if rule not in ("first", "last"):
        raise ValueError(f"no crossing rule {rule!r}; use first or last")
    a = np.atleast_2d(np.asarray(capability, dtype=float))
    above = a >= goal
    up = np.concatenate([above[:, :1], above[:, 1:] & ~above[:, :-1]], axis=1)
    steps = a.shape[1]
    right = np.argmax(up, axis=1) if rule == "first" else steps - 1 - np.argmax(up[:, ::-1], axis=1)
    rows = np.arange(len(a))
    left = np.maximum(right - 1, 0)
    rise = a[rows, right] - a[rows, left]
    with np.errstate(divide="ignore", invalid="ignore"):
        place = np.where(right == 0, 0.0, left + (goal - a[rows, left]) / rise)
    place = np.where(up.any(axis=1), place, np.nan)
    return place.reshape(np.asarray(capability).shape[:-1])


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
        capability, start, goal: of shapes that fit together; where the start is at the goal the share is NaN.
    """
    a, first, target = (np.asarray(x, dtype=float) for x in (capability, start, goal))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(target == first, np.nan, (a - first) / (target - first)))
