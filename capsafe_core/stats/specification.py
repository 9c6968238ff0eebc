"""Whether a conclusion survives another analysis variant (specification curve: Simonsohn, Simmons and Nelson
2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shares:
    """Of the variants: how many point up, point down, or are unresolved. Not a probability."""

    up: float
    down: float
    unresolved: float


def directions(low: npt.ArrayLike, high: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """1 where an interval lies above 0, -1 below, 0 where it holds 0 or is not there."""
    a, b = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    return np.where(a > 0, 1, np.where(b < 0, -1, 0)).astype(int)


def family_shares(direction: npt.ArrayLike, families: Sequence[str]) -> Shares | None:
    """Shares within each judge family, averaged with equal weight, so that many lists of one family do not
    outvote one judge of another.

    Args:
        direction: (ways,) 1, -1 or 0.
        families: (ways,) the judge family of each.

    Returns:
        None without a way.
    """
    d, names = np.asarray(direction, dtype=int), np.asarray(families, dtype=object)
    if not len(d):
        return None
    each = [[(d[names == f] == value).mean() for value in (1, -1, 0)] for f in dict.fromkeys(families)]
    up, down, unresolved = np.mean(each, axis=0)
    return Shares(float(up), float(down), float(unresolved))


@dataclass(frozen=True)
class Joint:
    """What variants say together, held against resamples in which nothing differs (Simonsohn, Simmons and
    Nelson 2020, the inference step).

    Attributes:
        median: the median estimate, and `median_p` the chance of one as far from zero.
        up, down: variants whose interval lies above and below zero, and `resolved_p` the chance of as many on
        one
            side, `opposed_p` of as many on both.
        effective: how many independent variants would spread as these do: the participation ratio of the
            eigenvalues of the correlation of their resamples.
    """

    median: float
    median_p: float
    up: int
    down: int
    resolved_p: float
    opposed_p: float
    effective: float


def joint_test(
    estimates: npt.ArrayLike, draws: Floats, low: npt.ArrayLike, high: npt.ArrayLike
) -> Joint | None:
    """Whether the curve as a whole is more than chance: resamples of each variant, centred at no difference.

    Args:
        estimates, low, high: (variants,).
        draws: (resamples, variants); resamples that a variant lacks are left out.

    Returns:
        None for fewer than two variants with an interval, or where fewer than half of the resamples are
        whole.
    """
    e, a, b = (np.asarray(x, dtype=float) for x in (estimates, low, high))
    known = ~np.isnan(a)
    kept = draws[:, known]
    kept = kept[~np.isnan(kept).any(axis=1)]
    if known.sum() < 2 or len(kept) < len(draws) / 2:
        return None
    e, a, b = e[known], a[known], b[known]
    null = kept - e
    up, down = int((a > 0).sum()), int((b < 0).sum())
    above, below = ((null > e - a).sum(axis=1), (null < e - b).sum(axis=1))

    def chance(as_far: npt.NDArray[np.bool_]) -> float:
        return float((1 + as_far.sum()) / (1 + len(null)))

    return Joint(
        float(np.median(e)),
        chance(np.abs(np.median(null, axis=1)) >= abs(np.median(e))),
        up,
        down,
        chance(np.maximum(above, below) >= max(up, down)),
        chance(np.minimum(above, below) >= min(up, down)),
        _effective(null),
    )


def _effective(draws: Floats) -> float:
    spread = draws.std(axis=0)
    moving = draws[:, spread > 0]
    if moving.shape[1] < 2:
        return 1.0
    values = np.linalg.eigvalsh(np.corrcoef(moving, rowvar=False))
    return float(values.sum() ** 2 / (values**2).sum())


@dataclass(frozen=True)
class Flip:
    """How often changing one choice, and nothing else, turns the sign of the estimate."""

    dimension: str
    choice: str
    flips: int
    pairs: int
    """variants with the primary's choice whose twin with this choice exists"""


def flips(
    choices: Sequence[Mapping[str, str]], estimates: npt.ArrayLike, primary: Mapping[str, str]
) -> list[Flip]:
    """Which choices flip the sign: for each choice other than the primary one, over all twins that differ in
    it alone.

    Args:
        choices: (ways,) dimension -> choice; every way has the same dimensions.
        estimates: (ways,).
        primary: dimension -> the choice that others are compared with.

    Returns:
        Most often flipping first.
    """
    values = np.asarray(estimates, dtype=float)
    place = {tuple(way.items()): i for i, way in enumerate(choices)}
    counts: dict[tuple[str, str], list[int]] = {}
    for i, way in enumerate(choices):
        for dimension, choice in way.items():
            twin = (
                place.get(tuple({**way, dimension: primary[dimension]}.items()))
                if choice != primary[dimension]
                else None
            )
            if twin is None:
                continue
            entry = counts.setdefault((dimension, choice), [0, 0])
            entry[0] += bool(values[i] * values[twin] < 0)
            entry[1] += 1
    found = [
        Flip(dimension, choice, turned, pairs) for (dimension, choice), (turned, pairs) in counts.items()
    ]
    return sorted(found, key=lambda f: (-f.flips / f.pairs, f.dimension, f.choice))


def rank_agreement(estimates: Floats) -> Floats:
    """Kendall's tau-b of the order of arms between each two variants.

    Args:
        estimates: (ways, arms); arms that one of the two does not know are left out.

    Returns:
        (ways, ways); NaN where fewer than two arms are known to both, or one of them ties all.
    """
    from scipy.stats import kendalltau

    ways = len(estimates)
    out = np.full((ways, ways), np.nan)
    known = ~np.isnan(estimates)
    for i in range(ways):
        for j in range(i, ways):
            both = known[i] & known[j]
            if both.sum() > 1:
                out[i, j] = out[j, i] = float(kendalltau(estimates[i, both], estimates[j, both]).statistic)
    return out


def contested(estimates: npt.ArrayLike) -> float:
    """How far variants contradict each other: the smaller of the largest change up and the largest
    change down, 0 where all point one way."""
    values = np.asarray(estimates, dtype=float)
    values = values[~np.isnan(values)]
    return float(max(min(values.max(), -values.min()), 0.0)) if len(values) else 0.0
