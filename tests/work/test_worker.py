"""Workers in this process, with a judge that needs no model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from capsafe_core.jobs import supervisor
from capsafe_core.jobs.folder import Job, Manifest, create_job
from capsafe_core.jobs.supervisor import Queue, is_queued, ready_jobs, run_graph
from capsafe_core.judges.prefixes import PrefixJudge
from capsafe_core.records import Generation, Judgment
from capsafe_core.settings import ROOT, Settings
from capsafe_core.work import judge as judge_job
from capsafe_core.work.worker import run
from tests.synthetic import write_study


@pytest.fixture
def generations(tmp_path: Path) -> list[Job]:
    return [
        job
        for job in write_study(tmp_path, safety_size=8, capability_size=6)
        if job.manifest.kind == "generate"
    ]


def judging(root: Path, generations: list[Job], name: str, parts: int = 1, judge: str = "prefix-zou") -> Job:
    work = {
        "judge": judge,
        "config": {},
        "model": None,
        "engine": {},
        "generations": [g.job_id for g in generations],
    }
    return create_job(root, Manifest("judge", name, work, parts=parts))


def judged(job: Job) -> list[str]:
    return [r.generation_id for r in job.records() if isinstance(r, Judgment) and r.dimension == "safety"]


def test_a_stopped_job_keeps_what_is_done_and_goes_on_later(
    tmp_path: Path, generations: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = judging(tmp_path, generations, "stops")
    whole, seen = PrefixJudge.judge, []

    def stop_after_two(self, items):  # type: ignore[no-untyped-def]
        seen.append(len(items))
        if len(seen) == 2:
            job.ask_to_stop()
        return whole(self, items)

    monkeypatch.setattr(PrefixJudge, "judge", stop_after_two)
    monkeypatch.setattr(PrefixJudge, "batch_size", 5)
    assert run(job.folder, 0) == 0
    assert job.state == "stopped"
    assert len(judged(job)) == sum(seen)
    job.clear_stop()
    assert run(job.folder, 0) == 0
    assert job.state == "done"
    assert job.status().done == job.status().total
    expected = {r.id for g in generations for r in g.records() if isinstance(r, Generation)}
    assert len(judged(job)) == len(set(judged(job)))
    assert set(judged(job)) < expected  # capability answers are not for a refusal judge


def test_parts_share_the_work_without_overlap(tmp_path: Path, generations: list[Job]) -> None:
    one, two = judging(tmp_path, generations, "alone"), judging(tmp_path, generations, "shared", parts=2)
    assert [run(one.folder, 0), run(two.folder, 0)] == [0, 0]
    assert two.state == "waiting"
    assert run(two.folder, 1) == 0
    assert two.state == "done"
    assert sorted(judged(one)) == sorted(judged(two))


def test_an_item_that_breaks_the_judge_is_an_error_and_the_job_goes_on(
    tmp_path: Path, generations: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = PrefixJudge.judge

    def break_on_one(self, items):  # type: ignore[no-untyped-def]
        if any(i.prompt.item == "requests-03" for i in items):
            raise ValueError("cannot read this")
        return whole(self, items)

    monkeypatch.setattr(PrefixJudge, "judge", break_on_one)
    job = judging(tmp_path, generations, "breaks")
    assert run(job.folder, 0) == 0
    errors = [r for r in job.records() if isinstance(r, Judgment) and r.status == "error"]
    answered = [g for g in generations if any(isinstance(r, Generation) for r in g.records())]
    assert len(errors) == 2 * len(answered)
    assert job.status().errors == len(answered)
    assert "cannot read this" in job.path(0, "errors.jsonl").read_text()


def test_what_cannot_be_done_says_why(tmp_path: Path, generations: list[Job]) -> None:
    unknown = judging(tmp_path, generations, "unknown", judge="oracle")
    assert run(unknown.folder, 0) == 1
    assert (unknown.state, "no judge 'oracle'" in unknown.status().message) == ("failed", True)
    assert run(create_job(tmp_path, Manifest("annotate", "x", {})).folder, 0) == 1
    assert run(tmp_path / "nowhere", 0) == 1


def test_a_fault_in_a_job_is_noted_with_its_name(
    tmp_path: Path, generations: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(part: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(judge_job, "work", fault)
    job = judging(tmp_path, generations, "faulty")
    assert run(job.folder, 0) == 1
    assert job.status().message == "ZeroDivisionError: by zero"


def test_the_queue_starts_one_job_at_a_time_and_in_order(
    tmp_path: Path, generations: list[Job], this_python: str
) -> None:
    settings = Settings(home=tmp_path, jobs=tmp_path, engine_python=Path(this_python))
    first = judging(tmp_path, generations, "first")
    second = create_job(tmp_path, Manifest("judge", "second", first.manifest.work, after=(first.job_id,)))
    assert second.job_id not in [j.job_id for j in ready_jobs([first, second])]
    queue = Queue(settings)
    for job in (second, first):
        queue.add(job)
    queue.tick()
    assert (is_queued(first), is_queued(second)) == (False, True)
    assert queue._worker is not None
    queue._worker.wait()
    queue.tick()
    queue._worker.wait()
    assert (first.state, second.state) == ("done", "done")


def test_a_failed_job_holds_up_only_what_comes_after_it(
    tmp_path: Path, generations: list[Job], this_python: str
) -> None:
    settings = Settings(home=tmp_path, jobs=tmp_path, engine_python=Path(this_python))
    work = judging(tmp_path, generations, "template").manifest.work
    bad = Manifest("judge", "bad", {**work, "judge": "oracle"})
    after, other = Manifest("judge", "after", work, after=(bad.job_id,)), Manifest("judge", "other", work)
    said: list[str] = []
    assert not run_graph([bad, after, other], tmp_path, said.append, settings)
    assert any("no judge 'oracle'" in line for line in said)
    assert Job(tmp_path / other.job_id, other).state == "done"
    assert Job(tmp_path / after.job_id, after).state == "waiting"


def test_an_engine_that_is_not_there_is_named(tmp_path: Path, generations: list[Job]) -> None:
    job = judging(tmp_path, generations, "nowhere")
    with pytest.raises(supervisor.CapsafeError, match="cannot be started"):
        supervisor.start_worker(job, settings=Settings(engine_python=Path("/nowhere/python")))


DEAF = """
import subprocess, sys, time
from pathlib import Path
from capsafe_core.jobs.folder import open_job, part
from capsafe_core.jobs.folder.part import Part
from capsafe_core.records import Rater
part.HEARTBEAT, part.PATIENCE = 0.05, 0.1
with Part(open_job(Path(sys.argv[1])), 0, is_all=True) as held:
    held.write("kept", [Rater("r", "judge", "rule", ("safety",), "1", "", {})])
    print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
    time.sleep(600)
"""


def test_a_worker_that_does_not_hear_a_stop_is_ended_by_itself(tmp_path: Path) -> None:
    """A library that never returns, as a tokenizer whose patterns take days: a stop waited for ever."""
    job = create_job(tmp_path, Manifest("judge", "deaf", {}))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DEAF, str(job.folder)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        child = psutil.Process(int(worker.stdout.readline()))
        assert job.state == "running"
        job.ask_to_stop()
        assert worker.wait(60) == 1
    child.wait(60)
    assert job.state == "stopped"
    assert "did not stop within" in job.status().message
    assert len(list(job.records())) == 1
