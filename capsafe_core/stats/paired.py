"""Tests of a change on the same items, and corrections for having made several."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from capsafe_core.stats.distributions import chi2_tail

Floats = npt.NDArray[np.float64]
EXACT_BELOW = 25
"""With fewer changed items than this McNemar's test is exact."""


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of a 2 x 2 table of the same items before and after (McNemar 1947)."""

    gained: int
    """items without the event before and with it after"""
    lost: int
    exact_p: float
    """two-sided binomial"""
    statistic: float | None
    """chi-square with continuity correction; None where nothing changed"""
    chi2_p: float | None
    clustered_p: float | None = None
    """by flipping the signs of whole clusters, where items share one"""

    @property
    def p(self) -> float:
        """The clustered p-value where items share clusters; else the exact one where few items changed, and
        the chi-square one where many did."""
        if self.clustered_p is not None:
            return self.clustered_p
        return self.exact_p if self.chi2_p is None or self.gained + self.lost < EXACT_BELOW else self.chi2_p


def mcnemar(gained: int, lost: int) -> McNemar:
    """McNemar's test from the two counts of items that changed.

    Raises:
        ValueError: a count is negative.
    """
    if gained < 0 or lost < 0:
        raise ValueError("counts cannot be negative")
    from scipy.stats import binomtest

    changed = gained + lost
    if not changed:
        return McNemar(0, 0, 1.0, None, None)
    statistic = max(abs(gained - lost) - 1, 0) ** 2 / changed
    return McNemar(
        gained, lost, float(binomtest(gained, changed, 0.5).pvalue), statistic, chi2_tail(statistic, 1)
    )


def paired_change(before: npt.ArrayLike, after: npt.ArrayLike, clusters: npt.ArrayLike) -> McNemar:
    """A change of yes and no on the same items; where items share a cluster (several samples of a prompt,
    several prompts of a behaviour), they are no independent tries, so whole clusters are flipped instead.

    Args:
        before, after: (items,) 0 or 1.
        clusters: (items,) numbers of what the items belong to.
    """
    change = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    found = mcnemar(int((change > 0).sum()), int((change < 0).sum()))
    own = np.unique(np.asarray(clusters), return_inverse=True)[1].ravel()
    if len(own) == 0 or own.max() + 1 == len(own):
        return found
    return replace(found, clustered_p=paired_permutation(np.bincount(own, weights=change)))


def cochran_q(events: npt.ArrayLike, counts: npt.ArrayLike | None = None) -> tuple[float, float] | None:
    """Cochran's Q: whether raters (or checkpoints) differ in their rate on the same items (Cochran 1950).

    Args:
        events: (items, raters) of 0 and 1, or (patterns, raters) with `counts`.
        counts: (patterns,) how many items have each row.

    Returns:
        Q and its p-value by chi-square with raters - 1 degrees of freedom; None where every item has equal
        values.
    """
    x = np.asarray(events, dtype=float)
    n = np.ones(len(x)) if counts is None else np.asarray(counts, dtype=float)
    raters = x.shape[1]
    columns, rows = n @ x, x.sum(axis=1)
    spread = raters * rows.dot(n) - (n * rows**2).sum()
    if raters < 2 or spread <= 0:
        return None
    q = (raters - 1) * (raters * (columns**2).sum() - columns.sum() ** 2) / spread
    return float(q), chi2_tail(q, raters - 1)


def paired_permutation(difference: npt.ArrayLike, resamples: int = 9999, seed: int = 0) -> float:
    """Two-sided p-value of a mean difference of paired scores, by flipping signs at random (Fisher 1935).

    Args:
        difference: (items,) after minus before; missing values left out by the caller.

    Returns:
        At least 1 / (resamples + 1); 1.0 where nothing differs.
    """
    d = np.asarray(difference, dtype=float)
    if not len(d) or not d.any():
        return 1.0
    signs = np.random.default_rng(seed).integers(0, 2, size=(resamples, len(d)), dtype=np.int8) * 2 - 1
    return float((1 + (np.abs(signs @ d) >= abs(d.sum()) - 1e-12 * np.abs(d).sum()).sum()) / (resamples + 1))


def holm(p: npt.ArrayLike) -> Floats:
    """P-values adjusted by Holm (1979), for a confirmatory family; the same shape and order."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)
    adjusted = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1.0)
    out = np.empty_like(values)
    out[order] = adjusted
    return out


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """P-values adjusted by Benjamini and Hochberg (1995), for exploration; the same shape and order."""
    from scipy.stats import false_discovery_control

    values = np.asarray(p, dtype=float)
    return np.asarray(false_discovery_control(values)) if len(values) else values
