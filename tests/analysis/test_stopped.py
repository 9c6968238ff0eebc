"""Comparing where training stopped: the last checkpoint, if it is within the declared tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.analysis.arms import Arm, arm_rates
from capsafe_core.analysis.goals import goals_table
from capsafe_core.analysis.matched import matched_table, matching, recipe_table
from capsafe_core.analysis.matched_words import warnings
from capsafe_core.analysis.overview import overview
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import Run, matched_runs
from capsafe_core.analysis.sentences import capability_sentence
from capsafe_core.analysis.standing import Standing
from capsafe_core.analysis.transitions import transitions
from capsafe_core.analysis.view import View, open_view
from capsafe_core.errors import CapsafeError
from capsafe_core.selection import Selection
from capsafe_core.specification import Crossing
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.study import parse_study
from tests.synthetic import STUDY, with_study, write_study

TOLERANT = STUDY.replace("[primary]", '[primary]\ncrossing = "stopped"\ntolerance = 0.3')


@pytest.fixture(scope="module")
def stopping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("stopped")
    write_study(folder)
    with_study(folder, TOLERANT)
    with Store(None) as store:
        ingest_all(store, folder)
        yield store


def run_of(capability: list[float], error: float, tolerance: float | None, goal: float) -> Run:
    a = np.array(capability)
    noise = np.random.default_rng(0).normal(0, error, (1000, len(a)))
    draws = a + (noise if error else np.nan)
    steps, names = np.arange(float(len(a))), [str(i) for i in range(len(a))]
    return Run("r", 0, "d", "s", goal, steps, names, a, draws, rule=Crossing.STOPPED, tolerance=tolerance)


def test_each_run_is_read_at_its_last_checkpoint(stopping: Store) -> None:
    view = open_view(stopping, Selection(goals=(("sums", 0.6),)))
    found = matching(view)
    ends = {(run.recipe, run.seed): run for run in found.runs}
    table = matched_table(view, found)
    assert table["reached"].any()
    for row in table[table["reached"]].itertuples():
        run = ends[row.recipe, row.seed]
        assert row.step == run.steps[-1]
        assert row.unsafe == found.unsafe.of(run.checkpoints[-1])[0]
        assert row.unsafe_low < row.unsafe < row.unsafe_high
        assert (row.unreached, row.gap) == (0.0, 0.0)
    assert "where training stopped, within 30 pts of the goal" in view.specification_words()
    rates = arm_rates(view, matched_runs(view, path_table(view)))
    arms = {arm.name for arm in rates.arms if arm.kind == "recipe"}
    assert arms == set(table.loc[table["reached"], "recipe"])
    spec = view.specification
    primary = [(v.benchmark, v.judge, v.policy) for v in rates.variants].index(
        (spec.benchmark, spec.judge, spec.policy)
    )
    for name, runs in found.by_recipe().items():
        if name in arms:
            lasts = [r.checkpoints[-1] for r in runs if r.standing is Standing.REACHED]
            by_hand = np.mean([found.unsafe.of(c)[0] for c in lasts])
            assert rates.of(Arm("recipe", name))[primary] == pytest.approx(by_hand)
            moved = transitions(view, found, name)
            assert moved is not None
            assert moved.pair.goals == tuple(lasts)
            assert "at which training stopped" in moved.pair.there


def test_one_that_stopped_elsewhere_is_not_compared_and_every_screen_says_why(stopping: Store) -> None:
    for goal, standing, words in (
        (0.2, Standing.BEYOND, "more than 30 pts above its goal of 20%"),
        (0.99, Standing.SHORT, "which is not shown to be within 30 pts of its goal of 99%"),
    ):
        view = open_view(stopping, Selection(goals=(("sums", goal),)))
        found = matching(view)
        table = matched_table(view, found)
        assert set(table["standing"]) == {standing}
        assert table[["unsafe", "unreached"]].isna().all(axis=None)
        sentences = [
            *warnings(table),
            overview(view).headline,
            capability_sentence(recipe_table(view, found), table, view.harm),
        ]
        for sentence in sentences:
            assert words in sentence
        assert all(found.side(runs) is None for runs in found.by_recipe().values())
        over = goals_table(view, found)
        assert over["goal"].between(0, 1).all()


def test_no_tolerance_no_comparison(view: View) -> None:
    with pytest.raises(CapsafeError, match="does not say how far") as caught:
        open_view(view.store, Selection(crossing="stopped"))
    assert "tolerance = 0.05" in caught.value.hint
    with pytest.raises(CapsafeError, match="needs a tolerance"):
        parse_study(STUDY.replace("[primary]", '[primary]\ncrossing = "stopped"'))
    declared = parse_study(STUDY.replace("[primary]", "[primary]\ntolerance = 0.1"))
    assert declared.primary.specification.tolerance == 0.1


def test_what_is_declared_keeps_its_hash_without_a_tolerance() -> None:
    assert "tolerance" not in parse_study(STUDY).primary.declared()
    assert parse_study(TOLERANT).primary.declared()["tolerance"] == 0.3


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=6),
    st.floats(0.01, 0.2),
    st.floats(0.01, 0.5),
    st.floats(0.01, 1),
    st.booleans(),
)
def test_standing_is_the_test_that_is_declared(
    capability: list[float], error: float, tolerance: float, goal: float, known: bool
) -> None:
    run = run_of(capability, error if known else 0.0, tolerance, goal)
    least = np.quantile(run.capability_draws[:, -1], 0.05) if known else capability[-1]
    expected = (
        Standing.AT_START
        if capability[0] >= goal
        else Standing.BEYOND
        if capability[-1] > goal + tolerance
        else Standing.REACHED
        if least >= goal - tolerance
        else Standing.SHORT
    )
    assert run.standing is expected
    unsafe = np.zeros((3, len(capability)))
    places = run.places(unsafe)
    if expected is Standing.REACHED:
        assert (places == len(capability) - 1).all()
        assert (run.resampled_places(unsafe) == len(capability) - 1).all()
    else:
        assert np.isnan(places).all()
        assert np.isnan(run.resampled_places(unsafe)).all()


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=6),
    st.floats(0.01, 1),
    st.sampled_from([Crossing.FIRST, Crossing.LAST, Crossing.SAFEST, Crossing.STOPPED]),
)
def test_every_standing_has_words_for_every_screen(
    capability: list[float], goal: float, rule: Crossing
) -> None:
    run = replace(run_of(capability, 0.05, 0.05, goal), rule=rule)
    row = run.facts() | {"step": 1.0}
    assert run.standing.place(row)
    if run.standing is not Standing.REACHED:
        for words in (run.standing.because("r", row), run.standing.advice("r", row), run.standing.brief):
            assert words
            assert "{" not in words
        assert np.isnan(run.places(np.zeros((1, len(capability))))).all()
