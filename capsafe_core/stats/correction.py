"""A judge's rate, corrected by people's labels of a random part of the outputs.

Truth and verdict are 1 for the event (unsafe, refusal) and 0 without it. Two designs:

* labels and the rest are independent samples of one population: `rogan_gladen`, `ppi_plus_plus`;
* labels were drawn from these outputs with known inclusion probabilities, and outputs share behaviours:
  `weighted_confusion`, `weighted_rogan_gladen`, `weighted_ppi`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from capsafe_core.stats.design import collapsed
from capsafe_core.stats.distributions import normal_quantile
from capsafe_core.stats.intervals import FEW, wilson

Floats = npt.NDArray[np.float64]
TUNED_FOR = 200
"""labels at which the interval for many looks is narrowest"""
MIN_LABELS, MIN_A_CLASS, MIN_YOUDEN, RATE_RANGE = 200, 20, 1.3, (0.1, 0.9)
"""Where 95 % coverage is claimed: at least so many labels, so many of each class, sensitivity + specificity,
and a rate within."""


@dataclass(frozen=True)
class Corrected:
    """A corrected rate with its standard error and interval, within [0, 1]; None where not defined. Without
    any spread in the labels there is no interval."""

    rate: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    tuning: float | None = None
    """lambda of PPI++: 0 is labels alone, 1 trusts the judge fully"""


@dataclass(frozen=True)
class Confusion:
    """A judge against people.

    Attributes:
        positives, negatives: labelled outputs with and without the event.
        sensitivity, specificity: Hájek estimates; None without an output of that class.
        sensitivity_error, specificity_error: their standard errors, clustered.
    """

    positives: int
    negatives: int
    sensitivity: float | None
    specificity: float | None
    sensitivity_error: float | None
    specificity_error: float | None


def rogan_gladen(
    judged: float,
    n: int,
    sensitivity: float,
    positives: int,
    specificity: float,
    negatives: int,
    level: float = 0.95,
) -> Corrected:
    """The Rogan-Gladen estimate (p + q0 - 1) / (q0 + q1 - 1), clipped to [0, 1] (Rogan and Gladen 1978), by
    the delta method.

    Args:
        judged: p, the judge's rate over n outputs without a label.
        sensitivity: q1, over `positives` labelled outputs with the event.
        specificity: q0, over `negatives` labelled outputs without it.

    Returns:
        Nothing defined where q0 + q1 <= 1: the judge is no better than chance.
    """
    youden = sensitivity + specificity - 1
    if youden <= 0 or not (n and positives and negatives):
        return Corrected(None, None, None, None)
    raw = (judged + specificity - 1) / youden
    variance = (
        judged * (1 - judged) / n
        + raw**2 * sensitivity * (1 - sensitivity) / positives
        + (1 - raw) ** 2 * specificity * (1 - specificity) / negatives
    ) / youden**2
    return _corrected(raw, float(np.sqrt(variance)), level)


def ppi_plus_plus(
    truth: npt.ArrayLike,
    judged: npt.ArrayLike,
    judged_rest: npt.ArrayLike,
    tuning: float | None = None,
    level: float = 0.95,
) -> Corrected:
    """The PPI++ estimate of a mean (Angelopoulos, Duchi and Zrnic 2023) from a labelled and an independent
    unlabelled sample.

    Args:
        truth, judged: (n,) labels and verdicts of the labelled outputs.
        judged_rest: (N,) verdicts of the others.
        tuning: lambda; chosen to make the variance smallest where left out, within [0, 1].
    """
    y, f, rest = (np.asarray(x, dtype=float) for x in (truth, judged, judged_rest))
    if len(y) < 2 or not len(rest):
        return Corrected(None, None, None, None)
    if tuning is None:
        spread = np.concatenate([f, rest]).var(ddof=1)
        tuning = (
            float(np.clip(np.cov(y, f, bias=True)[0, 1] / ((1 + len(y) / len(rest)) * spread), 0, 1))
            if spread
            else 0.0
        )
    estimate = tuning * rest.mean() + (y - tuning * f).mean()
    variance = tuning**2 * rest.var() / len(rest) + (y - tuning * f).var() / len(y)
    return _corrected(float(estimate), float(np.sqrt(variance)), level, tuning)


@dataclass(frozen=True)
class Labelled:
    """Outputs of a population, some labelled by people.

    Attributes:
        judged: (N,) verdicts of every output.
        truth: (N,) labels; any value where there is none.
        probability: (N,) inclusion probability of the outputs that are labelled, 0 for the others.
        clusters: (N,) number of the behaviour of each output, from 0.
        strata: (N,) number of the stratum that each output was drawn in, from 0, neighbours alike; None where
            nobody knows, or all were drawn alike.
    """

    judged: Floats
    truth: Floats
    probability: Floats
    clusters: npt.NDArray[np.int64]
    strata: npt.NDArray[np.int64] | None = None

    @property
    def weights(self) -> Floats:
        """One over the inclusion probability, 0 where there is no label."""
        return one_over(self.probability)

    @cached_property
    def groups(self) -> npt.NDArray[np.int64] | None:
        """(N,) the strata, those with few labels put together with their neighbours."""
        if self.strata is None:
            return None
        labels = np.bincount(self.strata, weights=self.probability > 0, minlength=int(self.strata.max()) + 1)
        return np.asarray(collapsed(labels)[self.strata])

    def influence(self, values: Floats) -> Floats:
        """(N,) what each output does to the Hájek total of values whose weighted mean is 0.

        The mean of its stratum counts for every output, the weighted rest for labelled ones (as for a
        difference estimator, Särndal, Swensson and Wretman 1992, ch. 6): what lies between strata was not
        drawn by lot, so it adds no uncertainty of the draw.
        """
        w, strata = self.weights, self.groups
        if strata is None:
            return w * values
        size = int(strata.max(initial=0)) + 1
        totals, weights, n = (np.bincount(strata, weights=x, minlength=size) for x in (w * values, w, w > 0))
        mean = np.divide(totals, weights, where=weights > 0, out=np.zeros(size))[strata]
        spared = np.sqrt(n / np.maximum(n - 1, 1))[strata]  # the mean was taken from the same few labels
        return np.asarray(mean * (w.sum() / len(w)) + spared * w * (values - mean), dtype=np.float64)


def one_over(probability: Floats) -> Floats:
    """1 / probability, and 0 where it is 0: the weights of Horvitz and Thompson."""
    return np.divide(1.0, probability, where=probability > 0, out=np.zeros(len(probability)))


def weighted_confusion(data: Labelled) -> Confusion:
    """Sensitivity and specificity of a judge with Hájek weights, errors clustered by behaviour."""
    drawn = data.probability > 0
    event = drawn & (data.truth == 1)
    q1, q0 = _ratio(data, data.truth, data.judged), _ratio(data, 1 - data.truth, 1 - data.judged)
    return Confusion(
        int(event.sum()),
        int(drawn.sum() - event.sum()),
        q1 and q1[0],
        q0 and q0[0],
        q1 and _error(data, q1[1]),
        q0 and _error(data, q0[1]),
    )


def weighted_rogan_gladen(data: Labelled, level: float = 0.95) -> Corrected:
    """The Rogan-Gladen estimate of a population of which a part is labelled, with Hájek weights and variance
    clustered by behaviour."""
    q1, q0 = _ratio(data, data.truth, data.judged), _ratio(data, 1 - data.truth, 1 - data.judged)
    if q1 is None or q0 is None or q1[0] + q0[0] <= 1:
        return Corrected(None, None, None, None)
    youden, p = q1[0] + q0[0] - 1, data.judged.mean()
    raw = (p + q0[0] - 1) / youden
    influence = ((data.judged - p) / len(data.judged) + (1 - raw) * q0[1] - raw * q1[1]) / youden
    return _corrected(float(raw), _error(data, influence), level)


def weighted_ppi(data: Labelled, level: float = 0.95) -> Corrected:
    """PPI++ for labels with known inclusion probabilities: lambda times the judge's mean over all outputs,
    plus the Hájek mean of truth - lambda x verdict.

    Lambda makes the variance, clustered by behaviour, smallest, within [0, 1].
    """
    w = data.weights
    total = w.sum()
    if (data.probability > 0).sum() < 2:
        return Corrected(None, None, None, None)
    mean_truth, mean_judged = (w * data.truth).sum() / total, (w * data.judged).sum() / total
    labels = _by_cluster(data, data.influence(data.truth - mean_truth) / total)
    helps = _by_cluster(
        data,
        (data.judged - data.judged.mean()) / len(data.judged)
        - data.influence(data.judged - mean_judged) / total,
    )
    spread = (helps**2).sum()
    tuning = float(np.clip(-(labels * helps).sum() / spread, 0, 1)) if spread else 0.0
    estimate = mean_truth + tuning * (data.judged.mean() - mean_judged)
    return _corrected(float(estimate), _spread(labels + tuning * helps), level, tuning)


def labels_needed(data: Labelled, half_width: float, level: float = 0.95) -> int | None:
    """How many labels in all, drawn as these were, make the interval of `weighted_ppi` as narrow as asked,
    for one who looks whenever they like (`anytime`).

    The variance has a part that more labels shrink and a part that only more behaviours do; the second is
    estimated as if every output were labelled, with the stratum's mean in place of the label.

    Args:
        half_width: of the interval.

    Returns:
        None where no number of labels is enough, or nothing can be said yet.
    """
    found = weighted_ppi(data, level)
    if not found.standard_error or found.tuning is None:
        return None
    labelled = data.probability > 0
    n, size, w = int(labelled.sum()), len(labelled), data.weights
    rest = data.truth - found.tuning * data.judged
    groups = np.zeros(size, dtype=np.int64) if data.groups is None else data.groups
    totals, weights = (np.bincount(groups, weights=x) for x in (w * rest, w))
    spread = np.where(
        labelled,
        rest - np.divide(totals, weights, where=weights > 0, out=np.zeros(len(weights)))[groups],
        0.0,
    )
    by_lot = float((w * (w - 1) * spread**2).sum() / w.sum() ** 2)
    if n == size:
        return None
    needed = np.arange(n, size + 1)
    # the variance of the draw goes with 1/n - 1/N
    of_draw = by_lot * (1 / needed - 1 / size) / (1 / n - 1 / size)
    error = np.sqrt(of_draw + max(found.standard_error**2 - by_lot, 0.0))
    enough = np.flatnonzero(looking(needed, level) * error <= half_width)
    return int(needed[enough[0]]) if len(enough) else None


def looking(labels: npt.ArrayLike, level: float = 0.95) -> Floats:
    """How many standard errors an interval is wide, to either side, that holds at every look however often
    people look: the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024),
    narrowest at TUNED_FOR labels.

    Args:
        labels: so far, any shape.
    """
    alpha, n = 1 - level, np.asarray(labels, dtype=float)
    rho = (-2 * np.log(alpha) + np.log(1 - 2 * np.log(alpha))) / TUNED_FOR
    return np.asarray(np.sqrt(2 * (n * rho + 1) / (n * rho) * np.log(np.sqrt(n * rho + 1) / alpha)))


def anytime(found: Corrected, labels: int, level: float = 0.95) -> tuple[float, float] | None:
    """The interval of a corrected rate for one who looks after every batch of labels and stops when they
    like; None where there is none."""
    if found.rate is None or not found.standard_error:
        return None
    half = float(looking(labels, level)) * found.standard_error
    return max(found.rate - half, 0.0), min(found.rate + half, 1.0)


def outside_claim(
    labels: int,
    positives: int,
    negatives: int,
    sensitivity: float | None,
    specificity: float | None,
    rate: float | None,
) -> list[str]:
    """Why 95 % coverage is not claimed for a corrected rate; empty where it is."""
    reasons = []
    if labels < MIN_LABELS:
        reasons.append(f"{labels} labels, fewer than {MIN_LABELS}")
    if min(positives, negatives) < MIN_A_CLASS:
        reasons.append(f"{min(positives, negatives)} labels of one class, fewer than {MIN_A_CLASS}")
    if sensitivity is None or specificity is None or sensitivity + specificity < MIN_YOUDEN:
        reasons.append(f"sensitivity and specificity of the judge add up to less than {MIN_YOUDEN}")
    if rate is None or not RATE_RANGE[0] <= rate <= RATE_RANGE[1]:
        reasons.append(f"the rate is not between {RATE_RANGE[0]:.0%} and {RATE_RANGE[1]:.0%}")
    return reasons


def _ratio(data: Labelled, of: Floats, event: Floats) -> tuple[float, Floats] | None:
    """The weighted share of `event` among labelled outputs with `of`, and each output's influence on it."""
    w = data.weights * of
    total = w.sum()
    if total <= 0:
        return None
    share = float((w * event).sum() / total)
    return share, data.influence(of * (event - share)) / total


def _by_cluster(data: Labelled, values: Floats) -> Floats:
    return np.asarray(np.bincount(data.clusters, weights=values))


def _spread(by_cluster: Floats) -> float:
    m = len(by_cluster)
    return float(np.sqrt(m / max(m - 1, 1) * (by_cluster**2).sum()))


def _error(data: Labelled, influence: Floats) -> float:
    return _spread(_by_cluster(data, influence))


def _corrected(raw: float, error: float, level: float, tuning: float | None = None) -> Corrected:
    half = normal_quantile(0.5 + level / 2) * error
    rate, low, high = (float(np.clip(x, 0, 1)) for x in (raw, raw - half, raw + half))
    if error == 0:  # every label says the same: nothing tells how far the truth may be
        return Corrected(rate, 0.0, None, None, tuning)
    effective = rate * (1 - rate) / error**2
    if 0 < min(rate, 1 - rate) * effective < FEW:
        ends = wilson(rate * effective, effective, level)
        low, high = min(low, float(ends[0])), max(high, float(ends[1]))
    return Corrected(rate, error, low, high, tuning)
