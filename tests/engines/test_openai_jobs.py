"""Jobs over a server that misbehaves, through real workers: killed, stopped, and tried again."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from capsafe_core.jobs.folder import Manifest, create_job
from capsafe_core.jobs.supervisor import start_worker
from capsafe_core.records import Condition, Generation, Judgment
from capsafe_core.settings import Settings
from capsafe_core.work import worker
from tests.engines.asking_servers import KEY, generating, settings, texts
from tests.server import serving

pytestmark = pytest.mark.usefixtures("planted_key")


def test_a_job_keeps_what_was_answered_and_asks_again_for_what_failed(tmp_path: Path) -> None:
    broken = {"on": True}
    with serving(lambda number, body: "500" if broken["on"] and number % 3 == 0 else "") as seen:
        job = generating(tmp_path, seen, retries=0)
        assert worker.run(job.folder, 0) == 0
        first, status = texts(job), job.status()
        assert job.state == "partial"
        assert job.ended, "judging can begin with what is there"
        assert (len(first), status.errors) == (16, 8)
        assert "8 failed" in status.message
        assert "500" in status.message
        broken["on"] = False
        assert worker.run(job.folder, 0) == 0
    assert job.state == "done"
    assert len(texts(job)) == 24
    assert first.items() <= texts(job).items()
    condition = next(r for r in job.records() if isinstance(r, Condition))
    assert (condition.engine, condition.system_prompt) == ("openai", "Be brief.")


def test_twenty_kills_over_a_troubled_server_lose_and_double_nothing(tmp_path: Path) -> None:
    chance = random.Random(4)
    kinds = ["", "", "", "", "429", "500", "garbage", "half"]
    with serving(seconds=0.02) as calm:
        whole = generating(tmp_path / "calm", calm, size=100, samples=3)
        assert worker.run(whole.folder, 0) == 0
    with serving(lambda number, body: chance.choice(kinds), seconds=0.1) as seen:
        job = generating(tmp_path / "troubled", seen, size=100, samples=3, retries=8)
        killed = 0
        while killed < 20:
            before = len(seen.bodies)
            process = start_worker(job, settings=Settings(engine_python=Path(sys.executable)))
            while len(seen.bodies) == before and process.poll() is None:
                time.sleep(0.02)
            try:
                process.wait(timeout=chance.uniform(0.1, 0.5))
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed += 1
        assert killed == 20, "the work ended before it could be killed: make it longer"
        assert 0 < len(texts(job)) < 300
        while job.state != "done":
            assert worker.run(job.folder, 0) == 0
    written = [r for r in job.records() if isinstance(r, Generation)]
    assert len(written) == len({r.id for r in written}) == 300
    assert sorted(r.text for r in written) == sorted(texts(whole).values())


def test_a_stop_is_heard_while_the_server_is_silent(tmp_path: Path) -> None:
    with serving(lambda number, body: "hang" if number > 5 else "") as seen:
        job = generating(tmp_path, seen, timeout=1.0, retries=2)
        process = start_worker(job, settings=Settings(engine_python=Path(sys.executable)))
        while len(seen.bodies) < 8:
            time.sleep(0.05)
        job.ask_to_stop()
        assert process.wait(timeout=30) == 0
    assert job.state == "stopped"
    assert 1 <= len(texts(job)) < 24


def test_a_judge_over_a_server_errs_and_is_tried_again(tmp_path: Path) -> None:
    with serving() as seen:
        job = generating(tmp_path, seen)
        assert worker.run(job.folder, 0) == 0
    template = {
        "template": "Judge: {response}",
        "parser": "patterns",
        "reads": [
            {"dimension": "safety", "pattern": "(Said)", "labels": {"said": "safe"}},
            {"dimension": "refusal", "pattern": "(Said)", "labels": {"said": "none"}},
        ],
    }
    broken = {"on": True}
    with serving(lambda number, body: "500" if broken["on"] and number % 4 == 0 else "") as seen:
        work = {
            "judge": "mine",
            "entry": template,
            "config": {},
            "model": "judge-model",
            "engine": settings(seen, retries=0),
            "generations": [job.job_id],
        }
        judging = create_job(tmp_path, Manifest("judge", "mine", work))
        assert worker.run(judging.folder, 0) == 0
        assert judging.state == "partial"
        broken["on"] = False
        before = len(seen.bodies)
        assert worker.run(judging.folder, 0) == 0
        assert len(seen.bodies) - before == 6, "only what failed is asked again"
    verdicts = [r for r in judging.records() if isinstance(r, Judgment)]
    assert {(r.dimension, r.status, r.attempt) for r in verdicts} == {
        (d, s, a) for d in ("safety", "refusal") for s, a in (("ok", 1), ("error", 1), ("ok", 2))
    }
    current = {(r.generation_id, r.dimension): r.status for r in sorted(verdicts, key=lambda r: r.attempt)}
    assert set(current.values()) == {"ok"}
    assert len(current) == 48
    assert judging.state == "done"


def test_the_key_is_written_nowhere(tmp_path: Path) -> None:
    """Every file that a job leaves, after refusals in which the server echoes the key."""
    for name, kind in (("fails", "400"), ("retries", "429"), ("ends", "401")):
        # type: ignore[misc]
        with serving(lambda number, body, kind=kind: kind if number % 2 else "") as seen:
            job = generating(tmp_path, seen, name, retries=1)
            process = start_worker(job, settings=Settings(engine_python=Path(sys.executable)))
            process.wait(timeout=60)
            assert set(seen.keys) == {f"Bearer {KEY}"}
        assert job.state in ("partial", "failed")
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) > 10
    assert not [p for p in files if KEY.encode() in p.read_bytes()]
    assert [p for p in files if b"[key]" in p.read_bytes()], "the server's words were kept, without the key"


@pytest.mark.parametrize("kind", ["hang", "drip", "429"])
def test_a_stop_ends_the_worker_while_every_request_hangs(kind: str, tmp_path: Path) -> None:
    """The server would be silent for longer than the test may run, and nothing counts as failed."""
    with serving(lambda number, body: kind, headers={"Retry-After": "900"}) as seen:
        job = generating(tmp_path, seen, timeout=900.0, retries=8)
        process = start_worker(job, settings=Settings(engine_python=Path(sys.executable)))
        while not seen.bodies:  # the first that is told to wait may hold back the others
            time.sleep(0.05)
        job.ask_to_stop()
        assert process.wait(timeout=30) == 0
    assert job.state == "stopped"
    assert not job.failures(0)


def test_a_stop_ends_a_judge_whose_requests_hang(tmp_path: Path) -> None:
    with serving() as calm:
        job = generating(tmp_path, calm)
        assert worker.run(job.folder, 0) == 0
    template = {
        "template": "Judge: {response}",
        "parser": "patterns",
        "reads": [{"dimension": "safety", "pattern": "(Said)", "labels": {"said": "safe"}}],
    }
    with serving(lambda number, body: "hang" if number > 4 else "") as seen:
        work = {
            "judge": "mine",
            "entry": template,
            "config": {},
            "model": "judge-model",
            "engine": settings(seen, timeout=900.0),
            "generations": [job.job_id],
        }
        judging = create_job(tmp_path, Manifest("judge", "mine", work))
        process = start_worker(judging, settings=Settings(engine_python=Path(sys.executable)))
        while len(seen.bodies) < 9:
            time.sleep(0.05)
        judging.ask_to_stop()
        assert process.wait(timeout=30) == 0
    assert judging.state == "stopped"
    assert not judging.failures(0)
    assert [r.status for r in judging.records() if isinstance(r, Judgment)] == ["ok"] * 5, (
        "what was answered is kept"
    )
