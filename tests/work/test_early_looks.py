"""Judges that look at what is there before all that they come after has ended."""

from __future__ import annotations

import random
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from capsafe_core.cli import app
from capsafe_core.jobs import supervisor, turns
from capsafe_core.jobs.early_looks import LOOK, comes_early, has_news
from capsafe_core.jobs.folder import Job, Manifest, Part, create_job, list_jobs
from capsafe_core.jobs.supervisor import Queue, is_queued, run_graph
from capsafe_core.judges.prefixes import PrefixJudge
from capsafe_core.records import Generation, Judgment
from capsafe_core.settings import Settings
from capsafe_core.work.worker import run
from tests.jobs.runs import STUDY, said, written
from tests.server import serving
from tests.synthetic import write_study

COMMIT = b'{"type": "commit"'


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """Generate jobs that are done; not to be changed."""
    jobs = write_study(tmp_path_factory.mktemp("answered"), safety_size=6, capability_size=4)
    return [job for job in jobs if job.manifest.kind == "generate"][:6]


def looks(root: Path, before: list[Job], name: str = "looks", judge: str = "prefix-zou") -> Job:
    """A judge that comes after jobs, which are there and have not begun."""
    ids = [create_job(root, job.manifest).job_id for job in before]
    work = {"judge": judge, "config": {}, "model": None, "engine": {}, "generations": ids}
    return create_job(root, Manifest("judge", name, work, after=tuple(ids)))


def arrive(root: Path, job: Job, blocks: int | None = None) -> None:
    """A job's answers come: all, or as many blocks as are committed while it is at work still."""
    there = root / job.job_id
    if blocks is None:
        shutil.copytree(job.folder, there, dirs_exist_ok=True)
        return
    lines = job.path(0, "shard.jsonl").read_bytes().splitlines(keepends=True)
    ends = [i + 1 for i, line in enumerate(lines) if line.startswith(COMMIT)]
    (there / "part-000.shard.jsonl").write_bytes(b"".join(lines[: ends[min(blocks, len(ends)) - 1]]))


def verdicts(job: Job) -> list[tuple[str, str, str, int]]:
    found = [r for r in job.records() if isinstance(r, Judgment)]
    return sorted((j.generation_id, j.status, str(j.label), j.attempt) for j in found)


@pytest.mark.parametrize("seed", range(8))
def test_whenever_a_judge_looks_it_says_in_the_end_what_one_look_says(
    tmp_path: Path, answered: list[Job], seed: int
) -> None:
    chance = random.Random(seed)
    once, often = tmp_path / "once", tmp_path / "often"
    whole, job = looks(once, answered), looks(often, answered)
    for one in answered:
        arrive(once, one)
    assert (run(whole.folder, 0), whole.state) == (0, "done")
    seen: list[int] = []
    for one in chance.sample(answered, len(answered)):
        if chance.random() < 0.5:
            arrive(often, one, blocks=chance.randint(1, 4))
            assert run(job.folder, 0) == 0
            seen.append(len(verdicts(job)))
            assert (job.state, job.ended) == ("waiting", False), "it is not done while more is to come"
        arrive(often, one)
        if chance.random() < 0.5:
            assert run(job.folder, 0) == 0
            seen.append(len(verdicts(job)))
    assert run(job.folder, 0) == 0
    assert job.state == "done"
    assert job.status().done == job.status().total
    assert job.job_id == whole.job_id
    assert verdicts(job) == verdicts(whole)
    assert all(a <= b for a, b in pairwise(seen))


def test_an_early_look_says_how_much_is_to_come(tmp_path: Path, answered: list[Job]) -> None:
    job = looks(tmp_path, answered)
    for one in answered[:2]:
        arrive(tmp_path, one)
    assert run(job.folder, 0) == 0
    assert f"ended: 2 of {len(answered)}." in job.status().message
    there = {g.id for one in answered[:2] for g in one.records() if isinstance(g, Generation)}
    judged = {j.generation_id for j in job.records() if isinstance(j, Judgment)}
    assert judged
    assert judged <= there


def test_what_breaks_the_judge_is_tried_again_only_when_all_is_there(
    tmp_path: Path, answered: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PrefixJudge, "judge", lambda self, items: 1 / 0)
    job = looks(tmp_path, answered[:3])
    arrive(tmp_path, answered[0])
    for _ in range(3):
        assert run(job.folder, 0) == 0
        assert job.state == "waiting"
    first = verdicts(job)
    assert first
    assert {attempt for *_, attempt in first} == {1}
    for one in answered[1:3]:
        arrive(tmp_path, one)
    monkeypatch.undo()
    assert run(job.folder, 0) == 0
    assert job.state == "done"
    newest = {j.generation_id: j for j in job.records() if isinstance(j, Judgment)}
    assert {j.status for j in newest.values()} == {"ok"}
    assert {j.attempt for j in newest.values()} == {1, 2}


def test_a_stopped_early_look_is_stopped(tmp_path: Path, answered: list[Job]) -> None:
    job = looks(tmp_path, answered)
    arrive(tmp_path, answered[0])
    job.ask_to_stop()
    assert run(job.folder, 0) == 0
    assert job.state == "stopped"
    known = {one.job_id: one for one in list_jobs(tmp_path)}
    assert comes_early(job, known)
    assert not has_news(job, 0, known), "it is not started again by itself"


def worked(root: Path, name: str, seconds: float, state: str, units: int) -> Job:
    """A job whose status says how long it has worked."""
    job = create_job(root, Manifest("generate", name, {}))
    with Part(job) as part:
        part._seconds_before = seconds
        part.done = units
        part.waits_for = state if state == "waiting" else ""
    return job


def test_a_look_waits_until_it_is_small_beside_what_it_looks_at(tmp_path: Path) -> None:
    long = worked(tmp_path, "long", 30 * LOOK, "done", 5)
    empty = worked(tmp_path, "empty", 900 * LOOK, "waiting", 0)
    judge = create_job(tmp_path, Manifest("judge", "j", {}, after=(long.job_id, empty.job_id)))
    known = {one.job_id: one for one in (long, empty, judge)}
    assert comes_early(judge, known)
    assert has_news(judge, 0, known)
    assert has_news(judge, 0, known, 29)
    assert not has_news(judge, 0, known, 31), "what brought nothing does not count"
    with Part(judge) as part:
        part.looked_at, part.waits_for = long.status().done, "more"
    assert not has_news(judge, 0, known), "it has looked at that"
    other = create_job(tmp_path, Manifest("judge", "other", {}, after=(long.job_id, "gone")))
    assert not comes_early(other, known), "what is not there is waited for"
    assert not comes_early(
        create_job(tmp_path, Manifest("stress", "s", {}, after=judge.manifest.after)), known
    )
    assert not comes_early(create_job(tmp_path, Manifest("judge", "k", {}, after=(long.job_id,))), known)


def test_the_queue_lets_judges_look_between_others(
    tmp_path: Path, answered: list[Job], this_python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "OFTEN", 0.0)
    settings = Settings(home=tmp_path, jobs=tmp_path, engine_python=Path(this_python))
    arrive(tmp_path, answered[0])
    work = looks(tmp_path, answered[:1], "pattern").manifest.work
    later = create_job(tmp_path, Manifest("judge", "later", work))
    job = create_job(tmp_path, Manifest("judge", "early", work, after=(answered[0].job_id, later.job_id)))
    bad = create_job(
        tmp_path, Manifest("judge", "bad", {**work, "judge": "oracle"}, after=job.manifest.after)
    )
    queue = Queue(settings)
    for one in (job, bad, later):
        queue.add(one)
    states = []
    for _ in range(4):
        assert queue.tick() == []
        if queue._worker is not None:
            queue._worker.wait()
        states.append((job.state, bad.state, later.state, is_queued(job), is_queued(bad)))
    assert states == [
        ("waiting", "waiting", "waiting", True, True),
        ("waiting", "failed", "waiting", True, True),
        ("waiting", "failed", "done", True, False),
        ("done", "failed", "done", False, False),
    ]


def test_what_somebody_else_is_at_is_not_looked_at_over_and_over(
    tmp_path: Path, answered: list[Job], this_python: str
) -> None:
    settings = Settings(home=tmp_path, jobs=tmp_path, engine_python=Path(this_python))
    job, told = looks(tmp_path, answered[:2]), list[str]()
    arrive(tmp_path, answered[0])
    with Part(create_job(tmp_path, answered[1].manifest)):
        assert not run_graph([job.manifest], tmp_path, told.append, settings)
    assert (told, job.state) == ([], "waiting")
    arrive(tmp_path, answered[1])
    assert run_graph([job.manifest], tmp_path, told.append, settings)
    assert job.state == "done"


@pytest.mark.parametrize("often", [True, False])
def test_a_run_judges_what_is_there_before_the_rest_and_where_the_rest_fails(
    workspace: Settings, this_python: str, monkeypatch: pytest.MonkeyPatch, often: bool
) -> None:
    monkeypatch.setenv("CAPSAFE_ENGINE_PYTHON", this_python)
    if often:
        monkeypatch.setattr(turns, "OFTEN", 0.0)
    runner, broken = CliRunner(), {"on": True}

    def answer(number: int, body: dict[str, object]) -> str:
        return "401" if broken["on"] and body["model"] == "model-two" else ""

    with serving(answer) as seen:
        path = workspace.home / "study.toml"
        path.write_text(STUDY.format(url=seen.base_url))
        first = said(runner.invoke(app, ["run", str(path)]))
        assert "Not everything is done" in first
        judges = [job for job in list_jobs(workspace.jobs_path) if job.manifest.kind == "judge"]
        assert [(job.state, job.status().errors) for job in judges] == [("waiting", 0)] * 2
        judged = {j.generation_id for j in written(workspace.jobs_path, Judgment)}  # type: ignore[attr-defined]
        assert judged == {g.id for g in written(workspace.jobs_path, Generation)}  # type: ignore[attr-defined]
        assert len(judged) == 20
        lines = [line for line in first.splitlines() if "/4 " in line]
        early = ["so far" in line for line in lines]
        assert early == ([False, True, True, False, True, True] if often else [False, False, True, True])
        again = said(runner.invoke(app, ["run", str(path)]))
        assert "so far" not in again, "there is nothing that they have not looked at"
        broken["on"] = False
        assert runner.invoke(app, ["run", str(path)]).exit_code == 0
    assert {job.state for job in list_jobs(workspace.jobs_path)} == {"done"}
    ids = [j.id for j in written(workspace.jobs_path, Judgment)]  # type: ignore[attr-defined]
    assert len(ids) == len(set(ids)) == 40 * 3
