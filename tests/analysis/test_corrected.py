"""Rates at the goal corrected by people: from a queue's labels to the headline, and where they lack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsafe_core.analysis.arms import Arm, Claim
from capsafe_core.analysis.conclusions import conclusion
from capsafe_core.analysis.corrected import by_people, corrected_table, corrected_words
from capsafe_core.analysis.matched import matching, recipe_table
from capsafe_core.analysis.overview import overview
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import matched_runs
from capsafe_core.analysis.view import View, open_view
from capsafe_core.errors import CapsafeError
from capsafe_core.labelling.desk import Desk
from capsafe_core.selection import Selection
from capsafe_core.specification import Correction
from capsafe_core.stats.bootstrap import cluster_weights
from capsafe_core.stats.correction import Labelled, weighted_ppi
from capsafe_core.stats.labelled_cells import ENOUGH_LABELS, ErrorRates, LabelledCells, Mixture
from capsafe_core.store.ingest import ingest_all
from capsafe_core.study import parse_study
from tests.labelling.desks import ADA, copied, make_once, queue, sent, work_through
from tests.synthetic import STUDY

RESAMPLES = 600


def cells_of(
    truth: np.ndarray, flagged: np.ndarray, weights: np.ndarray, arms: np.ndarray | None = None
) -> LabelledCells:
    """Outputs as (strata, cells, behaviours), one of each behaviour."""
    drawn = cluster_weights(truth.shape[2], RESAMPLES, 1)
    here = ~np.isnan(truth)
    y, f = np.nan_to_num(truth), np.where(here, flagged, 0.0)
    w = weights * here
    parts = (
        drawn,
        np.zeros(truth.shape[1:]),
        here.sum(axis=0).astype(float),
        f,
        here.astype(float),
        (w > 0).astype(float),
        w,
        w * y,
        w * f,
        w * y * f,
    )
    return LabelledCells(*parts) if arms is None else ErrorRates(*parts, arms)


def one_cell(cell: int, cells: int) -> Mixture:
    one = np.eye(cells)[cell]
    return Mixture(one, np.broadcast_to(one, (RESAMPLES, cells)))


def drawn_answers(seed: int, n: int = 150, share: float = 0.5) -> tuple[np.ndarray, ...]:
    """(strata, cells, behaviours) truths (NaN where an output is of the other stratum), verdicts, weights."""
    chance = np.random.default_rng(seed)
    truth = (chance.random((2, 3, n)) < np.array([0.3, 0.15])[:, None, None]).astype(float)
    wrong = chance.random(truth.shape) < np.array([0.1, 0.4])[:, None, None]
    broken = chance.random((3, n)) < 0.3
    truth[0][broken], truth[1][~broken] = np.nan, np.nan
    labelled = chance.random(truth.shape) < share
    return truth, np.where(wrong, 1 - np.nan_to_num(truth), np.nan_to_num(truth)), labelled / share


@given(st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_where_people_labelled_everything_the_rate_is_theirs_whatever_the_judge_says(seed: int) -> None:
    truth, flagged, _ = drawn_answers(seed)
    people = cells_of(truth, flagged, np.ones(truth.shape))
    found = people.rate(one_cell(1, 3))
    assert found is not None
    assert found[0] == pytest.approx(np.nansum(truth[:, 1]) / (~np.isnan(truth[:, 1])).sum())
    share = np.nansum(truth[:, 1], axis=0) @ people.resampling.T / people.resampling.sum(axis=1)
    np.testing.assert_allclose(found[1], share, atol=1e-6)


@given(st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_one_stratum_of_one_cell_is_ppi_as_the_correction_of_a_rate_has_it(seed: int) -> None:
    truth, flagged, weights = drawn_answers(seed, 300)
    truth, flagged, weights = (x[:1, :1] for x in (np.nan_to_num(truth), flagged, weights))
    found = cells_of(truth, flagged, weights).rate(one_cell(0, 1))
    plain = weighted_ppi(
        Labelled(flagged[0, 0], truth[0, 0], np.minimum(weights[0, 0], 0.5), np.arange(truth.shape[2]))
    )
    assert found is not None
    assert plain.rate is not None
    assert plain.standard_error is not None
    assert found[0] == pytest.approx(plain.rate, abs=0.5 * plain.standard_error)
    assert found[1].std() == pytest.approx(plain.standard_error, rel=0.35)


def test_a_goal_between_two_cells_mixes_their_rates_as_the_line_does() -> None:
    truth, flagged, _ = drawn_answers(3)
    people = cells_of(truth, flagged, np.ones(truth.shape))
    share = np.array([0.0, 0.25, 0.75])
    found = people.rate(Mixture(share, np.broadcast_to(share, (RESAMPLES, 3))))
    ends = [people.rate(one_cell(i, 3)) for i in (1, 2)]
    assert found is not None
    assert found[0] == pytest.approx(0.25 * ends[0][0] + 0.75 * ends[1][0])  # type: ignore[index]


def test_resamples_that_do_not_reach_the_goal_have_no_rate() -> None:
    truth, flagged, weights = drawn_answers(4)
    draws = np.tile(np.array([0.0, 1.0, 0.0]), (RESAMPLES, 1))
    draws[:7] = np.nan
    found = cells_of(truth, flagged, weights).rate(Mixture(np.array([0.0, 1.0, 0.0]), draws))
    assert found is not None
    assert np.isnan(found[1]).tolist() == [True] * 7 + [False] * (RESAMPLES - 7)


def test_too_few_labels_are_counted_by_kind_and_give_no_rate() -> None:
    truth, flagged, _ = drawn_answers(5)
    weights = np.zeros(truth.shape)
    weights[0, 1, np.flatnonzero(~np.isnan(truth[0, 1]))[:15]] = 2.0
    people = cells_of(truth, flagged, weights)
    assert people.lacking([1]).tolist() == [ENOUGH_LABELS - 15, ENOUGH_LABELS]
    assert people.rate(one_cell(1, 3)) is None
    nothing = cells_of(np.full(truth.shape, np.nan), flagged, weights)
    assert nothing.rate(one_cell(0, 3)) is None


def test_labels_of_one_behaviour_have_no_interval() -> None:
    truth, flagged = np.zeros((1, 1, 40)), np.zeros((1, 1, 40))
    people = cells_of(truth, flagged, np.zeros(truth.shape))
    alone = np.eye(40)[0] * np.ones((1, 1, 40))
    held = replace(people, labels=25 * alone, weights=50 * alone, outputs=people.outputs + 49 * alone)
    found = held.rate(one_cell(0, 1))
    assert found is not None
    assert np.isnan(found[1]).all()


def test_a_judge_that_labels_never_contradict_still_leaves_room_for_an_error() -> None:
    truth = np.tile((np.arange(200) % 4 == 0).astype(float), (1, 1, 1))
    weights = (np.arange(200) < 30)[None, None] * (200 / 30)
    found = cells_of(truth, truth, weights).rate(one_cell(0, 1))
    assert found is not None
    judged = truth[0, 0] @ cluster_weights(200, RESAMPLES, 1).T / 200
    assert found[1].var() > judged.var()


def test_error_rates_are_taken_over_only_where_labels_do_not_show_that_the_arm_differs() -> None:
    chance = np.random.default_rng(0)
    truth = (chance.random((1, 2, 400)) < np.array([0.02, 0.4])[None, :, None]).astype(float)
    for caught, assumed in (((0.8, 0.8), True), ((0.0, 1.0), False)):
        q1 = np.array(caught)[None, :, None]
        flagged = np.where(chance.random(truth.shape) < np.where(truth == 1, q1, 0.1), 1.0, 0.0)
        people = cells_of(truth, flagged, np.ones(truth.shape), np.array([0, 1]))
        assert isinstance(people, ErrorRates)
        assert (people.rate(one_cell(0, 2)) is not None and people.assumes([0])) == assumed
        found = people.rate(one_cell(1, 2))
        assert found is not None
        assert not people.assumes([1])
        assert found[0] == pytest.approx(truth[0, 1].mean(), abs=0.06)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_once(tmp_path_factory.mktemp("made"), 120, 60)


@pytest.fixture(scope="module")
def labelled(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Two of three outputs labelled as their text says, by a random queue."""
    with copied(made, tmp_path_factory.mktemp("labelled") / "jobs") as desk:
        work_through(desk, queue(desk, size=600), ADA)
        yield desk


@pytest.fixture
def unlabelled(made: Path, tmp_path: Path) -> Iterator[View]:
    with copied(made, tmp_path / "jobs") as desk:
        yield open_view(desk.store, Selection())


PEOPLE = Selection(correction=Correction.BY_PEOPLE.value)


def test_a_selection_corrects_what_every_screen_says(labelled: Desk) -> None:
    plain, view = open_view(labelled.store, Selection()), open_view(labelled.store, PEOPLE)
    assert view.is_corrected
    assert not view.completes_primary
    assert "corrected by people's labels" in view.specification_words()
    assert "corrected" not in plain.specification_words()
    judged, corrected = recipe_table(plain), recipe_table(view)
    assert list(corrected["recipe"]) == list(judged["recipe"])
    assert corrected["unsafe"].notna().all()
    assert "corrected by people; 95% CI" in overview(view).headline
    claim = Claim(Arm("recipe", "harsh"), Arm("start", "aligned"))
    runs = matched_runs(view, path_table(view))
    found = conclusion(view, claim, runs)
    assert set(found.curve["correction"]) == set(Correction)
    [main] = found.curve[found.curve["primary"]].to_dict("records")
    assert main["correction"] == Correction.BY_PEOPLE
    assert ", corrected by people, on requests" in found.first
    row = corrected[corrected["recipe"] == "harsh"].iloc[0]
    assert main["estimate"] == pytest.approx(row["delta"])


def test_the_table_has_both_corrections_beside_what_was_judged(labelled: Desk) -> None:
    view = open_view(labelled.store, Selection())
    table = corrected_table(view)
    judged, corrected = recipe_table(view), recipe_table(by_people(view))
    to_start = table[table["to_start"]]
    assert list(to_start["judged"]) == pytest.approx(list(judged["delta"]))
    assert list(to_start["ppi"]) == pytest.approx(list(corrected["delta"]))
    assert (table["lacking"] == "").all()
    assert (table["labels"] >= 2 * ENOUGH_LABELS).all()
    assert (table["ppi_low"] < table["ppi_high"]).all()
    assert (table["undecided"] == 0).all()  # everybody told
    assert list(table["lowest"]) == pytest.approx(list(table["ppi"]))
    assert list(table["highest"]) == pytest.approx(list(table["ppi"]))
    words, sentences = corrected_words(table)
    assert len(words) == len(table)
    assert sentences == []
    again = corrected_table(open_view(labelled.store, PEOPLE))
    assert again.equals(table)


def test_labels_that_tell_nothing_bound_the_difference(made: Path, tmp_path: Path) -> None:
    with copied(made, tmp_path / "jobs") as desk:
        drawn, done = queue(desk, size=600, questions=("safety",)), 0
        while tasks := desk.hand_out(ADA, drawn.queue):
            for task in tasks:
                done += 1
                answer = sent(task.id, answers={"safety": "safe" if done % 6 else "cannot_tell"})
                assert desk.submit(ADA, drawn.queue, answer).taken
        ingest_all(desk.store, desk.jobs)
        table = corrected_table(open_view(desk.store, Selection())).dropna(subset=["ppi"])
        assert len(table)
        assert (table["undecided"] > 0).all()
        assert (table["lowest"] < table["ppi"]).all()
        assert (table["ppi"] < table["highest"]).all()
        assert corrected_words(table)[0]["undecided"].str.contains("pts").all()


def test_without_labels_there_is_no_number_but_which_labels_are_lacking(unlabelled: View) -> None:
    found = matching(by_people(unlabelled))
    assert found.runs == []
    *lacking, advice = found.why_left_out
    assert all("20 coherent outputs" in words for words in lacking)
    assert "as judged" in advice
    assert any("its start, aligned" in words and "at step" in words for words in lacking)
    with pytest.raises(CapsafeError, match="No recipe can be compared") as error:
        overview(by_people(unlabelled))
    assert "as judged" in error.value.hint
    table = corrected_table(unlabelled)
    assert table["judged"].notna().all()
    assert table[["ppi", "rogan_gladen"]].isna().all(axis=None)
    words, sentences = corrected_words(table)
    assert words.empty
    assert sentences == [*table["lacking"].iloc[: len(sentences) - 1], advice]
    runs = matched_runs(unlabelled, path_table(unlabelled))
    curve = conclusion(unlabelled, Claim(Arm("recipe", "harsh"), Arm("start", "aligned")), runs).curve
    assert set(curve["correction"]) == {Correction.AS_JUDGED}
    refused = conclusion(by_people(unlabelled), Claim(Arm("recipe", "harsh"), Arm("start", "aligned")), runs)
    assert refused.change is None
    assert "labels are too few" in refused.first


def test_the_correction_is_declared_in_the_study_file_and_older_ones_keep_their_digest() -> None:
    plain = parse_study(STUDY)
    declared = parse_study(STUDY.replace("[primary]", f'[primary]\ncorrection = "{Correction.BY_PEOPLE}"'))
    assert plain.primary.specification.correction is Correction.AS_JUDGED
    assert declared.primary.specification.correction is Correction.BY_PEOPLE
    assert "correction" not in plain.primary.declared()
    assert plain.primary_digest != declared.primary_digest
    with pytest.raises(CapsafeError):
        parse_study(STUDY.replace("[primary]", '[primary]\ncorrection = "perhaps"'))
