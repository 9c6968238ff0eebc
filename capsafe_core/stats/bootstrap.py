"""Cluster bootstrap by shared weights."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@lru_cache(maxsize=8)
def cluster_weights(clusters: int, resamples: int, seed: int) -> Floats:
    """How often each cluster is drawn in each resample, shape (resamples, clusters).

    The same weights for every judge, checkpoint and recipe on a benchmark make their differences paired.
    """
    weights = np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples).astype(float)
    weights.flags.writeable = False
    return weights


def resampled_rates(weights: Floats, events: Floats, trials: Floats) -> Floats:
    """Rates in each resample.

    Args:
        weights: (resamples, clusters).
        events: (series, clusters) sums of events in each cluster.
        trials: (series, clusters) sums of trials in each cluster.

    Returns:
        (resamples, series); NaN where a resample has no trials.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((weights @ events.T) / (weights @ trials.T))


def percentile_interval(draws: Floats, level: float = 0.95) -> tuple[float, float] | None:
    """The central interval of draws, NaN left out; None when nothing is left."""
    kept = draws[~np.isnan(draws)]
    if not len(kept):
        return None
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
