"""Agreement of two raters, from counts. What is 0/0 is None, never 0 or NaN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Agreement:
    """Two raters on the same items, both with a verdict."""

    n: int
    observed: float | None
    kappa: float | None
    """Cohen's kappa"""
    positive: float | None
    """share of agreement among positive verdicts, 2a / (2a + b + c)"""
    negative: float | None


def agreement(table: npt.ArrayLike) -> Agreement:
    """Agreement from a square table of counts; the last row and column are the positive class.

    Args:
        table: (k, k); entry [i, j] counts items that rater 1 calls i and rater 2 calls j.

    Raises:
        ValueError: the table is not square or holds a negative count.
    """
    t = np.asarray(table, dtype=float)
    if t.ndim != 2 or t.shape[0] != t.shape[1] or (t < 0).any():
        raise ValueError("a square table of counts is needed")
    n = t.sum()
    if n == 0:
        return Agreement(0, None, None, None, None)
    observed = float(np.trace(t) / n)
    expected = float(t.sum(axis=1) @ t.sum(axis=0) / n**2)
    kappa = None if np.isclose(expected, 1.0) else (observed - expected) / (1 - expected)
    return Agreement(int(n), observed, kappa, _specific(t, t.shape[0] - 1), _specific(t, 0))


def _specific(t: npt.NDArray[np.float64], label: int) -> float | None:
    marked = t[label].sum() + t[:, label].sum()
    return float(2 * t[label, label] / marked) if marked else None
