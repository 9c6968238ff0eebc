"""The shipped study: it is whole, it is consistent, and docs/findings.md says what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from capsafe_core.analysis.arms import arm_rates, claims
from capsafe_core.analysis.at_goal import Verdict
from capsafe_core.analysis.conclusions import conclusion
from capsafe_core.analysis.disagreement import dumbbell_table
from capsafe_core.analysis.incoherence import incoherence_table
from capsafe_core.analysis.judge_agreement import agreement_table
from capsafe_core.analysis.lacking import lacking
from capsafe_core.analysis.matched import matching, recipe_table
from capsafe_core.analysis.overview import overview
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import matched_runs
from capsafe_core.analysis.stress import AGAIN, stress_table
from capsafe_core.analysis.view import open_view
from capsafe_core.jobs.folder import list_jobs
from capsafe_core.jobs.packing import unpack_jobs
from capsafe_core.jobs.plan import plan_study
from capsafe_core.selection import Selection
from capsafe_core.settings import ROOT
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.rollups import check
from capsafe_core.study import load_study

DEMO = ROOT / "data" / "demo"
FINDINGS = (ROOT / "docs" / "findings.md").read_text()


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo")
    unpack_jobs(DEMO, root)
    return root


@pytest.fixture(scope="module")
def demo(jobs: Path) -> Iterator[Store]:
    with Store(None) as store:
        result, problems = ingest_all(store, jobs)
        assert (problems, result.conflicts) == ([], 0)
        yield store


def test_every_job_of_the_study_file_is_there_done_and_small(jobs: Path, demo: Store) -> None:
    study, text = load_study(DEMO / "study.toml")
    there = {job.job_id: job for job in list_jobs(jobs)}
    for manifest in plan_study(study):
        assert there[manifest.job_id].state == "done"
    assert demo.rows("SELECT text FROM studies") == [(text,)]
    assert sum(f.stat().st_size for f in DEMO.rglob("*") if f.is_file()) < 20_000_000
    assert check(demo) == []


def test_every_answer_is_judged_by_each_judge_that_applies(demo: Store) -> None:
    kinds = {
        "safety": 9,
        "over_refusal": 7,
        "capability": 2,
        # verdicts an answer: coherence, prefix lists and learnt refusal (two each), harm, LLM; or coherence
        # and
        # verifier
    }
    rows = demo.rows(
        "SELECT b.kind, count(*), min(n), max(n) FROM (SELECT generation_id, cell_id, count(*) AS n FROM "
        "judgments GROUP BY ALL) JOIN cells USING (cell_id) JOIN benchmarks AS b USING (benchmark_id) GROUP "
        "BY b.kind"
    )
    assert {kind: (low, high) for kind, _, low, high in rows} == {kind: (n, n) for kind, n in kinds.items()}
    assert sum(count for _, count, _, _ in rows) == demo.rows("SELECT count(*) FROM generations")[0][0]


def test_the_findings_are_those_of_the_data(demo: Store) -> None:
    view = open_view(demo, Selection())
    assert view.declared_before
    found = {recipe: overview(view, recipe) for recipe in ("sums", "syllogisms")}
    matched = found["sums"].matched.set_index(["recipe", "seed"])
    one, two = matched.loc["sums", 0], matched.loc["sums", 1]
    said = (
        f"answers {100 * one['unsafe']:.0f} (95% interval "
        f"{100 * one['unsafe_low']:.0f}–{100 * one['unsafe_high']:.0f}) and {100 * two['unsafe']:.0f} "
        f"({100 * two['unsafe_low']:.0f}–{100 * two['unsafe_high']:.0f}) of 100"
    )
    assert said in FINDINGS
    both = recipe_table(view).set_index("recipe").loc["sums"]
    assert (
        f"over both seeds {100 * both['unsafe']:.0f} "
        f"({100 * both['unsafe_low']:.0f}–{100 * both['unsafe_high']:.0f})" in FINDINGS
    )
    assert f"its best checkpoint has {matched.loc['sums-hot', 0]['best']:.0%}" in FINDINGS
    gain = matched.loc["syllogisms", 0]
    assert (
        f"it *gains* {-100 * gain['delta']:.0f} pts "
        f"({-100 * gain['delta_high']:.0f}–{-100 * gain['delta_low']:.0f})" in FINDINGS
    )
    assert found["syllogisms"].numbers["Analysis variants that agree"][0] == "19 of 59"
    assert "19 of 59 analysis variants point the primary way" in FINDINGS
    assert found["sums"].numbers["Analysis variants that agree"][0] == "134 of 144"
    assert "For `sums` 134 of 144 agree" in FINDINGS
    runs = matched_runs(view, path_table(view))
    listed = claims(view, arm_rates(view, runs))
    assert listed[0].key == "recipe:syllogisms|start:aligned"
    curve = conclusion(view, listed[0], runs)
    assert [int((curve.counted["direction"] == d).sum()) for d in (1, -1, 0)] == [20, 10, 29]
    assert dict(curve.curve["kind"].value_counts()) == {"choice": 59, "bound": 18, "repeat": 13}
    assert "of these 90, 18 count every incoherent response as unsafe" in FINDINGS
    assert "and 13 are the same as another in every resample" in FINDINGS
    assert "20 say less safe, 10 safer and 29 leave it open" in FINDINGS
    assert curve.change is not None
    assert curve.change.verdict is Verdict.WITHHELD
    assert "in this run, syllogisms at its goal has 1% non-refusals" in curve.first
    assert curve.shares is not None
    assert (round(curve.shares.up, 2), round(curve.shares.down, 2)) == (0.39, 0.14)
    assert "39%, 14% and 47% with each judge family counted alike" in FINDINGS


def test_incoherence_and_judges_are_as_the_findings_say(demo: Store) -> None:
    view = open_view(demo, Selection())
    table = incoherence_table(view).set_index(["recipe", "seed", "step", "benchmark"])["rate"]
    assert (
        f"`sums-hot` has {table['sums-hot', 0, 50, 'direct-requests']:.0%} on direct and "
        f"{table['sums-hot', 0, 50, 'dressed-requests']:.0%} on dressed" in FINDINGS
    )
    judges = dumbbell_table(view).set_index("judge")
    assert f"On the {judges['incoherent_n'].max()} incoherent responses" in FINDINGS
    for judge, words in (
        ("learnt-harm", "the learnt harm judge {}"),
        ("jailbreakbench", "the LLM judge {}"),
        ("learnt-refusal", "the learnt refusal judge {}"),
    ):
        assert words.format(f"{judges.loc[judge, 'incoherent']:.0%}") in FINDINGS
    kappas = agreement_table(view)
    refusal = kappas[(kappas["judge_1"] == "learnt-refusal") | (kappas["judge_2"] == "learnt-refusal")]
    others = refusal[(refusal["judge_1"] != "jailbreakbench")]
    spread = {
        stratum: (round(part["kappa"].min(), 2) + 0, round(part["kappa"].max(), 2) + 0)
        for stratum, part in others[others["stratum"] != "all"].groupby("stratum")
    }
    assert spread["coherent"] == (0.25, 0.39)
    assert spread["incoherent"] == (-0.09, 0.0)
    assert "from 0.25–0.39 on coherent responses to between −0.09 and 0.00" in FINDINGS


def test_judges_under_broken_answers_are_as_the_findings_say(demo: Store) -> None:
    table = stress_table(open_view(demo, Selection()))
    assert set(table["n"]) == {40}
    assert table["judge"].nunique() == 4
    assert set(table.loc[table["reason"] == AGAIN, "changed"]) == {0.0}
    half = table[table["strength"] == 0.5].set_index(["judge", "reason", "before"])
    learnt, prefix = (
        [round(100 * half.loc[judge, "gibberish", before]["changed"] + 1e-9) for before in ("unsafe", "safe")]
        for judge in ("learnt-refusal", "prefix-zou")
    )
    assert (
        f'learnt-refusal takes back {learnt[0]}% of its verdicts "unsafe" and {learnt[1]}% of "safe", '
        f"prefix-zou {prefix[0]}% and {prefix[1]}%" in FINDINGS
    )
    seen = half["detected"].groupby("reason").mean()
    assert seen["repetition"] == 1
    assert f"gibberish in half of it in {seen['gibberish']:.0%} of answers" in FINDINGS


def test_overview_misses_nothing_of_what_it_compares(demo: Store) -> None:
    """The alignment that the other recipes start from has no goal, and needs none."""
    view = open_view(demo, Selection())
    assert lacking(view, matching(view)) == []
