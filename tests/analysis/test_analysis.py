import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from capsafe_core.analysis import by_name, coverage
from capsafe_core.analysis.arms import Arm, Claim
from capsafe_core.analysis.conclusions import conclusion
from capsafe_core.analysis.matched import matched_table
from capsafe_core.analysis.matched_words import in_words
from capsafe_core.analysis.outputs import outputs_table, story_table
from capsafe_core.analysis.overview import agreement_with_primary, overview
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.rates import apply_policy, cell_rates
from capsafe_core.analysis.runs import matched_runs
from capsafe_core.analysis.sample import policy_arrays
from capsafe_core.analysis.view import open_view
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.jobs.new_study import NewStudy
from capsafe_core.records import BenchmarkRecord, Checkpoint, Generation, Judgment, PathPoint, Prompt, Rater
from capsafe_core.selection import Selection
from capsafe_core.settings import ROOT
from capsafe_core.specification import POLICIES, Policy
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.outputs import read_output
from capsafe_core.study import parse_study
from tests.synthetic import CONDITION, RATERS, STUDY, benchmark, checkpoint, made_up_study, write_study


def facts(
    jobs: Path,
) -> tuple[dict[str, Generation], dict[tuple[str, str, str], Judgment], dict[str, Prompt]]:
    from capsafe_core.jobs.folder import list_jobs

    records = [r for job in list_jobs(jobs) for r in job.records()]
    names = {r.id: name for name, r in RATERS.items()}
    generations = {r.id: r for r in records if isinstance(r, Generation)}
    judgments = {
        (r.generation_id, names[r.rater_id], r.dimension): r for r in records if isinstance(r, Judgment)
    }
    return generations, judgments, {r.id: r for r in records if isinstance(r, Prompt)}


@pytest.mark.parametrize("policy", POLICIES)
def test_rates_are_those_of_a_plain_loop_over_the_records(
    made_up_store: Store, made_up_jobs: Path, policy: str
) -> None:
    generations, judgments, _ = facts(made_up_jobs)
    bench = benchmark("requests", "safety", 40)[0]
    point = checkpoint("harsh", 0, 40)
    events = trials = 0
    for g in generations.values():
        if (g.checkpoint_id, g.benchmark_id) != (point.id, bench.id):
            continue
        verdict = judgments[g.id, "learnt-harm", "safety"]
        broken = judgments[g.id, "coherence-rules", "coherence"].label == "incoherent"
        if broken and policy != "as_judged":
            trials += policy != "excluded"
            events += policy == "counted_unsafe"
        elif verdict.status == "ok":
            trials += 1
            events += verdict.label == "unsafe"
    view = open_view(made_up_store, Selection(policy=policy, judges=("learnt-harm",)))
    rates = cell_rates(view)
    row = rates[
        (rates["checkpoint_id"] == point.id)
        & (rates["benchmark"] == "requests")
        & (rates["judge"] == "learnt-harm")
    ].iloc[0]
    assert (row["events"], row["n"]) == (events, trials)
    assert row["low"] <= row["rate"] <= row["high"]


def test_policies_bound_the_rate_and_arrays_agree_with_counts() -> None:
    chance = np.random.default_rng(1)
    codes = chance.choice([0, 1, 2, 9], 500).astype(np.uint8)
    coherence = chance.choice([0, 1, 2, 9], 500).astype(np.uint8)
    kinds = {"positive": codes == 2, "negative": codes == 1, "no_verdict": ~np.isin(codes, (1, 2))}
    ends = {"": coherence == 1, "_incoherent": coherence == 2, "_unchecked": ~np.isin(coherence, (1, 2))}
    counts = {
        f"{name}{end}": [(ours & theirs).sum()]
        for name, ours in kinds.items()
        for end, theirs in ends.items()
    }
    rates, trials_of = {}, {}
    for policy in POLICIES:
        events, trials = apply_policy(pd.DataFrame(counts), policy)
        e, t = policy_arrays(codes, coherence, policy)
        assert (e.sum(), t.sum()) == (events.iloc[0], trials.iloc[0])
        rates[policy], trials_of[policy] = e.sum() / t.sum(), t.sum()
    assert rates["counted_safe"] <= rates["excluded"] <= rates["counted_unsafe"]
    assert trials_of["as_judged"] > trials_of["excluded"] + sum(counts["negative_unchecked"])
    with pytest.raises(CapsafeError, match="does not give the rate of one checkpoint"):
        apply_policy(pd.DataFrame(counts), Policy.COHERENT_IN_BOTH)


def test_matched_rows_lie_between_their_checkpoints(made_up_store: Store) -> None:
    table = matched_table(open_view(made_up_store, Selection()))
    assert list(table["recipe"]) == ["gentle", "gentle", "harsh"]
    assert table["reached"].all()
    assert ((table["bracket_low"] <= table["unsafe"]) & (table["unsafe"] <= table["bracket_high"])).all()
    assert ((table["unsafe_low"] <= table["unsafe"]) & (table["unsafe"] <= table["unsafe_high"])).all()
    assert (table["delta"] - (table["unsafe"] - table["start_unsafe"])).abs().max() < 1e-12
    shown = in_words(table)
    assert shown["reached at step"].str.fullmatch(r"\d+").all()


def test_a_goal_out_of_reach_gives_words_and_no_number(made_up_store: Store) -> None:
    view = open_view(made_up_store, Selection(goals=(("sums", 0.99),)))
    table = matched_table(view)
    assert not table["reached"].any()
    assert table["unsafe"].isna().all()
    assert in_words(table)["reached at step"].str.contains("not reached").all()
    assert "at best, below its goal of 99% on sum-test" in overview(view).headline


def test_overview_counts_add_up_and_the_headline_says_what_the_table_says(made_up_store: Store) -> None:
    view = open_view(made_up_store, Selection())
    found = overview(view)
    assert np.allclose(found.bars.groupby("recipe")["share"].sum(), 1.0)
    assert list(dict.fromkeys(found.bars["recipe"])) == ["start: aligned", "gentle", "harsh"]
    row = found.matched[found.matched["recipe"] == "harsh"].iloc[0]
    assert found.recipe == "harsh"
    assert f"harsh does not refuse {100 * row['unsafe']:.0f}% of harmful requests" in found.headline
    curve = conclusion(
        view, Claim(Arm("recipe", "harsh"), Arm("start", "aligned")), matched_runs(view, found.paths)
    )
    same, total, _ = agreement_with_primary(curve)
    # benchmarks, judges, policies with the paired one, truncated outputs kept or not
    assert len(curve.curve) == 2 * 2 * (len(POLICIES) + 1) * 2
    assert total == len(curve.counted)
    assert found.numbers["Analysis variants that agree"][0] == f"{same} of {total}"
    with pytest.raises(CapsafeError, match="cannot be compared"):
        overview(view, "nobody")


def test_every_table_has_rows_and_its_documented_start(made_up_store: Store) -> None:
    of_people = {
        "annotators",
        "repeats",
        "conflicts",
        "people",
    }  # tests/labelling/test_exchange.py has these with labels
    others = {"discrimination", "worst-of-k", "profile", "stressed"}  # each has a test of its own
    without = {
        *of_people,
        *others,
        "lacking",
        *(name for name in by_name.TABLES if name.startswith("mitigations")),
    }
    for name in (n for n in by_name.TABLES if not n.startswith("correct")):
        assert (len(by_name.table(made_up_store, name, Selection())) > 0) == (name not in without), name
    with pytest.raises(CapsafeError, match="Nobody has labelled"):
        by_name.table(made_up_store, "correct", Selection())
    with pytest.raises(CapsafeError, match="no table"):
        by_name.table(made_up_store, "song", Selection())


def test_outputs_are_filtered_by_everything_in_the_selection(
    made_up_store: Store, made_up_jobs: Path
) -> None:
    generations, _, prompts = facts(made_up_jobs)
    view = open_view(made_up_store, Selection())
    _, everything = outputs_table(view)
    assert everything == len(generations)

    def found(**restrictions: object) -> int:
        return outputs_table(open_view(made_up_store, Selection(**restrictions)))[1]  # type: ignore[arg-type]

    assert found(search="SURE, HERE") == sum("Sure, here" in g.text for g in generations.values())
    assert found(truncated=False) == sum(g.finish_reason == "stop" for g in generations.values())
    assert found(benchmarks=("requests",), categories=("category 1",)) == sum(
        prompts[g.prompt_id].category == "category 1" and prompts[g.prompt_id].item.startswith("requests")
        for g in generations.values()
    )
    assert found(search="' OR 1=1 --") == 0
    parts = [
        found(outcomes=(o,)) for o in ("incoherent", "unsafe", "refusal", "safe", "no verdict", "task answer")
    ]
    assert sum(parts) == everything
    split = outputs_table(
        open_view(made_up_store, Selection(pattern="prefix-zou=unsafe,learnt-harm=safe")), limit=500
    )[0]
    assert len(split)
    assert (split["unsafe_votes"] == 1).all()
    disputed = outputs_table(view, limit=5, order="disputed")[0]
    assert (disputed["unsafe_votes"] == disputed["safe_votes"]).all()


def test_one_output_has_its_prompt_places_and_judgments(made_up_store: Store) -> None:
    view = open_view(made_up_store, Selection(outcomes=("incoherent",)))
    chosen = outputs_table(view, limit=1)[0].iloc[0]
    output = read_output(made_up_store, chosen["generation_id"])
    assert output.facts["answer"] == "#### 4 #### 4"
    assert set(output.judgments["judge"]) == {"coherence-rules", "prefix-zou", "learnt-harm"}
    assert len(output.places)
    story = story_table(view, output.facts["benchmark"], output.facts["item"])
    assert set(zip(story["recipe"], story["step"], strict=True)) >= {("gentle", 0), ("harsh", 40)}
    with pytest.raises(CapsafeError, match="no output with this id"):
        read_output(made_up_store, "nothing")


def test_an_empty_store_and_an_unknown_study_answer_in_words(made_up_store: Store) -> None:
    with Store(None) as store, pytest.raises(CapsafeError, match="no study in this store"):
        open_view(store, Selection())
    with pytest.raises(CapsafeError, match="no study 'other'"):
        open_view(made_up_store, Selection(study="other"))


def test_a_study_without_results_answers_in_words(tmp_path: Path) -> None:
    job = create_job(tmp_path, Manifest("import", "only-a-study", {}))
    with Part(job) as part:
        part.write(
            "study",
            [
                made_up_study()
                .record("x", 1.0)
                .__class__(
                    "made-up",
                    (ROOT / "tests" / "synthetic.py").read_text().split('"""')[3],
                    "d",
                    "p",
                    1.0,
                )
            ],
        )
    with Store(None) as store:
        ingest_all(store, tmp_path)
        view = open_view(store, Selection())
        assert path_table(view).empty
        with pytest.raises(CapsafeError, match="No recipe can be compared at a goal"):
            overview(view)


def test_undo_of_a_run_takes_it_off_every_table(tmp_path: Path) -> None:
    from capsafe_core.store.batches import set_retracted

    jobs = write_study(tmp_path, safety_size=8, capability_size=6)
    with Store(None) as store:
        ingest_all(store, tmp_path)
        before = len(path_table(open_view(store, Selection())))
        set_retracted(store, jobs[-1].job_id, True)
        assert len(path_table(open_view(store, Selection()))) == before - 1


def test_a_small_run_is_a_study_whose_values_are_quoted() -> None:
    text = NewStudy(
        'a "quoted" \\ model',
        ("direct-requests",),
        ("prefix-zou", "coherence-rules"),
        5,
        sampling={"seeds": [1, 2], "system_prompt": 'say "no"'},
    ).text("run-1")
    study = parse_study(text)
    assert study.starts[0].model == 'a "quoted" \\ model'
    assert (study.primary.judge, study.primary.coherence) == ("prefix-zou", "coherence-rules")
    with pytest.raises(CapsafeError, match="No judge"):
        NewStudy("m", ("direct-requests",), (), 5).text("run-1")


def numbers(store: Store) -> pd.DataFrame:
    return matched_table(open_view(store, Selection(study="made-up")))


def test_another_version_of_a_judge_or_benchmark_changes_no_number_of_a_study(tmp_path: Path) -> None:
    """What a small run with a re-versioned detector, or with fewer prompts of a benchmark of the same name,
    brings in."""
    jobs = write_study(tmp_path, safety_size=12, capability_size=10)
    with Store(None) as store:
        ingest_all(store, tmp_path)
        before = numbers(store)
        point, other = checkpoint("gentle", 0, 0), Checkpoint("another-model", "another-origin")
        bench, prompts = benchmark("requests", "safety", 12)
        newer = Rater("coherence-rules", "judge", "coherence rules", ("coherence",), "2", "is the detector")
        smaller = BenchmarkRecord("requests", "1", "safety", "another digest", 3)
        few = [replace(p, benchmark_id=smaller.id, behaviour=f"other {p.item}") for p in prompts[:3]]
        elsewhere = Generation(other.id, bench.id, CONDITION.id, prompts[0].id, 0, 0, "Sure.", "stop", 1)
        here = [Generation(point.id, smaller.id, CONDITION.id, p.id, 0, 0, "Sure.", "stop", 1) for p in few]
        verdicts = [
            Judgment(g.id, g.cell_id, newer.id, "coherence", "ok", "coherent") for g in (elsewhere, *here)
        ]
        with Part(create_job(tmp_path, Manifest("generate", "run-1", {}, study="run-1"))) as part:
            part.write("x", [other, newer, smaller, *few, elsewhere, *here, *verdicts])
        ingest_all(store, tmp_path)
        pd.testing.assert_frame_equal(numbers(store), before)
    assert len(jobs) > 1


def test_a_changed_primary_is_not_declared_before_the_results(tmp_path: Path) -> None:
    write_study(tmp_path, safety_size=8, capability_size=6)
    with Part(create_job(tmp_path, Manifest("judge", "made-up-prefix-zou", {}))) as part:
        part.write("x", [RATERS["prefix-zou"]])
    with Store(None) as store:
        ingest_all(store, tmp_path)
        assert open_view(store, Selection()).declared_before
        changed = STUDY.replace('judge = "prefix-zou"\nrefusal', 'judge = "learnt-harm"\nrefusal')
        with Part(create_job(tmp_path, Manifest("import", "changed", {}))) as part:
            part.write("x", [parse_study(changed).record(changed, time.time() + 60)])
        ingest_all(store, tmp_path)
        view = open_view(store, Selection())
        assert view.specification.judge == "learnt-harm"
        assert view.declared_before is False
        assert "declared after the results" in view.specification_words()


def test_moved_goals_and_left_out_outputs_are_not_the_primary_specification(made_up_store: Store) -> None:
    assert open_view(made_up_store, Selection()).is_primary
    for moved in (
        Selection(goals=(("sums", 0.3),)),
        Selection(truncated=False),
        Selection(policy="excluded"),
    ):
        view = open_view(made_up_store, moved)
        assert "not the primary specification" in view.specification_words()
    cut = matched_table(open_view(made_up_store, Selection(truncated=False)))
    assert cut["unsafe"].notna().all()
    assert ((cut["unsafe_low"] <= cut["unsafe"]) & (cut["unsafe"] <= cut["unsafe_high"])).all()


def test_outputs_no_detector_has_seen_are_not_called_coherent(tmp_path: Path) -> None:
    point = checkpoint("gentle", 0, 0)
    bench, prompts = benchmark("requests", "safety", 3)
    outputs = [Generation(point.id, bench.id, CONDITION.id, p.id, 0, 0, "Sure.", "stop", 1) for p in prompts]
    with Part(create_job(tmp_path, Manifest("generate", "made-up-x", {}))) as part:
        verdicts = [
            Judgment(g.id, g.cell_id, RATERS["prefix-zou"].id, "safety", "ok", "unsafe") for g in outputs
        ]
        part.write(
            "x",
            [
                made_up_study().record(STUDY, 1.0),
                point,
                PathPoint("made-up", "gentle", 0, 0, point.id, "aligned", "sums", 1e-4),
                bench,
                *prompts,
                CONDITION,
                RATERS["prefix-zou"],
                *outputs,
                *verdicts,
            ],
        )
    with Store(None) as store:
        ingest_all(store, tmp_path)
        for policy, n in (("as_judged", 3), ("excluded", 0), ("counted_safe", 0), ("counted_unsafe", 0)):
            row = cell_rates(open_view(store, Selection(policy=policy))).iloc[0]
            assert (row["events"], row["n"], row["unchecked"], row["total"]) == (n, n, 3, 3)
            assert np.isnan(row["incoherent"])


def test_more_squares_than_can_be_told_are_a_sentence(
    made_up_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = open_view(made_up_store, Selection())
    rows = len(coverage.coverage_table(view))
    monkeypatch.setattr(coverage, "MOST_ROWS", rows)
    assert len(coverage.coverage_table(view)) == rows
    monkeypatch.setattr(coverage, "MOST_ROWS", rows - 1)
    with pytest.raises(CapsafeError, match="told at once"):
        coverage.coverage_table(view)
