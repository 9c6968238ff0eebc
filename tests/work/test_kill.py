"""Workers and the ingester are killed at random moments; nothing is lost and nothing is doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from capsafe_core.jobs.folder import Job, Manifest, create_job, list_jobs
from capsafe_core.settings import ROOT
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.rollups import check
from tests.synthetic import write_study

KILLS = 20
INGEST = (
    "import sys; from pathlib import Path; from capsafe_core.store import Store; from "
    "capsafe_core.store.ingest import ingest_all\nwith Store(Path(sys.argv[2])) as s:\n    ingest_all(s, "
    "Path(sys.argv[1]))"
)


def written(job: Job) -> int:
    """Bytes in a job's shard."""
    shard = job.path(0, "shard.jsonl")
    return shard.stat().st_size if shard.exists() else 0


def test_twenty_kills_of_worker_and_ingester_lose_and_double_nothing(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    generations = [
        job.job_id
        for job in write_study(jobs, safety_size=400, capability_size=300)
        if job.manifest.kind == "generate"
    ]
    config = {"datasets": [{"name": "refusals", "source": "project:refusals"}]}
    work = {
        "judge": "coherence-rules",
        "config": config,
        "model": None,
        "engine": {},
        "generations": generations,
    }
    job = create_job(jobs, Manifest("judge", "again", work))
    chance = random.Random(3)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    worker = [sys.executable, "-m", "capsafe_core.work.worker", str(job.folder)]
    ingester = [sys.executable, "-c", INGEST, str(jobs), str(tmp_path / "store.duckdb")]
    began = time.monotonic()
    first = subprocess.Popen(worker, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
    while not any(True for _ in job.records()):
        assert first.poll() is None, "the worker ended before it committed anything"
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    needed = time.monotonic() - began  # to its first commit, on this machine
    killed = 1
    for turn in range(4 * KILLS):
        process = subprocess.Popen(
            worker if turn % 2 else ingester, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL
        )
        end, size = time.monotonic() + chance.uniform(0.2, 1.25) * needed, written(job)
        while process.poll() is None and time.monotonic() < end and written(job) == size:
            time.sleep(0.005)  # what is written is little, however fast the machine has become: much is left
        time.sleep(chance.uniform(0, 0.02))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        if killed == KILLS:
            break
    assert killed == KILLS, "the processes ended before they could be killed: make the work longer"
    assert len(list(job.records())) > 0, "the worker never got to commit anything: kill it later"
    assert subprocess.run(worker, env=environment, cwd=ROOT, check=False).returncode == 0
    assert job.state == "done"
    with Store(tmp_path / "store.duckdb") as store:
        _, problems = ingest_all(store, jobs)
        assert problems == []
        assert check(store) == []
        outputs = store.rows("SELECT count(*), count(DISTINCT generation_id) FROM generations")[0]
        judged = store.rows(
            "SELECT count(*), count(DISTINCT generation_id) FROM judgments JOIN raters AS r USING "
            "(rater_id) WHERE r.version <> '1'"
        )[0]
        assert outputs[0] == outputs[1] == judged[0] == judged[1]
        answered = sum(1 for j in list_jobs(jobs) for record in j.records() if record.type == "generation")
        assert outputs[0] == answered
