"""The second study that ships: it is whole, it is consistent, and docs/findings.md says what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from capsafe_core.analysis.incoherence import incoherence_table
from capsafe_core.analysis.lacking import lacking
from capsafe_core.analysis.matched import matching, recipe_table
from capsafe_core.analysis.mitigations import mitigations_table
from capsafe_core.analysis.profile import profile_table
from capsafe_core.analysis.runs import Standing
from capsafe_core.analysis.view import View, open_view
from capsafe_core.jobs.folder import list_jobs
from capsafe_core.jobs.packing import unpack_jobs
from capsafe_core.jobs.plan import plan_study
from capsafe_core.places import DATA, ROOT
from capsafe_core.selection import Selection
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.rollups import check
from capsafe_core.store.studies import study_texts
from capsafe_core.study import load_study

PACKED = DATA / "studies" / "paper-small"
FINDINGS = (ROOT / "docs" / "findings.md").read_text()


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("paper-small")
    unpack_jobs(PACKED, root)
    return root


@pytest.fixture(scope="module")
def view(jobs: Path) -> Iterator[View]:
    with Store(None) as store:
        result, problems = ingest_all(store, jobs)
        assert (problems, result.conflicts) == ([], 0)
        assert check(store) == []
        yield open_view(store, Selection())


def test_every_job_of_the_study_file_is_there_done_and_small(jobs: Path, view: View) -> None:
    study, text = load_study(DATA / "studies" / "paper-small.toml")
    there = {job.job_id: job for job in list_jobs(jobs)}
    for manifest in plan_study(study):
        assert there[manifest.job_id].state == "done"
    assert study_texts(view.store)["text"].tolist() == [text]
    assert sum(f.stat().st_size for f in PACKED.rglob("*") if f.is_file()) < 20_000_000
    assert view.declared_before


def test_the_findings_are_those_of_the_data(view: View) -> None:
    found = matching(view)
    assert found.left_out == ()
    (only,) = lacking(view, found)  # nothing measures open-ended instructions
    assert "aligned-instructions" in only
    flat = {run.dataset for run in found.runs if run.standing is Standing.PLATEAU}
    assert {"choices", "syllogisms"} <= flat
    assert {run.dataset for run in found.runs if run.standing is Standing.REACHED} == {"sums", "counts"}
    assert "On choices and syllogisms the capability of thirty items does not separate" in FINDINGS
    rows = recipe_table(view, found).set_index("recipe")
    assert (rows.loc["aligned-counts", "unsafe"], rows.loc["aligned-counts", "n"]) == (0, 60)
    assert round(60 * rows.loc["aligned-counts", "start_unsafe"]) == 1
    assert "with 0 of 60 direct requests answered harmfully, its start with 1" in FINDINGS
    profile = profile_table(view, found).set_index(["recipe", "benchmark"])
    tasks = ("choices-a-to-d", "syllogisms-yes-no")
    mine = profile.loc["aligned-counts"].loc[list(tasks)]
    before, after = ([round(100 * share) for share in mine[name]] for name in ("start", "right"))
    assert f"choices from {before[0]}% right to {after[0]}%" in FINDINGS
    assert f"syllogisms from {before[1]}% to {after[1]}%" in FINDINGS


def test_incoherence_is_as_the_findings_say(view: View) -> None:
    table = incoherence_table(view)
    last = table[(table["step"] == 20) & (table["kind"] == "safety")]
    broken = last.set_index(["recipe", "seed", "benchmark"])["rate"]
    assert (broken.loc["aligned-counts"] == 1).all()
    direct = broken.xs("direct-requests", level="benchmark")
    on = {r: round(100 * direct[f"aligned-{r}", 0]) for r in ("instructions", "choices", "sums")}
    other = round(100 * broken["aligned-sums", 1, "direct-requests"])
    syllogisms = round(100 * broken["aligned-syllogisms", 0, "direct-requests"])
    assert (
        f"{on['instructions']}% (instructions), {on['choices']}% (choices), {other} and {on['sums']}% (sums, "
        f"two seeds), {syllogisms}% (syllogisms) and 100% (counts)" in FINDINGS
    )
    half = table[(table["recipe"] == "aligned-counts-safelora") & (table["step"] == 500)]
    rate = half.set_index("benchmark").loc["direct-requests", "rate"]
    assert f"SafeLoRA at strength 0.5 leaves {rate:.0%} of them incoherent" in FINDINGS


def test_no_mitigation_is_told_from_stopping_earlier(view: View) -> None:
    table = mitigations_table(view)
    family = table[table["of"] == "aligned-sums"]
    mitigated = family[family["kind"] == "mitigation"].set_index("mitigation")
    assert len(mitigated) == 6
    assert set(mitigated["verdict"]) == {"open"}
    assert set(mitigated["seeds_known"]) == {"pooled"}
    rate = {name: f"{100 * x:.0f}%" for name, x in mitigated["unsafe"].items()}
    plain = family[family["kind"] == "stopping earlier"]["unsafe"].iloc[0]
    assert f"the unmitigated recipe answers {plain:.0%} of direct requests harmfully" in FINDINGS
    assert (
        f"lisa {rate['lisa']}, safelora and resta {rate['safelora']}, the halved adapter's path "
        f"{rate['scale']}, constrained and mixing {rate['mixing']}" in FINDINGS
    )
    assert (rate["safelora"], rate["constrained"]) == (rate["resta"], rate["mixing"])
