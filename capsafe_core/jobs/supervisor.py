"""Starting workers, and carrying a graph of jobs through."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, Manifest, create_job, list_jobs
from capsafe_core.settings import ROOT, Settings


def start_worker(job: Job, part: int = 0, settings: Settings | None = None) -> subprocess.Popen[bytes]:
    """Start a worker on a part, in a session of its own so that it outlives this process.

    Raises:
        CapsafeError: the engine's interpreter is not there.
    """
    python = job.manifest.python or str((settings or Settings()).worker_python)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_WAIT_POLICY": "PASSIVE"}
    job.clear_stop()
    with job.path(part, "log").open("ab") as log:
        try:
            return subprocess.Popen(
                [python, "-m", "capsafe_core.jobs.worker", str(job.folder.resolve()), "--part", str(part)],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise CapsafeError(f"The engine's Python {python} cannot be started: {error.strerror}.", "Run `make engine`, or set CAPSAFE_ENGINE_PYTHON.") from error


def is_queued(job: Job) -> bool:
    """Whether a job is asked for and not started yet."""
    return (job.folder / "queued").exists()


def ready_jobs(jobs: Sequence[Job]) -> list[Job]:
    """Jobs that are neither running nor done, and whose predecessors are all done."""
    states = {job.job_id: job.state for job in jobs}
    return [job for job in jobs if states[job.job_id] not in ("running", "done") and all(states.get(j) == "done" for j in job.manifest.after)]


def run_graph(manifests: Sequence[Manifest], root: Path, report: Callable[[str], None], settings: Settings | None = None, limit: float | None = None) -> bool:
    """Carry out jobs one after the other; what is done already is not done again.

    A job that failed holds up only those that come after it.

    Returns:
        Whether everything is done.
    """
    jobs = [create_job(root, manifest) for manifest in manifests]
    began = time.time()
    failed: set[str] = set()
    while limit is None or time.time() - began < limit:
        open_jobs = [j for j in jobs if j.state != "done" and j.job_id not in failed]
        done = {j.job_id for j in jobs if j.state == "done"}
        job = next((j for j in open_jobs if set(j.manifest.after) <= done), None)
        if job is None:
            break
        report(f"{len(done) + 1}/{len(jobs)} {job.job_id}")
        for part in range(job.manifest.parts):
            while job.status(part).state == "running":  # somebody else is at it
                time.sleep(1)
            if job.status(part).state != "done":
                start_worker(job, part, settings).wait()
        if job.state == "stopped":
            report(f"{job.job_id} was stopped.")
            return False
        if job.state != "done":
            status = next(s for s in map(job.status, range(job.manifest.parts)) if s.state != "done")
            report(f"{job.job_id}: {status.message} {status.hint}".strip())
            failed.add(job.job_id)
    return all(job.state == "done" for job in jobs)


class Queue:
    """Starts waiting jobs of a workspace one at a time; the app calls `tick` now and then."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._worker: subprocess.Popen[bytes] | None = None

    def tick(self) -> None:
        """Start the next job that is asked for, unless one is running."""
        if self._worker is not None and self._worker.poll() is None:
            return
        self._worker = None
        jobs = list_jobs(self._settings.jobs_path)
        if any(job.state == "running" for job in jobs):
            return
        ready = [job for job in ready_jobs(jobs) if is_queued(job)]
        if ready:
            (ready[0].folder / "queued").unlink()
            self._worker = start_worker(ready[0], settings=self._settings)

    @staticmethod
    def add(job: Job) -> None:
        """Ask for a job to be started when its turn comes."""
        (job.folder / "queued").touch()

    @staticmethod
    def restart(job: Job) -> None:
        """Ask for a job that ended early to go on."""
        job.clear_stop()
        Queue.add(job)
