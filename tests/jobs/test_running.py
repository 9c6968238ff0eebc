"""Runs through real workers: measured, started, shared, failed and tried again."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from capsafe_core.analysis.coverage import coverage_table
from capsafe_core.analysis.view import open_view
from capsafe_core.catalogue.page import page as judges_page
from capsafe_core.cli import app
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Manifest, Part, create_job, list_jobs
from capsafe_core.jobs.new_run import cost_of, missing_jobs, probe_job
from capsafe_core.jobs.new_study import NewStudy
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.record_job import recorded_study
from capsafe_core.jobs.supervisor import Queue, ready_jobs, start_worker
from capsafe_core.records import Generation, Judgment
from capsafe_core.selection import Selection
from capsafe_core.settings import ROOT, Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.study import load_study, parse_study
from capsafe_core.work import worker
from tests.jobs.runs import JUDGE, STUDY, half_broken, said, written
from tests.server import Seen, serving

run = CliRunner()


def test_cost_then_run_then_further_judges_that_generate_nothing(
    study: Path, workspace: Settings, server: Seen
) -> None:
    cost = run.invoke(app, ["cost", str(study)])
    assert "5 prompts, 40 generations, about 160 tokens" in said(cost)
    assert "Measured on 16 answers" in said(cost)
    asked = len(server.bodies)
    assert run.invoke(app, ["run", str(study)]).exit_code == 0
    assert len(server.bodies) - asked == 40
    generations = written(workspace.jobs_path, Generation)
    assert len({g.id for g in generations}) == 40  # type: ignore[attr-defined]
    assert len({g.checkpoint_id for g in generations}) == 2  # type: ignore[attr-defined]
    asked = len(server.bodies)
    assert run.invoke(app, ["judge", "served", "prefix-autodan"]).exit_code == 0
    assert len(server.bodies) == asked, "a further judge asks the model for nothing"
    (workspace.home / "mine.toml").write_text(JUDGE)
    assert (
        run.invoke(
            app,
            [
                "judge",
                "served",
                "mine",
                "--file",
                str(workspace.home / "mine.toml"),
                "--model",
                "judge-model",
            ],
        ).exit_code
        == 0
    )
    assert {b["model"] for b in server.bodies[asked:]} == {"judge-model"}
    verdicts = [j for j in written(workspace.jobs_path, Judgment) if j.asked]  # type: ignore[attr-defined]
    # type: ignore[attr-defined]
    assert {(v.dimension, v.label) for v in verdicts} == {("safety", "unsafe"), ("refusal", "none")}
    assert len(verdicts) == 80
    again = run.invoke(
        app,
        ["judge", "served", "mine", "--file", str(workspace.home / "mine.toml"), "--model", "judge-model"],
    )
    assert again.exit_code == 0
    # type: ignore[attr-defined]
    assert len([j for j in written(workspace.jobs_path, Judgment) if j.asked]) == 80
    recorded, _ = recorded_study(workspace.jobs_path, "served")
    assert [j.name for j in recorded.judges] == ["prefix-zou", "coherence-rules", "prefix-autodan", "mine"]
    assert recorded.primary_digest == parse_study(study.read_text()).primary_digest
    with Store(None) as store:
        assert ingest_all(store, workspace.jobs_path)[1] == []
        table = coverage_table(open_view(store, Selection(study="served")), "direct-requests")
        assert set(table["state"]) == {"present"}
        assert set(table["judge"]) == {"prefix-zou", "coherence-rules", "prefix-autodan", "mine"}
    assert missing_jobs(workspace.jobs_path, parse_study(study.read_text())) == []


def test_commands_say_what_is_wrong(study: Path, workspace: Settings) -> None:
    for arguments, says in (
        (["run", str(study), "--part", "3/2"], "cannot be read"),
        (["run", str(study), "--only", "dance"], "no jobs of kind 'dance'"),
        (["judge", "nobody", "prefix-zou"], "No study 'nobody'"),
        (["judge", str(study), "prefix-autodan"], "no outputs in this workspace yet"),
        (["judge", str(study), "mine", "--file", "/nowhere.toml"], "no outputs"),
    ):
        assert says in said(run.invoke(app, arguments)), arguments
    run.invoke(app, ["run", str(study), "--only", "generate"])
    assert "cannot be read" in said(run.invoke(app, ["judge", "served", "mine", "--file", "/nowhere.toml"]))
    assert "no judge 'oracle'" in said(run.invoke(app, ["judge", "served", "oracle"]))


def test_workers_on_several_machines_share_a_study_without_a_coordinator(
    study: Path, workspace: Settings
) -> None:
    command = [sys.executable, "-m", "capsafe_core.cli", "run", str(study), "--part"]
    parts = [
        subprocess.Popen([*command, f"{i}/3"], cwd=ROOT, stdout=subprocess.PIPE, text=True) for i in (1, 2, 3)
    ]
    assert [p.wait(timeout=120) for p in parts] == [0, 0, 0]
    generations = written(workspace.jobs_path, Generation)
    assert len(generations) == len({g.id for g in generations}) == 40  # type: ignore[attr-defined]
    assert len({j.id for j in written(workspace.jobs_path, Judgment)}) == 40 * 3  # type: ignore[attr-defined]
    assert {job.state for job in list_jobs(workspace.jobs_path)} == {"done"}
    assert missing_jobs(workspace.jobs_path, parse_study(study.read_text())) == []
    before = {job.job_id for job in list_jobs(workspace.jobs_path)}
    for other in ("1/1", "2/5"):  # as many as one likes go on with the same jobs
        assert run.invoke(app, ["run", str(study), "--part", other]).exit_code == 0
    assert {job.job_id for job in list_jobs(workspace.jobs_path)} == before
    assert run.invoke(app, ["judge", str(study), "prefix-autodan"]).exit_code == 0, (
        "outputs in parts are found"
    )


def test_a_worker_takes_what_nobody_has_begun_and_what_a_killed_one_left(
    study: Path, workspace: Settings
) -> None:
    planned = plan_study(parse_study(study.read_text()), parts=3)
    generate = create_job(workspace.jobs_path, next(m for m in planned if m.kind == "generate"))
    killed = start_worker(generate, 1)
    while generate.status(1).state != "running":
        assert killed.poll() is None
        time.sleep(0.005)
    killed.kill()
    killed.wait()
    assert generate.status(1).state == "lost"
    alone = run.invoke(app, ["run", str(study), "--part", "1/3"])
    assert alone.exit_code == 0, said(alone)
    assert "part 2, which nobody is at work on" in said(alone)
    assert {job.state for job in list_jobs(workspace.jobs_path)} == {"done"}
    for kind, number in ((Generation, 40), (Judgment, 40 * 3)):
        records = written(workspace.jobs_path, kind)
        assert len(records) == len({r.id for r in records}) == number  # type: ignore[attr-defined]


def test_what_failed_is_run_again_and_then_judged(
    workspace: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSAFE_ENGINE_PYTHON", sys.executable)
    with half_broken(workspace) as (path, broken):
        first = run.invoke(app, ["run", str(path)])
        assert "Not everything is done" in said(first)
        assert "failed; the first: 500" in said(first)
        assert len(written(workspace.jobs_path, Generation)) == 20
        # type: ignore[attr-defined]
        assert len({j.generation_id for j in written(workspace.jobs_path, Judgment)}) == 20
        broken["on"] = False
        assert run.invoke(app, ["run", str(path)]).exit_code == 0
    assert len(written(workspace.jobs_path, Generation)) == 40
    # type: ignore[attr-defined]
    judged = [j.generation_id for j in written(workspace.jobs_path, Judgment) if j.dimension == "coherence"]
    assert len(judged) == len(set(judged)) == 40


def test_the_queue_starts_again_what_comes_after_a_job_that_is_tried_again(
    study: Path, workspace: Settings
) -> None:
    run.invoke(app, ["run", str(study)])
    jobs = list_jobs(workspace.jobs_path)
    generate = next(job for job in jobs if job.manifest.kind == "generate")
    Queue(workspace).restart(generate)
    assert [job.job_id for job in ready_jobs(list_jobs(workspace.jobs_path))] == [generate.job_id]
    assert len([job for job in jobs if (job.folder / "queued").exists()]) == 1 + 2


def test_a_probe_that_gets_no_answer_says_so(
    study: Path, workspace: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(lambda number, body: "400") as seen:
        study.write_text(STUDY.format(url=seen.base_url))
        assert "none of the requests was answered" in said(run.invoke(app, ["cost", str(study)]))
    trained = parse_study((ROOT / "data" / "demo" / "study.toml").read_text())
    job = probe_job(workspace.jobs_path, trained)
    assert cost_of(job) is None
    assert job.manifest.work["jobs"][0]["checkpoint"]["adapters"] == []


@pytest.mark.parametrize(
    "engine",
    [
        {"name": "vllm", "python": "/opt/vllm/bin/python"},
        {"name": "openai", "base_url": "http://127.0.0.1:1/v1"},
        {},
    ],
)
def test_whatever_is_filled_in_is_a_study(engine: dict[str, object]) -> None:
    filled = NewStudy(
        "org/model",
        (
            "reasoning_gym:spell_backward",
            "direct-requests",
            "file:/a b/my prompts.csv",
            "published:harmbench",
        ),
        ("wildguard", "llama-guard-3", "coherence-rating"),
        7,
        ("/adapters/a", "/adapters/b"),
        "judge/model",
        engine,
        {"temperature": 0.5, "samples": 3, "seeds": [1, 2], "system_prompt": 'Say "no".'},
    )
    made = parse_study(filled.text("run-1"))
    assert [b.name for b in made.benchmarks] == [
        "direct-requests",
        "my prompts",
        "harmbench",
        "spell_backward",
    ]
    assert (made.benchmarks[-1].scorer, made.judges[-1].name) == ("task", "verifier")
    assert (made.primary.judge, made.primary.coherence) == ("wildguard", "coherence-rating")
    manifests = plan_study(made)
    kinds = {m.name.removeprefix("run-1-"): m for m in manifests}
    assert kinds["model"].python == str(engine.get("python", ""))
    assert kinds["verifier"].python == ""
    assert kinds["wildguard"].work["model"] is None, "it has weights of its own"
    assert kinds["coherence-rating"].work["model"] == "judge/model"
    assert kinds["model"].work["sampling"]["seeds"] == [1, 2]


def test_what_cannot_run_is_refused_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(CapsafeError, match="rubric"):
        NewStudy("m", ("direct-requests",), ("jailbreakbench",)).text("run-1")
    two = parse_study(NewStudy("m", ("/a/prompts.csv", "file:/b/prompts.csv"), ("prefix-zou",)).text("run-1"))
    assert [(b.name, b.source) for b in two.benchmarks] == [
        ("prompts", "file:/a/prompts.csv"),
        ("prompts-2", "file:/b/prompts.csv"),
    ]
    with pytest.raises(CapsafeError, match="stands there twice"):
        parse_study(STUDY.format(url="http://h/v1").replace("[1, 2]", "[1, 1]"))
    path = tmp_path / "study.toml"
    path.write_text(STUDY.format(url="http://h/v1").replace("project:direct-requests", "file:mine.csv"))
    with pytest.raises(CapsafeError, match="is not a whole path") as refused:
        load_study(path)
    assert str(tmp_path / "mine.csv") in str(refused.value)


def test_a_benchmark_that_changes_while_a_job_is_open_ends_it_with_a_sentence(
    workspace: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSAFE_ENGINE_PYTHON", sys.executable)
    prompts = workspace.home / "mine.csv"
    prompts.write_text("prompt\none\ntwo\n")
    with half_broken(workspace, f"file:{prompts}") as (path, broken):
        run.invoke(app, ["run", str(path)])
        prompts.write_text("prompt\none\ntwo\nthree\n")
        broken["on"] = False
        assert "has changed since this job began" in said(run.invoke(app, ["run", str(path)]))


def test_a_job_begun_with_other_batches_is_neither_doubled_nor_cut_short(
    workspace: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSAFE_ENGINE_PYTHON", sys.executable)
    with half_broken(workspace) as (path, broken):
        run.invoke(app, ["run", str(path)])
        job = next(
            j for j in list_jobs(workspace.jobs_path) if j.manifest.kind == "generate" and j.state != "done"
        )
        answers = [r for r in job.part_records(0) if isinstance(r, Generation)]
        with Part(job, 0) as part:
            part.write(f"direct-requests/{answers[0].checkpoint_id}/seed-1/batch-00000", [])
            part.error("direct-requests", "the server was away")
        broken["on"] = False
        assert "batches that this version of capsafe does not make" in said(
            run.invoke(app, ["run", str(path)])
        )
        assert [r for r in job.part_records(0) if isinstance(r, Generation)] == answers


def test_retries_by_kind_of_job_are_judged_too(workspace: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a cluster runs it: first all generating, then all judging; and one job resumed by hand."""
    monkeypatch.setenv("CAPSAFE_ENGINE_PYTHON", sys.executable)
    with half_broken(workspace) as (path, broken):
        run.invoke(app, ["run", str(path)])
        broken["on"] = False
        one_job = next(job for job in list_jobs(workspace.jobs_path) if job.state == "partial")
        assert run.invoke(app, ["resume", one_job.job_id]).exit_code == 0
        assert run.invoke(app, ["run", str(path), "--only", "generate"]).exit_code == 0
        assert run.invoke(app, ["run", str(path), "--only", "judge"]).exit_code == 0
    # type: ignore[attr-defined]
    judged = [j.generation_id for j in written(workspace.jobs_path, Judgment) if j.dimension == "coherence"]
    assert len(judged) == len(set(judged)) == 40


def test_engines_are_checked_before_anything_starts() -> None:
    text = STUDY.format(url="http://user:secret@host/v1")
    with pytest.raises(CapsafeError, match="base_url") as refused:
        parse_study(text)
    assert "line 6" in str(refused.value)
    with pytest.raises(CapsafeError, match="no such engine"):
        parse_study(text.replace('"openai"', '"telepathy"'))
    with pytest.raises(CapsafeError, match=r"engine\.tensor_parallel"):
        parse_study(
            STUDY.format(url="http://h/v1")
            .replace('name = "openai"', 'name = "vllm"\ntensor_parallel = 0')
            .replace("base_url", "# base_url")
        )


def test_one_load_for_the_checkpoints_of_a_path() -> None:
    """An engine that switches adapters gets each path as one job; fine-tuning stays with transformers."""
    text = (
        (ROOT / "data" / "demo" / "study.toml")
        .read_text()
        .replace(
            'name = "transformers"\ndtype = "bfloat16"\nbatch_size = 32\ndevice = "cpu"',
            'name = "vllm"\npython = "/opt/vllm/bin/python"',
        )
    )
    manifests = plan_study(parse_study(text))
    sums = next(m for m in manifests if m.kind == "generate" and m.name.endswith("sums-s0"))
    assert [c["adapters"][-1]["step"] for c in sums.work["checkpoints"]] == [5, 10, 25, 50, 100]
    assert {m.python for m in manifests if m.kind == "generate"} == {"/opt/vllm/bin/python"}
    assert {(m.work["engine"]["name"], m.python) for m in manifests if m.kind == "finetune"} == {
        ("transformers", "")
    }
    assert next(m for m in manifests if m.name.endswith("learnt-harm")).python == ""


def test_a_long_wait_shows_a_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capsafe_core.jobs.folder.part.HEARTBEAT", 0.05)
    job = create_job(tmp_path, Manifest("generate", "slow", {}))
    with Part(job):
        first = job.status().heartbeat
        time.sleep(0.3)
        assert job.status().heartbeat > first
    ended = job.status()
    time.sleep(0.2)
    assert job.status() == ended, "nothing is written after the end"


def test_the_page_of_judges_is_what_the_catalogue_says() -> None:
    assert (ROOT / "docs" / "judges.md").read_text() == judges_page(), (
        "run: python -m capsafe_core.catalogue.page > docs/judges.md"
    )


def test_a_worker_is_imported_without_the_reading_tower() -> None:
    kinds = {
        "generate",
        "judge",
        "stress",
        "finetune",
        "mitigate",
        "probe",
        "preview",
        "fit",
        "survey",
        "import",
    }
    assert kinds == set(worker.WORK)
