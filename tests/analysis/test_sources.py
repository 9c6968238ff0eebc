"""Where the uncertainty of a difference comes from, and what more of each source would give."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsafe_core.analysis.arms import Arm, Claim
from capsafe_core.analysis.conclusions import Conclusion, conclusion
from capsafe_core.analysis.curve import Kind, leading
from capsafe_core.analysis.matched import matching
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import matched_runs
from capsafe_core.analysis.sources import (
    WORDS,
    buy_rows,
    buys_table,
    buys_words,
    source_rows,
    sources_of,
    sources_sentence,
    sources_table,
    sources_words,
)
from capsafe_core.analysis.view import View, open_view
from capsafe_core.selection import Selection
from capsafe_core.specification import CHOICES
from capsafe_core.stats.variance import Source, facet_variance, half_width, labelled_variance, with_more
from capsafe_core.store import Store


def grid(judges: int, benchmarks: int) -> list[dict[str, str]]:
    return [{"judge": f"j{j}", "benchmark": f"b{b}"} for j in range(judges) for b in range(benchmarks)]


@given(st.integers(2, 6), st.integers(1, 5), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_a_choice_has_the_variance_of_pairs_that_differ_in_it_alone(j: int, b: int, seed: int) -> None:
    """A plain loop over pairs: half the squared difference, less what the resamples of that pair give."""
    chance = np.random.default_rng(seed)
    choices = grid(j, b)
    estimates = chance.normal(size=len(choices))
    draws = estimates + chance.normal(size=(60, len(choices))) * chance.uniform(0, 0.5)
    told = []
    for group in {c["benchmark"] for c in choices}:
        mine = [i for i, c in enumerate(choices) if c["benchmark"] == group]
        pairs = list(combinations(mine, 2))
        apart = np.mean([(estimates[x] - estimates[y]) ** 2 / 2 for x, y in pairs])
        centred = draws - draws.mean(axis=0)
        noise = np.mean([((centred[:, x] - centred[:, y]) ** 2 / 2).mean() for x, y in pairs])
        told.append((apart, noise))
    plain = max(np.mean([a for a, _ in told]) - np.mean([n for _, n in told]), 0.0)
    assert facet_variance(estimates, draws, choices, "judge") == pytest.approx(plain)


def test_planted_effects_come_back_and_chance_alone_is_none() -> None:
    chance, judges, found, nothing = np.random.default_rng(2), 0.2, [], []
    for _ in range(200):
        choices = grid(6, 4)
        effect = {f"j{j}": chance.normal(0, judges) for j in range(6)}
        draws = chance.normal(0, 0.05, (200, len(choices)))
        noise = chance.normal(0, 0.05, len(choices))
        found.append(
            facet_variance(noise + [effect[c["judge"]] for c in choices], draws + noise, choices, "judge")
        )
        nothing.append(facet_variance(noise, draws + noise, choices, "benchmark"))
    assert np.mean(found) == pytest.approx(judges**2, rel=0.15)
    assert np.mean(nothing) < 0.002


def test_a_choice_that_nothing_varies_alone_is_not_known() -> None:
    tied = [{"judge": "a", "benchmark": "x"}, {"judge": "b", "benchmark": "y"}]
    assert np.isnan(facet_variance([0.1, 0.2], np.zeros((5, 2)), tied, "judge"))
    alone = [{"judge": "a", "benchmark": "x"}]
    assert np.isnan(facet_variance([0.1], np.zeros((5, 1)), alone, "judge"))
    gaps = np.full((5, 2), np.nan)
    assert np.isnan(facet_variance([0.1, 0.2], gaps, grid(2, 1), "judge"))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.floats(1, 50))
def test_more_of_a_source_never_widens_the_interval(variances: list[float], used: float) -> None:
    sources = [Source(str(i), v, 2) for i, v in enumerate(variances)]
    more = with_more(sources, "0", used)
    assert half_width(more) <= half_width(sources) + 1e-12
    assert half_width([*sources, Source("unknown", float("nan"), 1)]) == half_width(sources)
    assert more[1:] == sources[1:]


def test_labels_are_worth_at_most_what_they_tell_alone() -> None:
    assert labelled_variance(0.04, 0.3, 2, 200) == pytest.approx(2 * 0.21 / 100)
    assert labelled_variance(0.04, 0.3, 2, 0) == 0.04
    assert np.isnan(labelled_variance(float("nan"), 0.3, 2, 200))


@pytest.fixture(scope="module")
def found(made_up_store: Store) -> tuple[View, Conclusion]:
    view = open_view(made_up_store, Selection())
    claim = Claim(Arm("recipe", "harsh"), Arm("start", "aligned"))
    return view, conclusion(view, claim, matched_runs(view, path_table(view)))


def test_the_draws_of_a_conclusion_are_in_the_order_of_its_curve(found: tuple[View, Conclusion]) -> None:
    _, told = found
    assert told.draws.shape[1] == len(told.curve)
    np.testing.assert_allclose(np.nanmean(told.draws, axis=0), told.curve["estimate"], atol=0.03)


def test_the_tables_name_every_source_and_what_more_of_it_gives(found: tuple[View, Conclusion]) -> None:
    view, told = found
    sources = sources_of(view, told, matching(view))
    names = {source.name for source in sources}
    assert names <= set(WORDS)
    assert {"prompts", "seeds"} <= names
    for name in CHOICES:
        mine = told.curve[told.curve["kind"] != Kind.BOUND]
        facet = "family" if name == "judge" else name
        if mine[facet].nunique() > 1:
            assert facet in names
    bounds = told.curve["judge"] != told.curve["judge"].iloc[leading(told.curve)]
    curve = told.curve.assign(kind=told.curve["kind"].mask(bounds, Kind.BOUND))
    assert "family" not in {
        source.name for source in sources_of(view, replace(told, curve=curve), matching(view))
    }
    table, buys = source_rows(sources), buy_rows(sources, told)
    assert table["share"].sum() == pytest.approx(1)
    assert table.loc[table["share"].isna(), "why_not"].str.len().gt(0).all()
    assert (buys["gain"].dropna() >= -0.5).all()
    assert buys.loc[buys["gain"].isna(), "why_not"].str.len().gt(0).all()
    assert len(sources_words(table)) == len(table)
    assert len(buys_words(buys)) == len(buys)
    sentence = sources_sentence(table, buys)
    assert table["source"].iloc[0] in sentence
    chosen = open_view(view.store, Selection(claim=told.claim.key))
    assert sources_table(chosen).equals(table)
    assert buys_table(chosen).equals(buys)


def test_with_one_judge_and_one_benchmark_what_they_are_worth_is_not_known() -> None:
    sources = [Source("prompts", 0.01, 100), Source("seeds", float("nan"), 1)]
    table = source_rows(sources)
    assert list(table["share"].dropna()) == [1.0]
    assert "too few training seeds" in table["why_not"].iloc[1]
    nothing = source_rows([Source("seeds", float("nan"), 1)])
    assert "Nothing tells" in sources_sentence(nothing, nothing.assign(gain=np.nan))
