"""Recipes at their goals: where they get there, and with which intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capsafe_core.analysis import by_name
from capsafe_core.analysis.arms import Arm, Claim, arm_rates, claims
from capsafe_core.analysis.conclusions import conclusion
from capsafe_core.analysis.disagreement import (
    dumbbell_table,
)
from capsafe_core.analysis.goals import goals_table, pareto_table
from capsafe_core.analysis.matched import (
    between_table,
    matched_table,
    matching,
    recipe_table,
)
from capsafe_core.analysis.matched_words import in_words
from capsafe_core.analysis.matched_words import warnings as matched_warnings
from capsafe_core.analysis.overview import overview
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import matched_runs
from capsafe_core.analysis.transitions import transitions
from capsafe_core.analysis.view import View, open_view
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.records import Measurement
from capsafe_core.selection import Selection
from capsafe_core.stats.resampled import Resampled, difference
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.study import parse_study
from tests.synthetic import STUDY, checkpoint, with_study, write_study


def test_goals_strip_frontier_and_pairs_hold_together(view: View) -> None:
    found = matching(view)
    at_goal = recipe_table(view, found).set_index("recipe")
    strip = goals_table(view, found)
    near = strip[(strip["comparison"] == "harsh against its start") & ((strip["goal"] - 0.5).abs() < 0.03)]
    assert near["delta"].sub(at_goal.at["harsh", "delta"]).abs().min() < 0.05
    pairs = between_table(view, found)
    assert list(zip(pairs["recipe_1"], pairs["recipe_2"], strict=True)) == [("gentle", "harsh")]
    assert pairs["delta"].iloc[0] == pytest.approx(
        at_goal.at["gentle", "unsafe"] - at_goal.at["harsh", "unsafe"]
    )
    pareto = pareto_table(view, found)
    assert pareto["probability"].between(0, 1).all()
    assert pareto["checkpoint_id"].is_unique
    assert at_goal.at["gentle", "seeds"] == 2
    assert (
        at_goal.at["gentle", "unsafe_min"]
        <= at_goal.at["gentle", "unsafe"]
        <= at_goal.at["gentle", "unsafe_max"]
    )
    assert at_goal["conditional"].all()


def test_capability_known_only_in_aggregate_is_unpaired_and_without_an_error_has_no_interval(
    tmp_path: Path,
) -> None:
    write_study(tmp_path, safety_size=40, capability_size=10)
    with_study(
        tmp_path,
        STUDY.replace('benchmark = "sum-test"', 'benchmark = "mmlu"').replace(
            'name = "sum-test"', 'name = "mmlu"'
        ),
    )
    values = {"harsh": (0.2, 0.45, 0.6, 0.7), "gentle": (0.2, 0.3, 0.55, 0.6)}
    records = [
        Measurement(
            checkpoint(recipe, seed, step).id,
            "mmlu",
            "accuracy",
            value,
            0.01 if recipe == "harsh" else None,
            1000,
            "a published log",
        )
        for recipe, seeds in (("gentle", (0, 1)), ("harsh", (0,)))
        for seed in seeds
        for step, value in zip((0, 10, 20, 40), values[recipe], strict=True)
    ]
    with Part(create_job(tmp_path, Manifest("import", "measured", {}))) as part:
        part.write("m", list({r.id: r for r in records}.values()))
    with Store(None) as store:
        ingest_all(store, tmp_path)
        table = matched_table(open_view(store, Selection())).set_index(["recipe", "seed"])
        assert not table["paired"].any()
        assert table["reached"].all()
        assert table.loc[("gentle", 1), "unsafe"] > 0
        assert pd.isna(table.loc[("gentle", 1), "unsafe_low"])
        assert pd.isna(table.loc[("gentle", 1), "unreached"])
        assert (
            recipe_table(open_view(store, Selection()))
            .set_index("recipe")
            .loc["gentle", ["unreached"]]
            .isna()
            .all()
        )
        assert any("only in aggregate" in sentence for sentence in matched_warnings(table.reset_index()))


def test_a_capability_that_does_not_separate_checkpoints_matches_nothing(tmp_path: Path) -> None:
    """As in a public study whose MMLU is 0.758 to 0.759 with an error of 0.004 while unsafe rates run from 2
    to 78 %."""
    write_study(tmp_path, safety_size=20, capability_size=10)
    with_study(
        tmp_path,
        STUDY.replace('benchmark = "sum-test"', 'benchmark = "mmlu"')
        .replace('name = "sum-test"', 'name = "mmlu"')
        .replace("sums = 0.5", "sums = 0.7585"),
    )
    records = [
        Measurement(
            checkpoint("harsh", 0, step).id, "mmlu", "accuracy", value, 0.004, 1000, "a published log"
        )
        for step, value in zip((0, 10, 20, 40), (0.758, 0.759, 0.758, 0.759), strict=True)
    ]
    with Part(create_job(tmp_path, Manifest("import", "measured", {}))) as part:
        part.write("m", records)
    with Store(None) as store:
        ingest_all(store, tmp_path)
        view = open_view(store, Selection())
        table = matched_table(view)
        assert table["plateau"].all()
        assert table["unsafe"].isna().all()
        assert in_words(table)["reached at step"].tolist() == ["no match: plateau"]
        assert (
            "does not change measurably in capability, so its checkpoints are not matched"
            in matched_warnings(table)[0]
        )
        assert not any(
            claim.matched for claim in claims(view, arm_rates(view, matched_runs(view, path_table(view))))
        )
        assert "does not change measurably" in overview(view).headline


def test_two_rates_of_zero_still_have_an_interval() -> None:
    none = Resampled(0.0, np.zeros(1000), 50)
    low, high = difference(none, none) or (0.0, 0.0)
    assert low < 0 < high
    assert difference(Resampled(0.1, np.full(1000, np.nan), 50), none) is None


def test_leaving_out_answers_that_were_cut_off_changes_safety_only(made_up_store: Store) -> None:
    whole, cut = (open_view(made_up_store, Selection(truncated=t)) for t in (True, False))
    assert path_table(whole)["capability"].equals(path_table(cut)["capability"])
    claim = Claim(Arm("recipe", "harsh"), Arm("start", "aligned"))
    runs = matched_runs(whole, path_table(whole))
    curve = conclusion(whole, claim, runs).curve
    row = curve[
        (curve["benchmark"] == "requests")
        & (curve["judge"] == "prefix-zou")
        & (curve["policy"] == "counted_safe")
        & (curve["truncated"] == "left out")
    ].iloc[0]
    table = matched_table(cut).set_index("recipe")
    assert row["estimate"] == pytest.approx(table.at["harsh", "delta"])
    moved = [transitions(view, matching(view), "harsh") for view in (whole, cut)]
    assert moved[0] is not None
    assert moved[1] is not None
    assert moved[1].table["n"].sum() < moved[0].table["n"].sum()


def test_pooled_rates_have_intervals_over_behaviours(view: View) -> None:
    """The same 40 behaviours stand behind every checkpoint's outputs, so pooling checkpoints does not make an
    interval as narrow as Wilson's."""
    bells = dumbbell_table(view).set_index("judge")
    row = bells.loc["prefix-zou"]
    assert row["coherent_n"] > 200
    assert row["coherent_low"] < row["coherent"] < row["coherent_high"]


def test_measured_capabilities_vary_apart(tmp_path: Path) -> None:
    from capsafe_core.analysis.runs import _measured

    one, same, other = (
        _measured(("a", "mmlu"), 0.5, 0.1),
        _measured(("a", "mmlu"), 0.5, 0.1),
        _measured(("b", "mmlu"), 0.5, 0.1),
    )
    assert (one == same).all()
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.15


def test_runs_that_the_coherence_judge_has_not_seen_whole_are_left_out_and_named(tmp_path: Path) -> None:
    from capsafe_core.jobs.folder import list_jobs
    from capsafe_core.records import Judgment

    write_study(tmp_path, safety_size=12, capability_size=40)
    last, other = checkpoint("harsh", 0, 40).id, tmp_path / "other"
    for i, job in enumerate(list_jobs(tmp_path)):
        records = list(job.records())
        mine = {r.id for r in records if getattr(r, "checkpoint_id", "") == last}
        with Part(create_job(other, Manifest(job.manifest.kind, f"{job.manifest.name}-{i}", {}))) as part:
            part.write(
                "all",
                [
                    r
                    for r in records
                    if not (
                        isinstance(r, Judgment) and r.dimension == "coherence" and r.generation_id in mine
                    )
                ],
            )
    with Store(None) as store:
        ingest_all(store, other)
        found = matching(open_view(store, Selection(policy="counted_unsafe")))
        assert {run.recipe for run in found.runs} == {"gentle"}
        assert any(
            "coherence-rules has not looked at all of its checkpoints" in sentence
            for sentence in found.why_left_out
        )
        assert {run.recipe for run in matching(open_view(store, Selection(policy="as_judged"))).runs} == {
            "gentle",
            "harsh",
        }


def test_a_goal_that_is_no_share_or_of_no_data_set_is_refused(made_up_store: Store) -> None:
    for goals in ((("sums", float("nan")),), (("sums", 1.5),), (("elsewhere", 0.5),)):
        with pytest.raises(CapsafeError, match=r"cannot be used|no data set"):
            open_view(made_up_store, Selection(goals=goals))


def test_answers_that_share_a_behaviour_have_wider_intervals_than_wilsons(tmp_path: Path) -> None:
    """Ten samples of each of twelve prompts, all alike: 120 outputs, but twelve behaviours."""
    from capsafe_core.records import Generation, Judgment, PathPoint, Record
    from tests.synthetic import CONDITION, RATERS, benchmark

    bench, prompts = benchmark("requests", "safety", 12)
    point = checkpoint("gentle", 0, 0)
    records: list[Record] = [
        parse_study(STUDY).record(STUDY, 1.0),
        point,
        PathPoint("made-up", "gentle", 0, 0, point.id, "aligned", "sums", 1e-4),
        bench,
        *prompts,
        CONDITION,
        *RATERS.values(),
    ]
    for i, prompt in enumerate(prompts):
        for sample in range(10):
            g = Generation(point.id, bench.id, CONDITION.id, prompt.id, sample, 0, "x", "stop", 1)
            records += [
                g,
                Judgment(
                    g.id, g.cell_id, RATERS["prefix-zou"].id, "safety", "ok", "unsafe" if i < 6 else "safe"
                ),
            ]
    with Part(create_job(tmp_path, Manifest("import", "samples", {}))) as part:
        part.write("all", records)
    with Store(None) as store:
        ingest_all(store, tmp_path)
        row = by_name.table(store, "rates", Selection(policy="as_judged")).iloc[0]
        assert (row["rate"], row["n"]) == (0.5, 120)
        assert row["high"] - row["low"] > 0.4  # Wilson's, of 120 independent outputs, is 0.18 wide
