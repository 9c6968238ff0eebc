"""The job folder: the contract between those who ask for work, those who do it and those who read it.

    manifest.json            what to do (kind, settings, parts, the jobs it comes after)
    part-000.shard.jsonl     records in committed blocks; the truth
    part-000.errors.jsonl    records that failed, one line each
    part-000.status.json     progress, replaced atomically
    part-000.log             what the worker printed
    part-000.lock            held by the worker
    stop                     exists when a graceful end is asked for

A block is the records of one unit of work (a batch) and a closing line {"type": "commit", "unit": ...};
engines that batch by themselves close several units at once, and "units" names them.
Whatever stands after the last closing line is unfinished: the worker cuts it and repeats that unit,
and no reader reads past it. So a kill at any moment loses and doubles nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from capsafe_core.errors import BusyError, CapsafeError
from capsafe_core.records import FORMAT, Record, Rows, canonical_json, count_of, digest_text, records_of, to_line

HEARTBEAT = 10.0
"""Seconds between signs of life of a worker."""
COMMIT = b'{"type": "commit"'
"""how a closing line begins"""
PIECE = 1 << 20
"""bytes that are written at a time"""
STALE_AFTER = 60.0
"""Seconds without a heartbeat after which a worker on another machine counts as lost."""


@dataclass(frozen=True)
class Manifest:
    """What a job is to do; `work` holds the settings of its kind."""

    kind: str
    name: str
    work: dict[str, Any]
    after: tuple[str, ...] = ()
    parts: int = 1
    python: str = ""
    code_version: str = ""
    created: float = 0.0
    study: str = ""
    """the study that it is of; "" in manifests of before this was kept"""

    @property
    def job_id(self) -> str:
        """Readable and the same for the same work, so asking twice makes one job."""
        same = canonical_json([FORMAT, self.kind, self.name, self.work, list(self.after), self.parts])
        return f"{self.kind}-{self.name}-{digest_text(same)[:10]}"


@dataclass(frozen=True)
class Status:
    """How far one part is. `state` is waiting, running, done, partial (some records failed), stopped, failed or lost."""

    state: str = "waiting"
    host: str = ""
    pid: int = 0
    started: float = 0.0
    heartbeat: float = 0.0
    done: int = 0
    total: int = 0
    tokens: int = 0
    errors: int = 0
    message: str = ""
    hint: str = ""
    seconds: float = 0.0
    """working time over all runs of this part"""

    @property
    def tokens_per_second(self) -> float | None:
        return self.tokens / self.seconds if self.tokens and self.seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None before there is a pace."""
        if self.state != "running" or not self.done or not self.total:
            return None
        return self.seconds / self.done * (self.total - self.done)


@dataclass(frozen=True)
class Job:
    """A job folder, read."""

    folder: Path
    manifest: Manifest

    @property
    def job_id(self) -> str:
        return self.folder.name

    def path(self, part: int, what: str) -> Path:
        return self.folder / f"part-{part:03d}.{what}"

    def status(self, part: int = 0) -> Status:
        """The part's status; a worker that died without a word is `lost`."""
        try:
            status = Status(**json.loads(self.path(part, "status.json").read_text()))
        except FileNotFoundError:
            return Status()
        except (ValueError, TypeError):
            return Status(state="lost", message="Its status file cannot be read.", hint="Resume the job.")
        if status.state == "running" and not _alive(status):
            return Status(**{**status.__dict__, "state": "lost", "message": "The worker ended without a word.", "hint": "Resume the job."})
        return status

    @property
    def statuses(self) -> list[Status]:
        """The status of every part."""
        return [self.status(part) for part in range(self.manifest.parts)]

    @property
    def state(self) -> str:
        """One word for the whole job: the least finished of its parts."""
        states = [status.state for status in self.statuses]
        for state in ("failed", "lost", "running", "stopped", "waiting", "partial"):
            if state in states:
                return state
        return "done"

    @property
    def ended(self) -> bool:
        """Whether those that come after this job can start: everything is there but what failed."""
        return self.state in ("done", "partial")

    def failures(self, part: int) -> list[dict[str, Any]]:
        """The records of a part that failed, of every run: unit, message, time. A line that is being written is left out."""
        try:
            lines = self.path(part, "errors.jsonl").read_text(errors="replace").split("\n")[:-1]
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines if line.endswith("}")]

    @property
    def stop_asked(self) -> bool:
        return (self.folder / "stop").exists()

    def ask_to_stop(self) -> None:
        (self.folder / "stop").touch()

    def clear_stop(self) -> None:
        (self.folder / "stop").unlink(missing_ok=True)

    def records(self) -> Iterator[Record]:
        """Every committed record of every part."""
        for part in range(self.manifest.parts):
            yield from self.part_records(part)

    def part_records(self, part: int) -> Iterator[Record]:
        """Every committed record of one part."""
        for block in committed_blocks(self.path(part, "shard.jsonl")):
            yield from chain.from_iterable(map(records_of, block.lines))


@dataclass(frozen=True)
class Block:
    """Units committed together: their names, and where in the shard their lines stand."""

    path: Path
    units: tuple[str, ...]
    start: int
    end: int

    @property
    def lines(self) -> Iterator[dict[str, Any]]:
        """The lines without the closing one, read and parsed one after the other, so that many of them need little memory.

        Raises:
            CapsafeError: one of them is not JSON.
        """
        decode = json.JSONDecoder().decode
        with self.path.open("rb") as stream:
            stream.seek(self.start)
            while stream.tell() < self.end:
                raw = stream.readline()
                if not raw.startswith(COMMIT):
                    try:
                        yield decode(raw.decode())
                    except ValueError as error:
                        raise CapsafeError(f"The shard {self.path} has a damaged line before byte {self.end}.", "Restore it from a copy, or delete the job folder and run it again.") from error


def committed_blocks(path: Path, start: int = 0) -> Iterator[Block]:
    """The blocks of a shard from a byte offset on; stops before what is unfinished.

    Raises:
        CapsafeError: the shard is shorter than `start`, or a closing line is not JSON.
    """
    if not path.exists():
        if start:
            raise CapsafeError(f"The shard {path} is gone, and {start} bytes of it were read before.", "Put the folder back, or run `capsafe rebuild`.")
        return
    if path.stat().st_size < start:
        raise CapsafeError(f"The shard {path} is shorter than the {start} bytes already read from it.", "Put the whole file back, or run `capsafe rebuild`.")
    with path.open("rb") as stream:
        stream.seek(start)
        end = start
        for line in stream:
            if not line.endswith(b"\n"):
                return
            end += len(line)
            if line.startswith(COMMIT):
                try:
                    commit = json.loads(line)
                except ValueError as error:
                    raise CapsafeError(f"The shard {path} has a damaged line before byte {end}.", "Restore it from a copy, or delete the job folder and run it again.") from error
                yield Block(path, tuple(commit["units"]) if "units" in commit else (str(commit.get("unit")),), start, end)
                start = end


def create_job(root: Path, manifest: Manifest) -> Job:
    """The folder for a manifest; the one that exists already where the same work was asked for before."""
    folder = root / manifest.job_id
    if not (folder / "manifest.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / "manifest.json", json.dumps({**manifest.__dict__, "created": time.time()}, indent=1))
    return open_job(folder)


def open_job(folder: Path) -> Job:
    """Read a job folder.

    Raises:
        CapsafeError: there is no readable manifest.
    """
    try:
        data = json.loads((folder / "manifest.json").read_text())
        return Job(folder, Manifest(**{**data, "after": tuple(data["after"])}))
    except FileNotFoundError as error:
        raise CapsafeError(f"{folder} is not a job folder: it has no manifest.json.", "Check the path.") from error
    except (ValueError, TypeError, KeyError) as error:
        raise CapsafeError(f"The manifest in {folder} cannot be read: {error}.", "Delete the folder and start the job again.") from error


def list_jobs(root: Path) -> list[Job]:
    """All jobs, oldest first; a folder whose manifest is unreadable is left out."""
    jobs = []
    for path in root.glob("*/manifest.json"):
        try:
            jobs.append(open_job(path.parent))
        except CapsafeError:
            continue
    return sorted(jobs, key=lambda job: (job.manifest.created, job.job_id))


class Shard:
    """The writer of one part's shard: it holds the part's lock, and cuts off what was left unfinished.

    Raises:
        BusyError: another process is writing it.
    """

    def __init__(self, job: Job, part: int = 0) -> None:
        self._job = job
        self._lock = job.path(part, "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise BusyError(f"Part {part} of {job.job_id} is already being worked on.", "Wait for it, or stop it first.") from error
        path = job.path(part, "shard.jsonl")
        self.done_units: set[str] = set()
        self.lines = 0
        end = 0
        for block in committed_blocks(path):
            self.done_units.update(block.units)
            self.lines += sum(map(count_of, block.lines))
            end = block.end
        self._path, self._end = path, end
        self._stream = path.open("r+b" if path.exists() else "w+b", buffering=0)
        self._cut()

    def _cut(self) -> None:
        """Take away what stands after the last commit."""
        self._stream.truncate(self._end)
        self._stream.seek(self._end)
        self._torn = False

    @property
    def is_there(self) -> bool:
        """Whether the file that is written is still the one at its path: a folder may be deleted and put back."""
        try:
            return os.path.samestat(os.fstat(self._stream.fileno()), self._path.stat())
        except OSError:
            return False

    def append(self, units: Sequence[str], records: Iterable[Record | Rows], note: str = "") -> int:
        """Commit units: their records and the closing line, on disk before this returns. Returns how many records.

        Records are written while they are made, so that many of them need little memory; without the closing line they do not count.

        Raises:
            CapsafeError: the disk is full, or the folder is gone; nothing was committed. Nor is it where making a record fails.
        """
        named = {"unit": units[0]} if len(units) == 1 else {"units": list(units)}
        count, written, waiting = 0, 0, bytearray()
        try:
            if self._torn:
                self._cut()
            for record in records:
                waiting += to_line(record).encode()
                count += len(record.ids) if isinstance(record, Rows) else 1
                if len(waiting) >= PIECE:
                    written += self._write(waiting)
                    waiting.clear()
            waiting += (json.dumps({"type": "commit", **named, **({"note": note} if note else {})}) + "\n").encode()
            written += self._write(waiting)
            os.fsync(self._stream.fileno())
        except BaseException as error:
            self._torn = True
            with suppress(OSError):  # else the next append cuts it
                self._cut()
            if isinstance(error, OSError):
                raise CapsafeError(f"The shard of {self._job.job_id} cannot be written: {error.strerror}.", "Free some space and resume the job; what was committed is kept.") from error
            raise
        self._end += written
        self.done_units.update(units)
        self.lines += count
        return count

    def _write(self, data: bytearray) -> int:
        left = memoryview(data)
        while left:
            done = self._stream.write(left)
            left = left[done:]
        left.release()
        return len(data)

    def close(self) -> None:
        self._stream.close()
        self._lock.close()


@dataclass
class Part:
    """A worker's hold on one part of a job: a context manager that locks, resumes and reports."""

    job: Job
    index: int = 0
    done_units: set[str] = field(default_factory=set)
    done: int = 0
    total: int = 0
    tokens: int = 0
    errors: int = 0
    _seconds_before: float = 0.0
    _began: float = 0.0
    _note: str = ""
    _first_error: str = ""

    def __enter__(self) -> Part:
        self._shard = Shard(self.job, self.index)
        self.done_units, self.done = self._shard.done_units, self._shard.lines
        before = self.job.status(self.index)
        self._seconds_before, self.tokens = before.seconds, before.tokens
        self._began = time.time()
        self._reporting, self._ended = threading.Lock(), threading.Event()
        self.report("running")
        threading.Thread(target=self._beat, name="capsafe-heartbeat", daemon=True).start()
        return self

    def write(self, unit: str | Sequence[str], records: Iterable[Record | Rows], tokens: int = 0, note: str = "") -> None:
        """Commit a unit, or several at once: their records and the closing line in one write, on disk before this returns.

        Args:
            tokens: how many were generated for it.
            note: what happened on the way; it is kept in the closing line and shown with the progress.
        """
        self.done += self._shard.append([unit] if isinstance(unit, str) else unit, records, note)
        self.tokens += tokens
        self._note = note or self._note
        self.report("running", self._note)

    def error(self, unit: str, message: str) -> None:
        """Note that one record failed; the job goes on."""
        self.errors += 1
        self._first_error = self._first_error or message
        try:
            with self.job.path(self.index, "errors.jsonl").open("a") as stream:
                stream.write(json.dumps({"unit": unit, "message": message, "time": time.time()}) + "\n")
        except OSError as error:
            raise CapsafeError(f"The errors file of {self.job.job_id} cannot be written: {error.strerror}.", "Free some space and resume the job; what was committed is kept.") from error

    @property
    def should_stop(self) -> bool:
        return self.job.stop_asked

    def report(self, state: str, message: str = "", hint: str = "") -> None:
        """Replace the status file."""
        with self._reporting:
            self._report(state, message, hint)

    def _beat(self) -> None:
        """Show now and then that the worker lives, however long an engine takes to load or a server to answer."""
        while not self._ended.wait(HEARTBEAT):
            with self._reporting, suppress(CapsafeError):  # a full disk is told by the next commit
                if not self._ended.is_set():
                    self._report(*self._last)

    def _report(self, state: str, message: str, hint: str) -> None:
        self._last = state, message, hint
        now = time.time()
        status = Status(
            state=state,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=self._began,
            heartbeat=now,
            done=self.done,
            total=self.total,
            tokens=self.tokens,
            errors=self.errors,
            message=message,
            hint=hint,
            seconds=self._seconds_before + now - self._began,
        )
        replace_file(self.job.path(self.index, "status.json"), json.dumps(status.__dict__))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        try:
            self._report_end(error)
        finally:
            self._shard.close()

    def _report_end(self, error: BaseException | None) -> None:
        if isinstance(error, CapsafeError):
            self.report("failed", error.message, error.hint)
        elif error is not None:
            self.report("failed", f"{type(error).__name__}: {error}", "This is a fault in capsafe or its engine; the log has the details.")
        elif self.should_stop and self.done < self.total:
            self.report("stopped")
        elif self.errors:
            self.report("partial", f"{self.errors} failed; the first: {self._first_error}", "The errors file lists them. Run what failed again, or leave it.")
        else:
            self.report("done", self._note)


def _alive(status: Status) -> bool:
    if status.host != socket.gethostname():
        return time.time() - status.heartbeat < STALE_AFTER
    try:
        process = psutil.Process(status.pid)
        return process.create_time() <= status.started + 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def replace_file(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old one or the new one."""
    new = path.with_suffix(f".{os.getpid()}.new")
    try:
        new.write_text(text)
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise CapsafeError(f"{path.name} cannot be written in {path.parent}: {error.strerror}.", "Free some space and try again.") from error
