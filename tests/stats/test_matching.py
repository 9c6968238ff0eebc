"""Where a path crosses a goal, and whether its checkpoints differ at all."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.specification import UPWARD, Crossing
from capsafe_core.stats.bootstrap import cluster_weights, resampled_rates
from capsafe_core.stats.matching import (
    at_place,
    crossing,
    detectable,
    pareto_probability,
    plateau,
    share_gained,
)


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
        crossing([0.1, 0.9], 0.5, "best")
    with pytest.raises(ValueError, match="crossing rule"):
        crossing([0.1, 0.9], 0.5, Crossing.STOPPED)  # which is no crossing: a run decides it
    with pytest.raises(ValueError, match="needs unsafe rates"):
        crossing([0.1, 0.9], 0.5, "safest")


def test_the_safest_crossing_is_the_one_with_the_lowest_rate() -> None:
    capability, unsafe = [0.1, 0.6, 0.2, 0.6], [0.3, 0.5, 0.2, 0.1]
    places = {rule: float(crossing(capability, 0.5, rule, unsafe)) for rule in UPWARD}
    assert places == {"first": pytest.approx(0.8), "last": pytest.approx(2.75), "safest": pytest.approx(2.75)}
    assert float(crossing(capability, 0.5, "safest", [0.3, 0.0, 0.2, 0.9])) == pytest.approx(0.8)
    assert math.isnan(float(crossing(capability, 0.9, "safest", unsafe)))
    chance = np.random.default_rng(0)
    for _ in range(300):
        a, s = chance.random((2, 5))
        rates = {rule: float(at_place(s, crossing(a, 0.5, rule, s))) for rule in UPWARD}
        assert np.isnan(rates["safest"]) or rates["safest"] <= min(rates["first"], rates["last"]) + 1e-12


def test_a_plateau_is_seen_and_a_real_difference_is_not_one() -> None:
    """Six checkpoints of one capability fail to separate in 95 of 100 studies; with one 15 pts higher they
    separate in nearly all."""
    chance = np.random.default_rng(1)
    weights = cluster_weights(200, 500, 3)
    flat = steep = 0
    for _ in range(200):
        for truth, count in ((np.full(6, 0.6), 0), (np.array([0.6] * 5 + [0.78]), 1)):
            right = (chance.random((6, 200)) < truth[:, None]).astype(float)
            draws = resampled_rates(weights, right, np.ones((6, 200)))
            found = plateau(right.mean(axis=1), draws)
            flat, steep = flat + (found and count == 0), steep + (found and count == 1)
    assert flat >= 180
    assert steep <= 30


def test_what_a_plateau_can_show_is_shown_in_four_of_five_studies() -> None:
    chance = np.random.default_rng(4)
    weights = cluster_weights(200, 500, 3)

    def measured(truth: list[float]) -> tuple[np.ndarray, np.ndarray]:
        right = (chance.random((3, 200)) < np.array(truth)[:, None]).astype(float)
        return right.mean(axis=1), resampled_rates(weights, right, np.ones((3, 200)))

    least = detectable(*measured([0.6, 0.6, 0.6]))
    seen = [not plateau(*measured([0.6 - least / 2, 0.6, 0.6 + least / 2])) for _ in range(300)]
    assert 0.72 < np.mean(seen) < 0.93
    half = [not plateau(*measured([0.6 - least / 4, 0.6, 0.6 + least / 4])) for _ in range(300)]
    assert np.mean(half) < 0.5


def test_pareto_probability_is_that_of_a_plain_loop() -> None:
    chance = np.random.default_rng(2)
    a, s = chance.integers(0, 4, (50, 6)) / 4, chance.integers(0, 4, (50, 6)) / 4
    a[::7, 2] = np.nan
    expected = np.zeros(6)
    for i in range(6):
        free = [
            all(
                not (ra[j] >= ra[i] and rs[j] <= rs[i] and (ra[j] > ra[i] or rs[j] < rs[i])) for j in range(6)
            )
            for ra, rs in zip(a, s, strict=True)
            if not np.isnan(ra[i])
        ]
        expected[i] = np.mean(free)
    assert pareto_probability(a, s) == pytest.approx(expected)
    assert pareto_probability(np.array([[0.5, np.nan]]), np.array([[0.1, 0.1]])).tolist()[0] == 1.0


def test_share_gained() -> None:
    assert list(share_gained([0.2, 0.4, 0.6], 0.2, 0.6)) == pytest.approx([0, 0.5, 1])
    assert np.isnan(share_gained([0.5], 0.5, 0.5)).all()
