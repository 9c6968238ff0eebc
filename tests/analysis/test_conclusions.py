"""Claims under every way of asking, and rates corrected by people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from capsafe_core.analysis import by_name
from capsafe_core.analysis.arms import Arm, Claim, arm_rates, claims, find_claim
from capsafe_core.analysis.conclusions import conclusion, policies_table, rank_table
from capsafe_core.analysis.disagreement import (
    compared_outputs,
    dumbbell_table,
    scores_table,
    text_map,
    votes_table,
)
from capsafe_core.analysis.goals import goals_table, pareto_table
from capsafe_core.analysis.incoherence import bounds_table, transitions
from capsafe_core.analysis.judge_agreement import (
    agreement_by_cell,
    agreement_intervals,
    agreement_table,
    all_judges_table,
)
from capsafe_core.analysis.matched import (
    between_table,
    matched_table,
    matching,
    recipe_table,
)
from capsafe_core.analysis.matched_words import in_words
from capsafe_core.analysis.matched_words import warnings as matched_warnings
from capsafe_core.analysis.outputs import neighbour, outputs_table, story_table
from capsafe_core.analysis.overview import overview
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.people import correction_table
from capsafe_core.analysis.runs import matched_runs
from capsafe_core.analysis.variants import OWN
from capsafe_core.analysis.view import View, open_view
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.records import LabelEvent, Measurement, QueueItem, Rater, identify
from capsafe_core.selection import Selection
from capsafe_core.specification import POLICIES, Policy
from capsafe_core.stats.resampled import Resampled, difference
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.study import parse_study
from tests.published import committed, jbb_rows, rows_from_counts, write_jbb
from tests.synthetic import STUDY, checkpoint, write_study


@pytest.fixture(scope="module")
def view(made_up_store: Store) -> View:
    return open_view(made_up_store, Selection())


@pytest.fixture(scope="module", params=["counts", "full data"])
def jbb(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    rows = rows_from_counts(committed()["jbb"]) if request.param == "counts" else jbb_rows()
    root = tmp_path_factory.mktemp("jbb")
    write_jbb(root, rows)
    with Store(None) as store:
        _, problems = ingest_all(store, root)
        assert problems == []
        yield store


def test_the_reversal_in_jailbreakbench_is_the_first_claim(jbb: Store) -> None:
    """GCG succeeds more often than PAIR on Vicuna-13B by one judge (80 % against 69 %), less often by the
    other (58 % against 82 %)."""
    view = open_view(jbb, Selection())
    rates = by_name.table(jbb, "rates", Selection())
    vicuna = rates[
        rates["checkpoint_id"]
        == view.points[view.points["start"] == "vicuna-13b-v1.5"]["checkpoint_id"].iloc[0]
    ]
    assert len(rates) == 34  # 18 attacks on models, two of them without the second judge
    assert (
        dict(zip(zip(vicuna["attack"], vicuna["judge"], strict=True), vicuna["rate"].round(2), strict=True))[
            "PAIR", "llama-guard-1"
        ]
        == 0.82
    )
    runs = matched_runs(view, path_table(view))
    found = arm_rates(view, runs)
    claim = find_claim(claims(view, found), "")
    assert {claim.a, claim.b} == {
        Arm("attack", "vicuna-13b-v1.5", "GCG"),
        Arm("attack", "vicuna-13b-v1.5", "PAIR"),
    }
    result = conclusion(view, claim, runs)
    by_judge = result.curve.set_index("judge")
    assert (by_judge.at["llama-3-70b", "a"], by_judge.at["llama-3-70b", "b"]) == (
        pytest.approx(0.80),
        pytest.approx(0.69),
    )
    assert (by_judge.at["llama-guard-1", "a"], by_judge.at["llama-guard-1", "b"]) == (
        pytest.approx(0.58),
        pytest.approx(0.82),
    )
    assert result.curve["estimate"].min() < 0 < result.curve["estimate"].max()
    assert by_judge.at["llama-guard-1", "direction"] == -1
    assert "not at one capability" in result.sentence
    # by one judge the interval may just reach zero, by how requests are numbered
    opposed = by_judge.at["llama-3-70b", "direction"] != 0
    lead = "They contradict each other, from" if opposed else "Their estimates run from"
    assert (
        f"{lead} −24 points (llama-guard-1 on jbb-behaviors: 58% against 82%) to "
        "+11 points (llama-3-70b on jbb-behaviors: 80% against 69%)" in result.sentence
    )
    assert "declaration time" in result.sentence or "declared" in result.sentence
    assert [(f.choice, f.flips, f.pairs) for f in result.flipping] == [("llama-guard-1", 1, 1)]
    assert result.curve["p"].notna().all()
    ways, tau = rank_table(found)
    assert [way.words for way in ways] == ["jbb-behaviors, llama-3-70b", "jbb-behaviors, llama-guard-1"]
    assert 0.5 < tau[0, 1] < 1


def test_pages_of_a_study_without_recipes_answer_in_words(jbb: Store) -> None:
    view = open_view(jbb, Selection())
    assert matched_table(view).empty
    with pytest.raises(CapsafeError, match="No recipe can be compared at a goal"):
        overview(view)
    with pytest.raises(CapsafeError, match="No output of this selection"):
        correction_table(view)
    kappa = agreement_intervals(view, "kappa").set_index("stratum").loc["all"]
    assert (kappa["n"], kappa["value"]) == (1600, pytest.approx(0.805697, abs=1e-6))
    assert kappa["low"] < kappa["value"] < kappa["high"]


def test_curves_agree_with_point_estimates_and_with_the_matched_table(view: View) -> None:
    paths = path_table(view)
    runs = matched_runs(view, paths)
    rates = arm_rates(view, runs)
    found = matching(view, paths)
    recipes = recipe_table(view, found).set_index("recipe")
    for recipe in ("gentle", "harsh"):
        claim = Claim(Arm("recipe", recipe), Arm("start", "aligned"))
        curve = conclusion(view, claim, runs).curve
        main = curve[curve["primary"]].iloc[0]
        assert (main["estimate"], main["low"], main["high"]) == pytest.approx(
            (recipes.at[recipe, "delta"], recipes.at[recipe, "delta_low"], recipes.at[recipe, "delta_high"])
        )
        change = dict(zip(rates.variants, rates.change(claim), strict=True))
        plain = curve[
            (curve["truncated"] == "kept")
            & (curve["cutoff"] == OWN)
            & (curve["policy"] != Policy.COHERENT_IN_BOTH)
        ]
        assert len(plain) == len(change)
        for row in plain.itertuples():
            way = next(
                w
                for w in change
                if (w.benchmark, w.judge, w.policy) == (row.benchmark, row.judge, row.policy)
            )
            assert row.estimate == pytest.approx(change[way], abs=1e-9)
        assert (curve["low"].dropna() <= curve["estimate"][curve["low"].notna()] + 1e-9).all()
    policies = policies_table(view, found)
    assert set(policies["policy"]) == {*POLICIES, Policy.COHERENT_IN_BOTH}
    wide = policies[policies["truncated"] == "kept"].pivot(index="recipe", columns="policy", values="a")
    assert (wide["counted_safe"] <= wide["as_judged"] + 1e-9).all()
    assert (wide["as_judged"] <= wide["counted_unsafe"] + 1e-9).all()


def test_coherent_in_both_counts_prompts_that_both_sides_answer_coherently(
    view: View, made_up_jobs: Path
) -> None:
    from tests.analysis.test_analysis import facts

    generations, judgments, _ = facts(made_up_jobs)
    last, start = checkpoint("harsh", 0, 40).id, checkpoint("harsh", 0, 0).id

    def outputs(point: str) -> dict[str, Any]:
        bench = next(
            p for p in view.cells.itertuples() if p.checkpoint_id == point and p.benchmark == "requests"
        ).benchmark_id
        return {
            g.prompt_id: g
            for g in generations.values()
            if g.checkpoint_id == point and g.benchmark_id == bench
        }

    one, two = outputs(last), outputs(start)
    kept = [
        p
        for p in one
        if all(
            judgments[side[p].id, "coherence-rules", "coherence"].label == "coherent" for side in (one, two)
        )
    ]
    curve = conclusion(
        view, Claim(Arm("last", "harsh"), Arm("start", "aligned")), matched_runs(view, path_table(view))
    ).curve
    row = curve[
        (curve["benchmark"] == "requests")
        & (curve["judge"] == "prefix-zou")
        & (curve["policy"] == Policy.COHERENT_IN_BOTH)
        & (curve["truncated"] == "kept")
    ].iloc[0]
    assert row["n"] == len(kept)
    assert row["a"] == pytest.approx(
        np.mean([judgments[one[p].id, "prefix-zou", "safety"].label == "unsafe" for p in kept])
    )


def test_claims_can_be_named_and_unknown_ones_are_refused(view: View) -> None:
    listed = claims(view, arm_rates(view, matched_runs(view, path_table(view))))
    assert [c.matched for c in listed] == sorted((c.matched for c in listed), reverse=True)
    assert find_claim(listed, "recipe:harsh|start:aligned").a == Arm("recipe", "harsh")
    assert find_claim(listed, "start:aligned|recipe:harsh").a == Arm("recipe", "harsh")
    with pytest.raises(CapsafeError, match="cannot be tested"):
        find_claim(listed, "recipe:nobody|start:aligned")
    with pytest.raises(CapsafeError, match="Nothing can be compared yet"):
        find_claim([], "")


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


def test_transitions_and_bounds(view: View) -> None:
    found = transitions(view, matching(view), "harsh")
    assert found is not None
    assert found.table["n"].sum() == 40
    assert found.table.groupby("before")["share"].sum().round(9).eq(1).all()
    row = found.table[found.table["after"] == "incoherent"].iloc[0]
    rows, n = outputs_table(
        open_view(
            view.store,
            Selection(
                checkpoints=(found.pair.goal,),
                benchmarks=("requests",),
                outcomes=("incoherent",),
                before=f"{found.pair.start}:{row['before']}",
            ),
        )
    )
    assert n == row["n"] == len(rows)
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


PEOPLE = {name: Rater(name, "annotator", "people", ("safety", "coherence"), "1") for name in ("ann", "ben")}


def label(
    jobs: Path,
    outputs: pd.DataFrame,
    verdict: Callable[[Any], str],
    probability: float | None,
    who: str = "ann",
    queue: str = "q",
    answered: int | None = None,
    dimension: str = "safety",
) -> None:
    """Labels of some outputs by one person, from a queue that drew them with a probability."""
    cells = outputs["cell_id"]
    items = [
        QueueItem(queue, g, c, "all", i, probability)
        for i, (g, c) in enumerate(zip(outputs["generation_id"], cells, strict=True))
    ]
    events = [
        LabelEvent(
            identify("label", who, row.generation_id, dimension),
            row.generation_id,
            row.cell_id,
            PEOPLE[who].id,
            dimension,
            "label",
            verdict(row),
            1.0,
            2.0 + i,
            queue=queue,
        )
        for i, row in enumerate(outputs.itertuples())
        if answered is None or i < answered
    ]
    with Part(create_job(jobs, Manifest("annotate", f"labels-{who}-{queue}-{dimension}", {}))) as part:
        part.write("labels", [PEOPLE[who], *items, *events])


@pytest.fixture
def labelled(tmp_path: Path) -> Iterator[tuple[Store, Path, pd.DataFrame]]:
    """A larger made-up study, and its outputs to the harmful requests with their cells."""
    write_study(tmp_path, safety_size=120, capability_size=20)
    with Store(None) as store:
        ingest_all(store, tmp_path)
        outputs = store.frame(
            "SELECT CAST(g.generation_id AS VARCHAR) AS generation_id, CAST(g.cell_id AS VARCHAR) AS "
            "cell_id, g.text FROM generations AS g JOIN cells USING (cell_id) JOIN benchmarks AS b USING "
            "(benchmark_id) WHERE b.name = 'requests' ORDER BY hash(g.generation_id)"
        )
        yield store, tmp_path, outputs


def harmful(row: Any) -> str:
    return "unsafe" if row.text.startswith("Sure") else "safe"


def test_labels_correct_a_judge_that_calls_broken_text_unsafe(
    labelled: tuple[Store, Path, pd.DataFrame],
) -> None:
    store, jobs, outputs = labelled
    truth = outputs["text"].str.startswith("Sure").mean()
    label(jobs, outputs.head(400), harmful, 400 / len(outputs))
    ingest_all(store, jobs)
    table = by_name.table(store, "correct", Selection()).set_index(["judge", "stratum"])
    row = table.loc["prefix-zou", "all"]
    assert row["labels"] == 400
    assert row["judge_rate"] > truth + 0.05
    assert row["ppi_low"] < truth < row["ppi_high"]
    assert row["rogan_gladen"] == pytest.approx(truth, abs=0.05)
    assert row["claimed"]
    assert (
        table.loc[("prefix-zou", "incoherent"), "specificity"] == 0.0
    )  # it calls all broken text unsafe, people none
    assert not table.loc[("prefix-zou", "incoherent"), "claimed"]
    people = dumbbell_table(open_view(store, Selection())).set_index("judge").loc["people"]
    assert people["incoherent"] == 0.0
    rates = by_name.table(store, "rates", Selection())
    assert not set(PEOPLE) & set(rates["judge"])  # people are not judges


def test_hand_picked_labels_correct_nothing(labelled: tuple[Store, Path, pd.DataFrame]) -> None:
    store, jobs, outputs = labelled
    label(jobs, outputs.head(300), harmful, None)
    ingest_all(store, jobs)
    with pytest.raises(CapsafeError, match="picked by hand") as error:
        correction_table(open_view(store, Selection()))
    assert "Make a queue" in error.value.hint


def test_only_the_completed_beginning_of_a_queue_counts_and_open_questions_bound(
    labelled: tuple[Store, Path, pd.DataFrame],
) -> None:
    store, jobs, outputs = labelled
    label(
        jobs,
        outputs.head(400),
        lambda row: "cannot_tell" if row.generation_id[0] in "01" else harmful(row),
        400 / len(outputs),
        answered=200,
    )
    ingest_all(store, jobs)
    row = (
        correction_table(open_view(store, Selection()))
        .set_index(["judge", "stratum"])
        .loc["prefix-zou", "all"]
    )
    assert row["labels"] + row["unusable"] == 200
    assert row["unusable"] > 0
    assert row["lowest"] < row["ppi"] < row["highest"]
    assert not row["claimed"]
    assert "labels, fewer than 200" in row["why_not"]


def test_disputed_labels_are_no_truth_until_adjudicated(labelled: tuple[Store, Path, pd.DataFrame]) -> None:
    store, jobs, outputs = labelled
    label(jobs, outputs.head(60), harmful, 60 / len(outputs))
    label(jobs, outputs.head(60), lambda row: "safe", 60 / len(outputs), who="ben")
    ingest_all(store, jobs)
    row = (
        correction_table(open_view(store, Selection()))
        .set_index(["judge", "stratum"])
        .loc["prefix-zou", "all"]
    )
    disputed = int(outputs.head(60)["text"].str.startswith("Sure").sum())
    assert (row["unusable"], row["labels"]) == (disputed, 60 - disputed)


def test_the_detector_is_measured_against_people(labelled: tuple[Store, Path, pd.DataFrame]) -> None:
    store, jobs, outputs = labelled
    label(
        jobs,
        outputs.head(300),
        lambda row: "incoherent" if row.text.startswith("####") else "coherent",
        300 / len(outputs),
        dimension="coherence",
    )
    ingest_all(store, jobs)
    row = correction_table(open_view(store, Selection()), "coherence").iloc[0]
    assert (row["judge"], row["sensitivity"], row["specificity"]) == ("coherence-rules", 1.0, 1.0)


def with_study(jobs: Path, text: str) -> None:
    with Part(create_job(jobs, Manifest("import", "other-study", {}))) as part:
        part.write("study", [parse_study(text).record(text, 9.0)])


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
        assert "does not separate its checkpoints" in matched_warnings(table)[0]
        assert not any(
            claim.matched for claim in claims(view, arm_rates(view, matched_runs(view, path_table(view))))
        )
        assert "does not change measurably" in overview(view).headline


def test_two_rates_of_zero_still_have_an_interval() -> None:
    none = Resampled(0.0, np.zeros(1000), 50)
    low, high = difference(none, none) or (0.0, 0.0)
    assert low < 0 < high
    assert difference(Resampled(0.1, np.full(1000, np.nan), 50), none) is None


def test_what_was_retracted_is_on_no_table_and_breaks_none(tmp_path: Path) -> None:
    from capsafe_core.store.batches import set_retracted

    jobs = write_study(tmp_path, safety_size=10, capability_size=10)
    with Store(None) as store:
        ingest_all(store, tmp_path)
        set_retracted(store, jobs[-1].job_id, True)
        for name in (n for n in by_name.TABLES if not n.startswith("correct")):
            by_name.table(store, name, Selection())
        overview(open_view(store, Selection()))


def test_only_outputs_to_the_same_prompts_are_paired(tmp_path: Path) -> None:
    """The start lacks one prompt and the last checkpoint another; both have as many outputs."""
    from capsafe_core.records import Generation, Record
    from tests.synthetic import benchmark

    write_study(tmp_path, safety_size=12, capability_size=10)
    _, prompts = benchmark("requests", "safety", 12)
    lacking = {(checkpoint("harsh", 0, 0).id, prompts[3].id), (checkpoint("harsh", 0, 40).id, prompts[7].id)}
    from capsafe_core.jobs.folder import list_jobs

    other = tmp_path / "other"
    for i, job in enumerate(list_jobs(tmp_path)):
        records: list[Record] = list(job.records())
        gone = {
            r.id for r in records if isinstance(r, Generation) and (r.checkpoint_id, r.prompt_id) in lacking
        }
        with Part(create_job(other, Manifest(job.manifest.kind, f"{job.manifest.name}-{i}", {}))) as part:
            part.write(
                "all",
                [r for r in records if r.id not in gone and getattr(r, "generation_id", None) not in gone],
            )
    with Store(None) as store:
        ingest_all(store, other)
        view = open_view(store, Selection())
        moved = transitions(view, matching(view), "harsh")
        assert moved is not None
        curve = conclusion(
            view, Claim(Arm("last", "harsh"), Arm("start", "aligned")), matched_runs(view, path_table(view))
        ).curve
        judged = curve[
            (curve["benchmark"] == "requests")
            & (curve["policy"] == Policy.COHERENT_IN_BOTH)
            & (curve["truncated"] == "kept")
        ]
        assert (judged["n"] <= 10).all()
        rows = store.rows(
            """
            SELECT p.item, list(DISTINCT c.checkpoint_id) FROM generations JOIN prompts AS p USING (prompt_id) JOIN cells AS c USING (cell_id)
            WHERE p.item LIKE 'requests-%' AND CAST(c.checkpoint_id AS VARCHAR) IN (?, ?) GROUP BY p.item HAVING count(*) = 2
            """,
            [moved.pair.start, moved.pair.goal],
        )
        assert moved.table["n"].sum() == len(rows)


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


def test_a_treatment_that_leaves_nothing_at_one_checkpoint_drops_no_recipe(tmp_path: Path) -> None:
    """Every answer of the last checkpoint is incoherent; the goal is crossed long before."""
    from capsafe_core.jobs.folder import list_jobs
    from capsafe_core.records import Judgment

    write_study(tmp_path, safety_size=12, capability_size=40)
    last = checkpoint("harsh", 0, 40).id
    other = tmp_path / "other"
    for i, job in enumerate(list_jobs(tmp_path)):
        records = list(job.records())
        mine = {r.id for r in records if getattr(r, "checkpoint_id", "") == last}
        changed = [
            replace(r, label="incoherent")
            if isinstance(r, Judgment) and r.dimension == "coherence" and r.generation_id in mine
            else r
            for r in records
        ]
        with Part(create_job(other, Manifest(job.manifest.kind, f"{job.manifest.name}-{i}", {}))) as part:
            part.write("all", changed)
    with Store(None) as store:
        ingest_all(store, other)
        table = matched_table(open_view(store, Selection(policy="excluded"))).set_index("recipe")
        assert table.at["harsh", "reached"]
        assert table.at["harsh", "unsafe"] > 0


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
            for sentence in found.left_out
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


def test_degenerate_studies_answer_in_words(tmp_path: Path) -> None:
    """No capability benchmark; one judge; every output incoherent; one checkpoint."""
    write_study(tmp_path, safety_size=6, capability_size=4)
    without = STUDY.replace('benchmark = "sum-test"\n[[recipes]]', "[[recipes]]")
    with_study(tmp_path, without.replace("[goals]\nsums = 0.5\n", ""))
    with Store(None) as store:
        ingest_all(store, tmp_path)
        view = open_view(store, Selection())
        assert view.matched_recipes == []
        with pytest.raises(CapsafeError, match="No recipe can be compared at a goal"):
            overview(view)
        for name in (n for n in by_name.TABLES if not n.startswith(("correct", "conclusions"))):
            by_name.table(store, name, Selection())
        listed = claims(view, arm_rates(view, matched_runs(view, path_table(view))))
        assert all(not claim.matched for claim in listed)


def test_tables_are_json(made_up_store: Store) -> None:
    for name in (n for n in by_name.TABLES if not n.startswith("correct")):
        json.loads(by_name.table(made_up_store, name, Selection()).to_json(orient="records"))
