"""How far a conclusion holds, in one word."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.analysis.arms import Arm, Claim
from capsafe_core.analysis.conclusions import STATES, Conclusion, State
from capsafe_core.analysis.curve import Kind


def conclusion_of(
    estimates: list[float], directions: list[int] | None = None, primary: int = 0
) -> Conclusion:
    """A conclusion whose variants have these estimates; the joint test could not be done."""
    curve = pd.DataFrame(
        {
            "estimate": estimates,
            "direction": directions or [0] * len(estimates),
            "primary": [i == primary for i in range(len(estimates))],
            "kind": [Kind.CHOICE] * len(estimates),
        }
    )
    claim = Claim(Arm("recipe", "a"), Arm("start", "b"))
    draws = np.empty((len(estimates), 0))
    return Conclusion(claim, curve, None, [], None, None, "", "", {}, draws)


@pytest.mark.parametrize(
    ("same", "other", "state"),
    [
        (180, 0, State.ROBUST),
        (171, 9, State.ROBUST),
        (169, 11, State.MIXED),
        (61, 29, State.MIXED),
        (60, 30, State.CONTESTED),
        (26, 64, State.CONTESTED),
    ],
)
def test_the_state_follows_the_share_of_variants(same: int, other: int, state: State) -> None:
    for sign in (1, -1):
        found = conclusion_of([0.1 * sign] * same + [-0.1 * sign] * other)
        assert found.agreement == (same, same + other)
        assert found.state is state
    assert state.value.capitalize() in STATES


def test_variants_that_contradict_each_other_are_contested_however_few() -> None:
    estimates = [0.1] * 99 + [-0.1]
    assert conclusion_of(estimates).state is State.ROBUST
    assert conclusion_of(estimates, [1] * 99 + [0]).state is State.ROBUST
    assert conclusion_of(estimates, [1] * 99 + [-1]).state is State.CONTESTED


def test_there_is_no_state_without_something_to_compare_with() -> None:
    assert conclusion_of([0.1]).state is None
    assert conclusion_of([0.1, 0.2], primary=5).state is None


@given(st.lists(st.sampled_from([-0.2, 0.0, 1e-12, 0.2]), min_size=2, max_size=40), st.integers(0, 39))
def test_what_agrees_is_counted_by_its_sign(estimates: list[float], primary: int) -> None:
    primary %= len(estimates)
    sign = {-0.2: -1, 0.0: 0, 1e-12: 0, 0.2: 1}
    same = sum(sign[e] == sign[estimates[primary]] for e in estimates)
    found = conclusion_of(estimates, primary=primary)
    assert found.agreement == (same, len(estimates))
    assert (found.state is State.ROBUST) == (same / len(estimates) >= 0.95)
