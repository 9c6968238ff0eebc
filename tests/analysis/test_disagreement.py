"""Judges beside each other, transitions, and the outputs behind every mark."""

from __future__ import annotations

import pandas as pd
import pytest

from capsafe_core.analysis.disagreement import (
    compared_outputs,
    dumbbell_table,
    scores_table,
    text_map,
    votes_table,
)
from capsafe_core.analysis.incoherence import bounds_table
from capsafe_core.analysis.judge_agreement import (
    agreement_by_cell,
    agreement_intervals,
    agreement_table,
    all_judges_table,
)
from capsafe_core.analysis.matched import (
    matching,
)
from capsafe_core.analysis.outputs import neighbour, outputs_table, story_table
from capsafe_core.analysis.transitions import transitions
from capsafe_core.analysis.view import View, open_view
from capsafe_core.selection import Selection
from capsafe_core.store import Store


@pytest.mark.parametrize(("recipe", "seeds"), [("harsh", 1), ("gentle", 2)])
def test_transitions_count_every_seed_and_a_square_opens_what_it_counts(
    view: View, recipe: str, seeds: int
) -> None:
    found = transitions(view, matching(view), recipe)
    assert found is not None
    assert len(found.pair.goals) == seeds
    assert f"{recipe}, {'seed 0' if seeds == 1 else '2 seeds'}" == found.pair.whose
    assert found.table["n"].sum() == 40 * seeds
    assert found.table.groupby("before")["share"].sum().round(9).eq(1).all()
    for _, row in found.table.iterrows():
        rows, n = outputs_table(
            open_view(
                view.store,
                Selection(
                    checkpoints=found.pair.goals,
                    benchmarks=("requests",),
                    outcomes=(row["after"],),
                    before=f"{found.pair.start}:{row['before']}",
                ),
            )
        )
        assert n == row["n"]
        assert len(rows) == min(n, 50)
    unsafe = [found.table[found.table[side] == "unsafe"]["n"].sum() for side in ("after", "before")]
    assert found.change.gained - found.change.lost == unsafe[0] - unsafe[1]
    assert (found.change.clustered_p is None) == (seeds == 1)


def test_bounds(view: View) -> None:
    bounds = bounds_table(view)
    assert (bounds["lowest"] <= bounds["highest"]).all()
    assert (bounds["missing_low"] <= bounds["judged"]).all()


def test_disagreement_tables_count_the_same_outputs(view: View) -> None:
    votes, pairs = votes_table(view), agreement_table(view)
    assert votes["share"].sum() == pytest.approx(1)
    both = pairs[pairs["stratum"] == "all"].iloc[0]
    known = votes[(votes["prefix-zou"] != "") & (votes["learnt-harm"] != "")]
    assert both["n"] == known["n"].sum()
    assert both["observed"] == pytest.approx(
        known[known["prefix-zou"] == known["learnt-harm"]]["n"].sum() / known["n"].sum()
    )
    parts = pairs[pairs["stratum"].isin(["coherent", "incoherent"])]
    assert parts["n"].sum() == both["n"]
    assert not pairs["stratum"].isin(["refusal", "truncated"]).any()  # the refusal judge is one of the two
    spans = agreement_intervals(view, "kappa")
    whole = spans[spans["stratum"] == "all"].iloc[0]
    assert whole["value"] == pytest.approx(both["kappa"])
    assert whole["low"] <= whole["value"] <= whole["high"]
    assert "incoherent minus coherent" in set(spans["stratum"])
    assert all_judges_table(view).set_index("stratum").at["all", "judges"] == 2
    cells = agreement_by_cell(view)
    mine = cells[
        (cells["stratum"] == "all")
        & (cells["benchmark"] == "requests")
        & cells["checkpoint_id"].isin(view.points[view.points["step"] > 0]["checkpoint_id"])
    ]
    assert mine["n"].sum() == both["n"]


def test_the_map_has_a_point_for_each_answer_and_the_story_is_walked(view: View) -> None:
    places = text_map(view)
    assert len(places) == outputs_table(compared_outputs(view), limit=1)[1] == 9 * 40
    assert places["generation_id"].is_unique
    assert scores_table(view).empty  # no judge of this study gives scores
    story = story_table(view, "requests", "requests-00")
    first = story[(story["recipe"] == "gentle") & (story["seed"] == 0) & (story["step"] == 10)][
        "generation_id"
    ].iloc[0]
    after = neighbour(story, first, "Right")
    assert (
        after
        == story[(story["recipe"] == "gentle") & (story["seed"] == 0) & (story["step"] == 20)][
            "generation_id"
        ].iloc[0]
    )
    assert neighbour(story, str(after), "Left") == first
    assert neighbour(story, first, "Up") is None
    assert (
        neighbour(story, first, "Down")
        == story[(story["recipe"] == "gentle") & (story["seed"] == 1) & (story["step"] == 10)][
            "generation_id"
        ].iloc[0]
    )
    assert neighbour(story, "elsewhere", "Left") is None


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(benchmarks=("requests",), outcomes=("unsafe", "safe")),
        Selection(benchmarks=("dressed",), strata=("refusal", "truncated")),
        Selection(recipes=("harsh",), truncated=False),
        Selection(pattern="prefix-zou=unsafe,learnt-harm=safe"),
    ],
)
def test_the_quick_list_of_disputed_outputs_is_the_slow_one(
    made_up_store: Store, selection: Selection
) -> None:
    """The pattern counts give the same outputs in the same order as a search through all of them."""
    view = open_view(made_up_store, selection)
    for limit, offset in ((10, 0), (7, 5), (500, 0)):
        quick, found = outputs_table(view, limit, offset, "disputed")
        slow, all_found = outputs_table(
            open_view(
                made_up_store,
                selection.but(categories=("category 0", "category 1", "category 2", "category 3")),
            ),
            limit,
            offset,
            "disputed",
        )
        assert found == all_found
        keys = ["unsafe_votes", "safe_votes", "item", "recipe", "seed", "step"]
        pd.testing.assert_frame_equal(quick[keys], slow[keys])
    assert (
        outputs_table(open_view(made_up_store, Selection(pattern="prefix-zou=purple")), order="disputed")[1]
        == 0
    )


def test_a_mark_opens_as_many_outputs_as_it_counts(view: View) -> None:
    for row in votes_table(view).itertuples():
        for order in ("disputed", "position"):
            assert (
                outputs_table(
                    compared_outputs(open_view(view.store, Selection(pattern=str(row.pattern)))), order=order
                )[1]
                == row.n
            )
    pairs = agreement_table(view).set_index("stratum").loc["all"]
    differing = round(pairs["n"] * (1 - pairs["observed"]))
    for order in ("disputed", "position"):
        assert (
            outputs_table(
                compared_outputs(open_view(view.store, Selection(pattern="learnt-harm=~prefix-zou"))),
                order=order,
            )[1]
            == differing
        )
    bells = dumbbell_table(view).set_index("judge")
    clicked = open_view(view.store, Selection(pattern="prefix-zou=unsafe", strata=("incoherent",)))
    assert outputs_table(compared_outputs(clicked))[1] == round(
        bells.at["prefix-zou", "incoherent"] * bells.at["prefix-zou", "incoherent_n"]
    )
