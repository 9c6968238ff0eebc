"""Agreement of raters, from counts of code patterns. What is 0/0 is None, never 0 or NaN.

A pattern is one row of codes, one for each rater: 0 is missing, 1 to K are the categories in order.
Everything here is a function of how many items have which pattern, so a million items cost as much as
their few hundred different patterns. Formulas with missing ratings: Gwet, Handbook of Inter-Rater
Reliability (4th edition, 2014); alpha: Krippendorff, Content Analysis (2004), chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from capsafe_core.stats.distributions import t_quantile

Floats = npt.NDArray[np.float64]
COEFFICIENTS = ("percent", "cohen", "fleiss", "conger", "alpha", "ac1", "brennan_prediger")
"""Names that `coefficient` takes.

`ac1` with weights is AC2; `brennan_prediger` without weights and with two categories is PABAK.
"""
SURE = 1e-12
"""Expected agreement this near to 1 is rounding: there is one category only."""
WEIGHTS = ("nominal", "linear", "quadratic", "ordinal")


@dataclass(frozen=True)
class Patterns:
    """How many items have which codes.

    Attributes:
        codes: (patterns, raters); 0 is missing, 1 to K are categories in order.
        n: (patterns,) counts of items; whole numbers, or weights.
        categories: K.
    """

    codes: npt.NDArray[np.uint8]
    n: Floats
    categories: int

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.n.shape != (len(self.codes),):
            raise ValueError("codes must be (patterns, raters) and n (patterns,)")
        if (self.n < 0).any() or (len(self.codes) and self.codes.max() > self.categories):
            raise ValueError(
                "counts must not be negative, and codes lie between 0 and the number of categories"
            )

    @property
    def ratings(self) -> Floats:
        """(patterns, K): how many raters give each category."""
        return np.stack(
            [(self.codes == k).sum(axis=1) for k in range(1, self.categories + 1)], axis=1
        ).astype(float)

    def complete(self) -> Patterns:
        """Only the items that every rater rated."""
        whole = (self.codes > 0).all(axis=1)
        return Patterns(self.codes[whole], self.n[whole], self.categories)


def count_patterns(codes: npt.NDArray[np.uint8], categories: int, n: npt.ArrayLike | None = None) -> Patterns:
    """Patterns of items.

    Args:
        codes: (raters, items), one row a rater; 0 missing, 1 to K.
        categories: K.
        n: (items,) how often each item counts; once where left out.

    Raises:
        ValueError: there are so many raters and categories that patterns cannot be numbered.
    """
    raters = len(codes)
    if (categories + 1) ** raters > 2**24:
        rows, inverse = np.unique(codes.T, axis=0, return_inverse=True)
        return Patterns(
            rows,
            np.bincount(inverse.ravel(), weights=None if n is None else np.asarray(n, dtype=float)).astype(
                float
            ),
            categories,
        )
    size = (categories + 1) ** raters
    number: npt.NDArray[Any] = np.zeros(
        codes.shape[1], dtype=np.uint8 if size <= 256 else np.uint16 if size <= 65536 else np.uint32
    )
    for row in codes:
        number *= categories + 1
        number += row
    counts = np.bincount(
        number, weights=None if n is None else np.asarray(n, dtype=float), minlength=size
    ).astype(float)
    seen = np.flatnonzero(counts)
    places = (categories + 1) ** np.arange(raters)[::-1]
    return Patterns((seen[:, None] // places % (categories + 1)).astype(np.uint8), counts[seen], categories)


def agreement_weights(categories: int, kind: str = "nominal") -> Floats:
    """How much two categories agree, 1 on the diagonal; shape (K, K).

    Raises:
        ValueError: there is no such kind.
    """
    distance = np.abs(np.subtract.outer(np.arange(categories), np.arange(categories))).astype(float)
    most = max(categories - 1, 1)
    if kind == "nominal":
        return np.eye(categories)
    if kind == "linear":
        return np.asarray(1 - distance / most)
    if kind == "quadratic":
        return np.asarray(1 - (distance / most) ** 2)
    if kind == "ordinal":
        pairs = (distance + 1) * distance / 2
        return np.asarray(1 - pairs / max(pairs.max(), 1))
    raise ValueError(f"no weights {kind!r}; use one of {', '.join(WEIGHTS)}")


def coefficient(patterns: Patterns, name: str, weights: str = "nominal") -> float | None:
    """An agreement coefficient; None where it is not defined.

    Args:
        name: one of COEFFICIENTS. Cohen's kappa takes items that both of two raters rated, Fleiss' kappa
            items that all rated; the others use every item with two ratings.
        weights: "nominal", "linear", "quadratic" or "ordinal"; for alpha "nominal", "ordinal" or "quadratic"
            (its interval metric).

    Raises:
        ValueError: there is no such coefficient, or Cohen's kappa is asked of other than two raters.
    """
    if name not in _FORMULAS:
        raise ValueError(f"no coefficient {name!r}; use one of {', '.join(COEFFICIENTS)}")
    if name == "cohen" and patterns.codes.shape[1] != 2:
        raise ValueError("Cohen's kappa is of two raters")
    if patterns.n.sum() == 0:
        return None
    return _FORMULAS[name](patterns, patterns.n, weights)


@dataclass(frozen=True)
class Estimate:
    """A coefficient with its standard error and interval; None where not defined."""

    value: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    n: int


def estimate(patterns: Patterns, name: str, weights: str = "nominal", level: float = 0.95) -> Estimate:
    """A coefficient with the interval of its linearised variance, for items that were drawn independently.

    The derivative by each pattern's weight is taken numerically; for AC1, Brennan-Prediger and Conger's kappa
    it gives Gwet's variance formulas.
    """
    value, n = coefficient(patterns, name, weights), int(patterns.n.sum())
    if value is None or n < 2:
        return Estimate(value, None, None, None, n)
    formula, step = _FORMULAS[name], 1e-5 * n
    slopes = np.zeros(len(patterns.n))
    for i in range(len(slopes)):
        moved = [patterns.n.copy(), patterns.n.copy()]
        h = min(step, patterns.n[i] / 2)
        moved[0][i] += h
        moved[1][i] -= h
        up, down = (formula(patterns, m, weights) for m in moved)
        if up is None or down is None:
            return Estimate(value, None, None, None, n)
        slopes[i] = (up - down) / (2 * h)
    influence = n * slopes
    error = float(
        np.sqrt((patterns.n * (influence - (patterns.n * influence).sum() / n) ** 2).sum() / (n * (n - 1)))
    )
    half = t_quantile(0.5 + level / 2, n - 1) * error
    return Estimate(value, error, value - half, value + half, n)


def _kappa(observed: float, expected: float) -> float | None:
    return None if expected >= 1 - SURE else float((observed - expected) / (1 - expected))


def _observed(patterns: Patterns, n: Floats, w: Floats) -> float | None:
    """Mean agreement of the pairs of ratings of each item with at least two."""
    ratings = patterns.ratings
    given = ratings.sum(axis=1)
    pairs = given * (given - 1)
    useful = (pairs > 0) & (n > 0)
    if not useful.any():
        return None
    agreeing = (ratings * (ratings @ w.T - 1)).sum(axis=1)
    return float((n * np.divide(agreeing, pairs, where=useful, out=np.zeros(len(n)))).sum() / n[useful].sum())


def _percent(patterns: Patterns, n: Floats, weights: str) -> float | None:
    return _observed(patterns, n, agreement_weights(patterns.categories, weights))


def _cohen(patterns: Patterns, n: Floats, weights: str) -> float | None:
    return cohen_kappa(two_way(patterns, n), weights)


def _fleiss(patterns: Patterns, n: Floats, weights: str) -> float | None:
    whole = Patterns(patterns.codes, n, patterns.categories).complete()
    w = agreement_weights(patterns.categories, weights)
    observed = _observed(whole, whole.n, w)
    if observed is None:
        return None
    share = whole.n @ whole.ratings / (whole.n.sum() * patterns.codes.shape[1])
    return _kappa(observed, float(share @ w @ share))


def _conger(patterns: Patterns, n: Floats, weights: str) -> float | None:
    w = agreement_weights(patterns.categories, weights)
    observed = _observed(patterns, n, w)
    each = np.stack(
        [n @ (patterns.codes == k) for k in range(1, patterns.categories + 1)], axis=1
    )  # (raters, K)
    given = each.sum(axis=1, keepdims=True)
    if observed is None or (given == 0).any():
        return None
    each = each / given
    raters = len(each)
    total = each.sum(axis=0)
    expected = (total @ w @ total - np.einsum("rk,kl,rl->", each, w, each)) / (raters * (raters - 1))
    return _kappa(observed, float(expected))


def _alpha(patterns: Patterns, n: Floats, weights: str) -> float | None:
    ratings = patterns.ratings
    given = ratings.sum(axis=1)
    useful = given > 1
    r, scale = ratings[useful], n[useful] / (given[useful] - 1)
    coincidences = (r * scale[:, None]).T @ r - np.diag((scale[:, None] * r).sum(axis=0))
    margins = coincidences.sum(axis=1)
    total = margins.sum()
    if total <= 1:
        return None
    distance = _alpha_distance(margins, weights)
    expected = margins @ distance @ margins
    return None if expected <= 0 else float(1 - (total - 1) * (coincidences * distance).sum() / expected)


def _alpha_distance(margins: Floats, metric: str) -> Floats:
    """Krippendorff's squared distances: nominal, ordinal (from the margins), or interval ("quadratic")."""
    k = len(margins)
    if metric == "nominal":
        return 1 - np.eye(k)
    if metric == "quadratic":
        return np.subtract.outer(np.arange(k), np.arange(k)).astype(float) ** 2
    if metric == "ordinal":
        below = np.cumsum(margins) - margins / 2
        return np.asarray(np.subtract.outer(below, below) ** 2)
    raise ValueError(f"alpha has no metric {metric!r}; use nominal, ordinal or quadratic")


def _gwet(patterns: Patterns, n: Floats, weights: str) -> float | None:
    k = patterns.categories
    w = agreement_weights(k, weights)
    observed = _observed(patterns, n, w)
    if observed is None or k < 2:
        return None
    ratings = patterns.ratings
    given = ratings.sum(axis=1)
    rated = given > 0
    share = n[rated] @ (ratings[rated] / given[rated, None]) / n[rated].sum()
    return _kappa(observed, float(w.sum() / (k * (k - 1)) * (share * (1 - share)).sum()))


def _brennan_prediger(patterns: Patterns, n: Floats, weights: str) -> float | None:
    w = agreement_weights(patterns.categories, weights)
    observed = _observed(patterns, n, w)
    return None if observed is None else _kappa(observed, float(w.sum() / patterns.categories**2))


_FORMULAS: dict[str, Callable[[Patterns, Floats, str], float | None]] = {
    "percent": _percent,
    "cohen": _cohen,
    "fleiss": _fleiss,
    "conger": _conger,
    "alpha": _alpha,
    "ac1": _gwet,
    "brennan_prediger": _brennan_prediger,
}


def two_way(patterns: Patterns, n: Floats | None = None, first: int = 0, second: int = 1) -> Floats:
    """The table of two raters over items that both rated; (K, K)."""
    counts = patterns.n if n is None else n
    k = patterns.categories
    one, two = (patterns.codes[:, r].astype(int) for r in (first, second))
    both = (one > 0) & (two > 0)
    return np.asarray(
        np.bincount((one[both] - 1) * k + two[both] - 1, weights=counts[both], minlength=k * k),
        dtype=np.float64,
    ).reshape(k, k)


def cohen_kappa(table: npt.ArrayLike, weights: str = "nominal") -> float | None:
    """Cohen's kappa of a (K, K) table of counts (Cohen 1960, 1968); None where it is not defined."""
    value = cohen_kappas(np.asarray(table, dtype=float), weights)
    return None if np.isnan(value) else float(value)


def cohen_kappas(tables: Floats, weights: str = "nominal") -> Floats:
    """Cohen's kappa of many tables.

    Args:
        tables: (..., K, K).

    Returns:
        (...); NaN where not defined.
    """
    w = agreement_weights(tables.shape[-1], weights)
    n = tables.sum(axis=(-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = tables / n[..., None, None]
        observed = (shares * w).sum(axis=(-2, -1))
        expected = np.einsum("...k,kl,...l->...", shares.sum(axis=-1), w, shares.sum(axis=-2))
        return np.asarray(np.where(expected >= 1 - SURE, np.nan, (observed - expected) / (1 - expected)))


TABLE_COEFFICIENTS = (
    "observed",
    "kappa",
    "ac1",
    "pabak",
    "alpha",
    "positive",
    "negative",
    "prevalence",
    "bias",
)
"""Names that `table_coefficients` takes."""


def table_coefficients(tables: Floats, name: str) -> Floats:
    """A coefficient of many tables of two raters at once; the last category is the positive one.

    Args:
        tables: (..., K, K); entry [i, j] counts items that rater 1 calls i and rater 2 calls j.
        name: observed; kappa (Cohen's); ac1 (Gwet's); pabak (Brennan-Prediger); alpha (Krippendorff's,
            nominal); positive, negative (specific agreement on the last and first category, 2a / (2a + b +
            c)); prevalence (share of both positive minus share of both negative); bias (positive rate of
            rater 2 minus rater 1).

    Returns:
        (...); NaN where not defined.

    Raises:
        ValueError: there is no such coefficient.
    """
    k = tables.shape[-1]
    n = tables.sum(axis=(-2, -1))
    diagonal = np.diagonal(tables, axis1=-2, axis2=-1)
    one, two = tables.sum(axis=-1), tables.sum(axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = diagonal.sum(axis=-1) / n
        share = (one + two) / (2 * n[..., None])
        if name == "observed":
            return np.asarray(observed)
        if name in ("positive", "negative"):
            place = -1 if name == "positive" else 0
            return np.asarray(2 * diagonal[..., place] / (one + two)[..., place])
        if name == "prevalence":
            return np.asarray((diagonal[..., -1] - diagonal[..., 0]) / n)
        if name == "bias":
            return np.asarray((two[..., -1] - one[..., -1]) / n)
        if name == "kappa":
            expected = (one * two).sum(axis=-1) / n**2
        elif name == "ac1":
            expected = (share * (1 - share)).sum(axis=-1) / (k - 1)
        elif name == "pabak":
            expected = np.full(n.shape, 1 / k)
        elif name == "alpha":
            total = 2 * n
            expected = ((share * total[..., None]) * (share * total[..., None] - 1)).sum(axis=-1) / (
                total * (total - 1)
            )
        else:
            raise ValueError(f"no coefficient {name!r}; use one of {', '.join(TABLE_COEFFICIENTS)}")
        return np.asarray(np.where(expected >= 1 - SURE, np.nan, (observed - expected) / (1 - expected)))
