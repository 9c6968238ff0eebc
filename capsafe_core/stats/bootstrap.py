"""Cluster bootstrap by shared weights."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

Floats = npt.NDArray[np.float64]
WORTH_THREADS = 100_000_000
"""multiplications from which several threads gain more than they lose by waiting for each other: the small
products of the analysis variants took four times as long on two busy cores"""


@cache
def _blas() -> ThreadpoolController:
    """What sets the threads of the libraries that multiply, which numpy has loaded by now."""
    return ThreadpoolController()


@lru_cache(maxsize=8)
def cluster_weights(clusters: int, resamples: int, seed: int) -> npt.NDArray[np.float32]:
    """How often each cluster is drawn in each resample, shape (resamples, clusters).

    The same weights for every judge, checkpoint and recipe on a benchmark make their differences paired.
    """
    # whole numbers below 2**24 are exact in single precision, and their product takes half the time
    weights = (
        np.random.default_rng(seed)
        .multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples)
        .astype(np.float32)
    )
    weights.flags.writeable = False
    return weights


def resampled_rates(weights: npt.NDArray[Any], events: Floats, trials: Floats) -> Floats:
    """Rates in each resample.

    Args:
        weights: (resamples, clusters).
        events: (series, clusters) whole numbers of events in each cluster.
        trials: (series, clusters) sums of trials in each cluster.

    Returns:
        (resamples, series); NaN where a resample has no trials.
    """
    few = len(weights) * events.size < WORTH_THREADS
    with _blas().limit(limits=1, user_api="blas") if few else nullcontext():
        happened, tried = (
            np.asarray(np.asarray(weights, dtype=np.float32) @ sums.T.astype(np.float32), dtype=float)
            for sums in (events, trials)
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(happened / tried)


def percentile_intervals(draws: Floats, level: float = 0.95) -> list[tuple[float, float] | None]:
    """The central interval of each column of draws, rows with a NaN left out; None when nothing is left.

    Args:
        draws: (resamples, quantities).
    """
    missing = np.isnan(draws).any(axis=1)
    kept = draws[~missing] if missing.any() else draws
    if not len(kept):
        return [None] * draws.shape[1]
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))
