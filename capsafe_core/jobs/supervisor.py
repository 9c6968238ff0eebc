"""Starting workers, and carrying a graph of jobs through."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.early_looks import OFTEN, comes_early, has_news
from capsafe_core.jobs.folder import Job, Manifest, create_job, list_jobs, open_regular, replace_file
from capsafe_core.jobs.folder.work import FinetuneWork
from capsafe_core.jobs.foreign import is_foreign
from capsafe_core.jobs.permission import permit, permit_all, require_own
from capsafe_core.jobs.turns import Share, is_stuck, left_over, next_turn
from capsafe_core.places import IMPORTS, PREPARE, ROOT
from capsafe_core.replica import must_be_owner
from capsafe_core.settings import Settings

NUMBERED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""variables that number the processes of one training: those of whatever started this one are not a
worker's"""
WAIT = 5.0
"""seconds between looks at what others do"""
QUEUED = "queued"
"""the file in a job's folder that names the parts that are asked for and not started"""
LONGEST_QUEUED = 1 << 16
"""bytes that are read of it"""


def start_worker(job: Job, part: int = 0, settings: Settings | None = None) -> subprocess.Popen[bytes]:
    """Start a worker on a part, in a session of its own so that it outlives this process.

    Raises:
        NotAllowedError: the workspace does not allow what the job asks for.
        CapsafeError: the engine's interpreter is not there.
    """
    settings = settings or Settings()
    python = str(permit(job.folder, job.manifest, settings))
    environment = {
        **{name: value for name, value in os.environ.items() if name not in NUMBERED},
        "PYTHONPATH": str(IMPORTS),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
        "CAPSAFE_PROXY": settings.proxy,
    }
    try:
        log = open_regular(job.path(part, "log"))
        log.seek(0, os.SEEK_END)
    except OSError as error:
        raise CapsafeError(
            f"The log of {job.job_id} cannot be written: {error.strerror}.",
            "Look at its folder and its disk.",
        ) from error
    with log:
        try:
            return subprocess.Popen(
                worker_command(python, job, part),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise CapsafeError(
                f"The engine's Python {python} cannot be started for {job.job_id}: {error.strerror}.",
                f"Run `{PREPARE}`, or set CAPSAFE_ENGINE_PYTHON or `capsafe allow python`.",
            ) from error


def worker_command(python: str, job: Job, part: int) -> list[str]:
    """How a worker is started: a process, or one for each GPU of a fine-tuning."""
    worker = ["-m", "capsafe_core.work.worker", str(job.folder.resolve()), "--part", str(part)]
    gpus = job.manifest.asks(FinetuneWork).gpus if job.manifest.kind == FinetuneWork.kind else 1
    if gpus == 1:
        return [python, *worker]
    settings = f"--num_machines 1 --num_processes {gpus} --main_process_port 0"
    precision = "--mixed_precision no --dynamo_backend no"  # the trainer decides, as in one process
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", *settings.split(), *precision.split()]
    return [python, *launch, *worker]


def is_queued(job: Job) -> bool:
    """Whether a job is asked for and not started yet."""
    return (job.folder / QUEUED).exists()


def ready_jobs(jobs: Sequence[Job]) -> list[Job]:
    """Jobs that are asked for and not at work, and whose predecessors have ended and are not asked for
    again."""
    known = {job.job_id: job for job in jobs}

    def is_over(job_id: str) -> bool:
        return job_id in known and known[job_id].ended and not is_queued(known[job_id])

    return [
        job
        for job in jobs
        if is_queued(job) and job.state != "running" and all(is_over(j) for j in job.manifest.after)
    ]


def run_graph(
    manifests: Sequence[Manifest],
    root: Path,
    report: Callable[[str], None],
    settings: Settings | None = None,
    limit: float | None = None,
    share: Share | None = None,
) -> bool:
    """Carry out jobs one after the other; what is done already is not done again, what failed is tried again.

    Judges look at the answers that are there now and then, as long as that takes little time beside the
    answering. A job that failed holds up only those that come after it, and judges look at what the others
    brought. With a share, the other parts are somebody else's: this waits for them where a job comes after
    them, and whenever it has nothing of its own to do it takes one that nobody has begun, or whose worker is
    lost. The part's lock alone decides who has it.

    Returns:
        Whether everything that is this share's is done.

    Raises:
        NotAllowedError: the workspace does not allow what one of them asks for; nothing was started.
    """
    must_be_owner()
    share = share or Share()
    jobs = [create_job(root, manifest) for manifest in manifests]
    # with jobs left out, those before them may still be on disk
    known = {job.job_id: job for job in (*list_jobs(root), *jobs)}
    todo = _owed(jobs, share)
    for job in jobs:  # those that are done too: somebody else's outputs are not taken for this study's
        require_own(job.folder, job.manifest)
    permit_all(root, [job.manifest for job, _ in todo], settings or Settings())
    began, given_up, helped = time.time(), set[str](), set[tuple[str, int]]()
    while limit is None or time.time() - began < limit:
        turn = next_turn(todo, known, share) or left_over(jobs, known, share, helped)
        if turn is None:
            if not todo or is_stuck(todo, known, share):
                break
            time.sleep(WAIT)
            continue
        job, part = turn
        if turn not in todo:
            helped.add((job.job_id, part))
            report(f"{job.job_id} part {part + 1}, which nobody is at work on")
            if (state := _start(job, part, settings)) in ("failed", "partial"):
                given_up.add(job.job_id)
            if state == "stopped":
                return False
            continue
        early = comes_early(job, known)
        left = {other.job_id for other, p in todo if early or (other, p) != turn}
        report(
            f"{len(jobs) - len(left)}/{len(jobs)} {job.job_id}"
            + (f" part {part + 1}" if job.manifest.parts > 1 else "")
            + (" (what is there so far)" if early else "")
        )
        # a judge that looks at what is there stays in the queue
        state = _start(job, part, settings) if early else _carry_out(job, part, settings)
        if state == "stopped":
            report(f"{job.job_id} was stopped.")
            return False
        if early and state in ("waiting", "done", "partial"):
            continue
        todo.remove(turn)
        if state != "done":
            status = job.status(part)
            report(f"{job.job_id}: {status.message} {status.hint}".strip())
            given_up.add(job.job_id)
    return not todo and not given_up


def _owed(jobs: Sequence[Job], share: Share) -> list[tuple[Job, int]]:
    """The parts of a share that are not done, or asked for again; what is partial has those after it look
    again."""
    mine = [(job, part) for place, job in enumerate(jobs) for part in share.parts(job, place)]
    for job, part in mine:
        job.clear_stop()
        if job.status(part).state == "partial":
            look_again_after(job)
    return [
        (job, part) for job, part in mine if job.status(part).state != "done" or part in _asked_parts(job)
    ]


def _carry_out(job: Job, part: int, settings: Settings | None) -> str:
    """Do a part unless it is done. Returns its state after it."""
    while True:
        while job.status(part).state == "running":  # somebody else is at it
            time.sleep(1)
        if job.status(part).state == "done" and part not in _asked_parts(job):
            return "done"
        _ask_for(job, [p for p in _asked_parts(job) if p != part])
        if (state := _start(job, part, settings)) != "running":  # else another had its lock first
            return state


def _start(job: Job, part: int, settings: Settings | None) -> str:
    """Let a worker do a part. Returns its state after it."""
    start_worker(job, part, settings).wait()
    return job.status(part).state


def resume(job: Job, settings: Settings | None = None) -> None:
    """Do the parts of a job that are not done, or asked for again, one after the other: what ends one early,
    as a stop or an engine that does not load, would end each of thousands.

    Raises:
        NotAllowedError: the workspace does not allow what the job asks for.
        CapsafeError: the engine's interpreter is not there.
    """
    asked = _asked_parts(job)
    for part, status in enumerate(job.statuses):
        if status.state != "done" or part in asked:
            start_worker(job, part, settings).wait()
            _ask_for(job, [p for p in _asked_parts(job) if p != part])
            if job.status(part).state not in ("done", "partial"):
                return


class Queue:
    """Starts waiting jobs of a workspace one at a time; the app calls `tick` now and then."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._worker: subprocess.Popen[bytes] | None = None
        self._early: tuple[Job, int] | None = None

    def tick(self) -> list[CapsafeError]:
        """Start the next part of a job that is asked for, unless one is running.

        Returns:
            Why jobs that are asked for cannot be started; they keep their place, and those after them have
            their turn.
        """
        if self._worker is not None and self._worker.poll() is None:
            return []
        self._worker = None
        self._leave_what_ended_early()
        jobs = list_jobs(self._settings.jobs_path)
        if any(job.state == "running" for job in jobs):
            return []
        problems: dict[str, CapsafeError] = {}
        for job, look in self._turns(jobs):
            try:
                waiting = _asked_parts(job)
                parts = waiting if look is None else list(filter(look, waiting))
                if not parts:
                    continue
                # it leaves the queue only once it runs, and a judge that looks early not even then
                self._worker = start_worker(job, parts[0], settings=self._settings.reread())
                if look is None:
                    _ask_for(job, waiting[1:])
                else:
                    self._early = job, parts[0]
                break
            except CapsafeError as error:
                problems[str(error)] = error
        return list(problems.values())

    @staticmethod
    def _turns(jobs: Sequence[Job]) -> Iterator[tuple[Job, Callable[[int], bool] | None]]:
        """Jobs in the order of their turns: judges that have enough to look at, those that can be done whole,
        judges that have anything to look at; for a judge that looks early, which of its parts may."""
        known = {job.job_id: job for job in jobs}
        judges = [job for job in jobs if is_queued(job) and comes_early(job, known)]
        often = OFTEN * len(judges)
        yield from ((job, partial(has_news, job, known=known, times=often)) for job in judges)
        yield from ((job, None) for job in ready_jobs(jobs))
        yield from ((job, partial(has_news, job, known=known)) for job in judges)

    def _leave_what_ended_early(self) -> None:
        """What failed or was stopped while it looked early is no longer asked for."""
        early, self._early = self._early, None
        if early is not None and early[0].status(early[1]).state in ("failed", "stopped", "lost"):
            with suppress(CapsafeError):  # the turn of the job tells of it
                _ask_for(early[0], [part for part in _asked_parts(early[0]) if part != early[1]])

    def add(self, job: Job) -> None:
        """Ask for a job to be started when its turn comes.

        Raises:
            NotAllowedError: the workspace does not allow what the job asks for.
        """
        permit(job.folder, job.manifest, self._settings.reread())
        job.clear_stop()
        _ask_for(job, [part for part, status in enumerate(job.statuses) if status.state != "done"] or [0])

    def restart(self, job: Job) -> None:
        """Ask for a job that ended early, or of which some records failed, to go on; and for those after it
        to look again."""
        self.add(job)
        look_again_after(job)


def look_again_after(job: Job) -> None:
    """Ask the jobs that came after one, and are done or at work, to look again, for it is about to bring
    more.

    Those that came from elsewhere are left alone.
    """
    for later in list_jobs(job.folder.parent):
        follows = job.job_id in later.manifest.after and (later.ended or later.state == "running")
        if follows and not is_foreign(later.folder):
            _ask_for(later, range(later.manifest.parts))


def _asked_parts(job: Job) -> list[int]:
    """The parts of a job that are asked for and not started yet.

    Raises:
        CapsafeError: what says so cannot be read, or names parts that the job has not got.
    """
    try:
        if (job.folder / QUEUED).is_fifo():
            raise ValueError("it is not a regular file")
        with (job.folder / QUEUED).open("rb") as stream:
            parts = [int(word) for word in stream.read(LONGEST_QUEUED).split()] or [0]
        if not all(0 <= part < job.manifest.parts for part in parts):
            raise ValueError(f"the job has {job.manifest.parts} parts")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise CapsafeError(
            f"The file {QUEUED!r} of the job {job.job_id} cannot be read: {error}.",
            "Remove it, then start the job again; the other jobs go on.",
        ) from error
    return sorted(set(parts))


def _ask_for(job: Job, parts: Sequence[int]) -> None:
    """Note which parts of a job are to be started; none takes it out of the queue."""
    if parts:
        replace_file(job.folder / QUEUED, " ".join(map(str, parts)))
    else:
        (job.folder / QUEUED).unlink(missing_ok=True)
