import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.proportion import proportion_confint

from capsafe_core.stats.agreement import agreement
from capsafe_core.stats.bootstrap import cluster_weights, percentile_intervals, resampled_rates
from capsafe_core.stats.intervals import missing_bounds, wilson
from capsafe_core.stats.matching import at_place, crossing, share_gained


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilson_is_statsmodels_wilson(kn: tuple[int, int], level: float) -> None:
    k, n = kn
    low, high = wilson(k, n, level)
    expected = proportion_confint(k, n, 1 - level, method="wilson")
    assert (float(low), float(high)) == pytest.approx(expected, abs=1e-12)


def test_wilson_without_trials_is_not_a_number_and_bad_counts_are_refused() -> None:
    assert all(math.isnan(v) for v in wilson(0, 0))
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson(3, 2)


def test_missing_verdicts_bound_the_rate() -> None:
    assert missing_bounds(3, 8, 2) == (0.3, 0.5)
    assert missing_bounds(0, 0, 0) is None


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60))
def test_kappa_is_sklearns_and_undefined_is_none(pairs: list[tuple[int, int]]) -> None:
    a, b = zip(*pairs, strict=True)
    table = np.zeros((2, 2))
    np.add.at(table, (a, b), 1)
    found = agreement(table)
    assert found.n == len(pairs)
    assert found.observed == pytest.approx(np.mean(np.array(a) == np.array(b)))
    if len(set(a) | set(b)) == 1:
        assert found.kappa is None
    else:
        assert found.kappa == pytest.approx(cohen_kappa_score(a, b))


def test_specific_agreement_and_degenerate_tables() -> None:
    found = agreement([[50, 4], [6, 20]])
    assert found.positive == pytest.approx(2 * 20 / (2 * 20 + 4 + 6))
    assert found.negative == pytest.approx(2 * 50 / (2 * 50 + 4 + 6))
    assert agreement(np.zeros((2, 2))).observed is None
    assert agreement([[5, 0], [0, 0]]).positive is None
    with pytest.raises(ValueError, match="square"):
        agreement([[1, 2]])


def test_golden_kappa_of_jailbreakbench_from_its_contingency_counts() -> None:
    """1,600 JailbreakBench artifacts: the Llama-3-70B judge against Llama Guard 1 (published verdicts, MIT)."""
    found = agreement([[766, 86], [69, 679]])
    assert (found.n, found.observed, found.kappa) == (1600, pytest.approx(0.903125, abs=1e-6), pytest.approx(0.805697, abs=1e-6))


@pytest.mark.parametrize(
    ("capability", "goal", "rule", "place"),
    [
        ([0.1, 0.3, 0.7], 0.5, "first", 1.5),
        ([0.1, 0.3, 0.4], 0.5, "first", math.nan),
        ([0.6, 0.7], 0.5, "first", 0.0),
        ([0.1, 0.6, 0.2, 0.6], 0.5, "first", 0.8),
        ([0.1, 0.6, 0.2, 0.6], 0.5, "last", 2.75),
        ([0.1, 0.5], 0.5, "first", 1.0),
    ],
)
def test_crossings(capability: list[float], goal: float, rule: str, place: float) -> None:
    assert float(crossing(capability, goal, rule)) == pytest.approx(place, nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.floats(0.01, 0.99))
def test_a_crossing_has_the_goal_and_nothing_is_extrapolated(capability: list[float], goal: float) -> None:
    place = float(crossing(capability, goal))
    if max(capability) < goal:
        assert math.isnan(place)
        assert math.isnan(float(at_place(capability, place)))
    elif capability[0] >= goal:
        assert place == 0
    else:
        assert float(at_place(capability, place)) == pytest.approx(goal, abs=1e-6)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="crossing rule"):
        crossing([0.1, 0.9], 0.5, "safest")


def test_share_gained() -> None:
    assert list(share_gained([0.2, 0.4, 0.6], 0.2, 0.6)) == pytest.approx([0, 0.5, 1])
    assert np.isnan(share_gained([0.5], 0.5, 0.5)).all()


def test_bootstrap_by_weights_is_the_bootstrap_by_rows() -> None:
    chance = np.random.default_rng(0)
    events, trials = (chance.random((3, 40)) < 0.3).astype(float), np.ones((3, 40))
    weights = cluster_weights(40, 4000, seed=1)
    assert (weights.sum(axis=1) == 40).all()
    rates = resampled_rates(weights, events, trials)
    by_rows = np.array([events[0, chance.integers(0, 40, 40)].mean() for _ in range(4000)])
    assert rates[:, 0].mean() == pytest.approx(by_rows.mean(), abs=0.01)
    assert rates[:, 0].std() == pytest.approx(by_rows.std(), rel=0.08)
    assert percentile_intervals(np.array([[math.nan, 1.0]])) == [None, None]
    low, high = percentile_intervals(np.column_stack([np.linspace(0, 1, 1001), np.linspace(0, 2, 1001)]))
    assert low == pytest.approx((0.025, 0.975))
    assert high == pytest.approx((0.05, 1.95))
