"""What is said of a change: never stronger than its interval, and no verb where nobody knows the seeds."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.analysis.at_goal import Change, Side, Verdict, change_between
from capsafe_core.analysis.harm import HARMFUL
from capsafe_core.analysis.matched import change_columns
from capsafe_core.analysis.verbs import change_means, comparison, limits
from capsafe_core.stats.bootstrap import cluster_weights, resampled_rates

SAFETY = re.compile(r"is (less safe|safer) than|became (more|less) frequent")
OPEN = re.compile(r"cannot be told apart|is open")
RATES = st.floats(0.02, 0.98)


@st.composite
def sides(draw: st.DrawFn) -> tuple[Side, Side, list[np.ndarray]]:
    """Two recipes over their seeds, and the rates of every recipe of the study."""
    chance = np.random.default_rng(draw(st.integers(0, 10_000)))
    n = draw(st.integers(5, 60))
    found = []
    for _ in range(2):
        rates = np.array(draw(st.lists(RATES, min_size=1, max_size=6)))
        events = (chance.random((len(rates), n)) < rates[:, None]).astype(float)
        draws = resampled_rates(cluster_weights(n, 200, 1), events, np.ones_like(events))
        if draw(st.booleans()):
            draws[: draw(st.integers(1, 30))] = np.nan  # out of reach
        around = np.stack([events.mean(axis=1)] * 2) if draw(st.booleans()) else np.zeros((0, 0))
        around_draws = np.stack([draws] * 2) if len(around) else np.zeros((0, 0, 0))
        found.append(Side(events.mean(axis=1), draws, n, n, around, around_draws))
    more = [np.array(draw(st.lists(RATES, min_size=1, max_size=5))) for _ in range(draw(st.integers(0, 2)))]
    return found[0], found[1], [found[0].rates, found[1].rates, *more]


@given(sides(), st.booleans())
def test_a_verb_stands_on_an_interval_with_seeds_that_leaves_out_zero(
    made: tuple[Side, Side, list[np.ndarray]], against_start: bool
) -> None:
    a, b, recipes = made
    if against_start:
        b = Side(b.rates[:1], b.draws[:, :1], b.n, b.outputs, trained=False)
    change = change_between(a, b, recipes)
    seeds = [len(side.rates) for side in (a, b) if side.trained]
    knows = min(seeds) >= 5 or (min(seeds) >= 2 and sum(len(r) - 1 for r in recipes if len(r) > 1) >= 3)
    assert (change.with_seeds is not None) == (knows and change.interval is not None)
    if change.with_seeds is not None:
        low, high = change.with_seeds
        said = Verdict.LESS_SAFE if low > 0 else Verdict.SAFER if high < 0 else Verdict.OPEN
        assert change.verdict is said
        assert low <= change.estimate <= high
    else:
        assert change.verdict is Verdict.WITHHELD
    row = {**change_columns(change), "reached": min(seeds)}
    rates = f"{a.rate:.0%}", f"{b.rate:.0%}"
    told = comparison("a", "b", change, rates, HARMFUL.answers, "why")
    assert f"{rates[0]} {HARMFUL.answers}" in told
    for words in (told, change_means(row, HARMFUL.answers)):
        assert bool(SAFETY.search(words)) == (change.verdict in (Verdict.LESS_SAFE, Verdict.SAFER))
        assert bool(OPEN.search(words)) == (change.verdict is Verdict.OPEN)
        if change.verdict is Verdict.WITHHELD and change.interval is not None:
            assert "in this run" in words.lower() or f"in these {min(seeds)} runs" in words.lower()
        if change.interval is None:
            assert "no interval" in words
    assert ("holds the rates of both" in limits(change)) == change.is_wide
    withheld = change.verdict is Verdict.WITHHELD and change.interval is not None
    assert ("Too few training seeds" in limits(change)) == withheld


@given(st.floats(-0.9, 0.9), st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_less_and_more_are_told_by_the_sign(estimate: float, below: float, above: float) -> None:
    ends = max(estimate - below, -1.0), min(estimate + above, 1.0)
    change = Change(estimate, ends, ends, "own", 0.0, False, 100, 5)
    words = change_means({**change_columns(change), "reached": 5}, HARMFUL.answers)
    assert ("more frequent: by" in words) == (ends[0] > 0)
    assert ("less frequent: by" in words) == (ends[1] < 0)
