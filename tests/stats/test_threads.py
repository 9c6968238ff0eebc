"""Resampled rates are the same with one thread and with several, and small products have one."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from capsafe_core.stats import bootstrap
from capsafe_core.stats.bootstrap import cluster_weights, resampled_rates


def test_threads_change_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = np.random.default_rng(1).integers(0, 3, size=(40, 300)).astype(float)
    events = np.minimum(trials, 1)
    weights = cluster_weights(300, 200, 3)
    found = [
        resampled_rates(weights, events, trials)
        for worth in (0, bootstrap.WORTH_THREADS)
        if monkeypatch.setattr(bootstrap, "WORTH_THREADS", worth) is None
    ]
    assert np.array_equal(*found, equal_nan=True)


def test_a_small_product_has_one_thread_and_what_comes_after_has_as_many_as_before() -> None:
    def threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    class Weights:
        def __len__(self) -> int:
            return 2

        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            during.append(threads())
            return np.ones((2, 3), np.float32)

    during: list[list[int]] = []
    before = threads()
    resampled_rates(Weights(), np.ones((1, 3)), np.ones((1, 3)))  # type: ignore[arg-type]
    assert during
    assert all(one == [1] * len(one) for one in during)
    assert threads() == before
