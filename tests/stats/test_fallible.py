"""Rates bounded by the error of one label."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.stats.fallible import fallible_bounds

RATES = st.floats(0.02, 0.98)


@given(RATES, st.floats(0.0, 0.45), st.floats(0.0, 0.45))
def test_a_true_rate_lies_within_whatever_errors_people_make(
    true: float, missed: float, raised: float
) -> None:
    """Two people who miss and raise events alike and apart: expectations, without chance."""
    told = true * (1 - missed) + (1 - true) * raised
    disagreement = 2 * (true * missed * (1 - missed) + (1 - true) * raised * (1 - raised))
    low, high = fallible_bounds(told, told, disagreement)
    assert low - 1e-9 <= true <= high + 1e-9


@given(RATES, RATES)
def test_no_disagreement_moves_nothing_and_more_moves_more(one: float, two: float) -> None:
    low, high = min(one, two), max(one, two)
    assert fallible_bounds(low, high, 0.0) == pytest.approx((low, high))
    ends = [fallible_bounds(low, high, d) for d in (0.0, 0.05, 0.1, 0.3, 1.0)]
    assert [e[0] for e in ends] == sorted((e[0] for e in ends), reverse=True)
    assert [e[1] for e in ends] == sorted(e[1] for e in ends)
    assert all(0 <= a <= b <= 1 for a, b in ends)


def test_a_share_of_missed_harms_is_found_by_hand() -> None:
    """30 % true, 10 % of them missed: 27 % told, and 2 × 0.3 × 0.1 × 0.9 of doubles differ."""
    low, high = fallible_bounds(0.27, 0.27, 0.054)
    assert high == pytest.approx(0.3)
    assert low == pytest.approx(1 - 0.73 / (1 - 0.054 / (2 * 0.73)))


@pytest.mark.parametrize("values", [(-0.1, 0.2, 0.1), (0.3, 0.2, 0.1), (0.1, 0.2, 1.2), (0.1, math.nan, 0.1)])
def test_what_is_no_share_is_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="share"):
        fallible_bounds(*values)
