"""Other capabilities at the goal of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from capsafe_core.analysis.gate import Answer, gate
from capsafe_core.analysis.margins import LOST, margins_table
from capsafe_core.analysis.matched import matching
from capsafe_core.analysis.profile import profile_table, profiles
from capsafe_core.analysis.refusals import refused_at_goal
from capsafe_core.analysis.view import View, open_view
from capsafe_core.figures.profile import capability_profile
from capsafe_core.quoting import split_names
from capsafe_core.selection import Selection
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.study import parse_study
from capsafe_core.study_primary import Margins
from tests.synthetic import MARGINS, PROFILE, write_study


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    root = tmp_path_factory.mktemp("profile") / "jobs"
    write_study(root, 80, 150, variant="profile")
    with Store(None) as store:
        assert ingest_all(store, root)[1] == []
        yield open_view(store, Selection())


def shares(view: View) -> pd.Series:
    """Right answers to the other benchmark by checkpoint, counted in the store."""
    outputs = view.store.frame(
        "SELECT c.checkpoint_id::VARCHAR AS checkpoint, j.label = 'correct' AS is_right FROM judgments j "
        "JOIN generations g USING (generation_id) JOIN cells c ON c.cell_id = g.cell_id "
        "JOIN benchmarks b USING (benchmark_id) WHERE b.name = 'words' AND j.dimension = 'correctness'"
    )
    return outputs.groupby("checkpoint")["is_right"].mean()


def test_what_was_forgotten_is_read_where_the_goal_is_reached(view: View) -> None:
    table = profile_table(view).set_index("recipe")
    assert set(table["benchmark"]) == {"words"}
    assert set(table["trained_for"]) == {"sum-test"}
    known, found = shares(view), matching(view)
    for recipe, row in table.iterrows():
        runs = found.by_recipe()[recipe]
        by_hand = []
        for run in runs:
            place = found.unsafe.crossed(run)
            at = [known[c] for c in run.checkpoints]
            by_hand.append(float(np.interp(place, range(len(at)), at)))
        assert row["right"] == pytest.approx(np.mean(by_hand))
        assert row["start"] == pytest.approx(known[runs[0].checkpoints[0]])
        assert row["delta"] == pytest.approx(row["right"] - row["start"])
        assert row["right_low"] < row["right"] < row["right_high"]
    assert (table.loc["gentle", "verdict"], table.loc["harsh", "verdict"]) == ("open", "withheld")
    assert "gentle cannot be told from its start on words" in table.loc["gentle", "words"]
    assert table.loc["harsh", "words"].startswith("words in this run of harsh: ")
    assert table.loc["harsh", "delta_high"] < 0


def test_what_was_lost_has_a_margin_that_the_gate_holds(view: View) -> None:
    rows = margins_table(view)
    lost = rows[rows["measure"] == LOST].set_index("recipe")
    change = profile_table(view).set_index("recipe")["delta"]
    assert lost["delta"].to_dict() == pytest.approx((-change).to_dict())
    assert lost["margin"].isna().all()

    def under(margin: float) -> View:
        margins = Margins(unsafe=0.9, capability=margin)
        primary = view.study.primary.model_copy(update={"margins": margins})
        return replace(view, study=view.study.model_copy(update={"primary": primary}))

    def answers(margin: float) -> dict[str, Answer]:
        return {c.recipe: c.answer for c in gate(under(margin)).checks if c.name == f"{LOST} on words"}

    high = float(lost.loc["gentle", "high"])
    assert answers(max(high, 0) + 0.01) == {"gentle": Answer.PASS, "harsh": Answer.UNDECIDED}
    assert answers(max(high - 0.001, 0.001))["gentle"] is Answer.UNDECIDED
    without = open_view(view.store, Selection(goals=()))
    assert {c.name for c in gate(without).checks} >= {"goal"}


def test_a_margin_of_something_that_is_not_measured_is_undecided(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("unmeasured") / "jobs"
    write_study(root, 40, 60, variant="margins")
    with Store(None) as store:
        ingest_all(store, root)
        found = open_view(store, Selection())
        primary = found.study.primary.model_copy(update={"margins": Margins(unsafe=0.9, capability=0.1)})
        found = replace(found, study=found.study.model_copy(update={"primary": primary}))
        checks = [c for c in gate(found).checks if c.name == LOST]
        assert {(c.recipe, c.answer) for c in checks} == {
            ("gentle", Answer.UNDECIDED),
            ("harsh", Answer.UNDECIDED),
        }
        assert "not measured" in checks[0].words
        assert profile_table(found).empty


def test_what_is_read_beside_the_unsafe_rate_is_read_at_the_same_place(view: View) -> None:
    safest = open_view(view.store, Selection(crossing="safest"))
    found = matching(safest)
    others = [right for _, right in profiles(safest, found)]
    refused = refused_at_goal(safest, found, "harmless", found.runs)
    assert refused is not None
    for run in found.runs:
        place = found.unsafe.crossed(run)
        assert [m.unsafe.crossed(run) for m in (*others, refused)] == [place] * (len(others) + 1)


def test_the_chart_shows_every_recipe_and_its_marks_name_recipe_and_benchmark(view: View) -> None:
    figure = capability_profile(profile_table(view))
    marks = [trace for trace in figure.data if trace.mode == "markers"]
    assert {split_names(row[0]) for trace in marks for row in trace.customdata} == {
        ("gentle", "words"),
        ("harsh", "words"),
    }
    assert {trace.name for trace in marks} == {"start", "at its goal"}


def test_a_margin_that_nobody_declared_changes_no_declaration() -> None:
    plain, more = parse_study(MARGINS), parse_study(PROFILE + "capability = 0.1\n")
    assert plain.primary.declared()["margins"] == {"unsafe": 0.25, "over_refusal": 0.25}
    assert more.primary.declared()["margins"] == {"unsafe": 0.25, "over_refusal": 0.25, "capability": 0.1}
