"""The job folder: the contract between those who ask for work, those who do it and those who read it.

    manifest.json            what to do (kind, settings, parts, the jobs it comes after)
    part-000.shard.jsonl     records in committed blocks; the truth
    part-000.errors.jsonl    records that failed, one line each
    part-000.status.json     progress, replaced atomically
    part-000.log             what the worker printed
    part-000.lock            held by the worker
    retractions.jsonl        when all of it was taken out of every number, or put back
    stop                     exists when a graceful end is asked for

A block is the records of one unit of work (a batch) and a closing line {"type": "commit", "unit": ..., "digest": ...};
engines that batch by themselves close several units at once, and "units" names them. The digest is of the block's bytes.
Whatever stands after the last closing line is unfinished: the worker cuts it and repeats that unit,
and no reader reads past it. So a kill at any moment loses and doubles nothing.

What cannot be read is set aside with a sentence, and the rest is read: a folder, a line, a record.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, BinaryIO, TypeVar

import psutil

from capsafe_core.errors import BusyError, CapsafeError
from capsafe_core.records import (
    FORMAT,
    LONGEST_LINE,
    Record,
    Rows,
    as_written,
    canonical_json,
    digest_text,
    parse_line,
    records_in,
    to_line,
)
from capsafe_core.values import Count, Holding, OneOf, Seconds, Shape, Within, parse_json, well_formed

HEARTBEAT = 10.0
"""Seconds between signs of life of a worker."""
COMMIT = b'{"type": "commit"'
"""how a closing line begins"""
PIECE = 1 << 20
"""bytes that are written at a time"""
STALE_AFTER = 60.0
"""Seconds without a heartbeat after which a worker on another machine counts as lost."""
CLOCKS_APART = 3600.0
"""Seconds by which another machine's clock may be ahead of this one's."""
MOST_PARTS = 10_000
"""parts of a job"""
LONGEST_MESSAGE = 4000
"""characters of why something failed"""
LARGEST_FILE = 1 << 28
"""bytes of a manifest, a status file or a head"""
T = TypeVar("T")
Aside = Callable[[CapsafeError], None]
"""told of what one reading sets aside, while it goes on with the rest"""


@dataclass(frozen=True)
class Manifest:
    """What a job is to do; `work` holds the settings of its kind."""

    kind: str
    name: str
    work: dict[str, Any]
    after: tuple[str, ...] = ()
    parts: Annotated[int, Within(1, MOST_PARTS)] = 1
    python: str = ""
    code_version: str = ""
    created: Seconds = 0.0
    study: str = ""
    """the study that it is of; "" in manifests of before this was kept"""

    @property
    def job_id(self) -> str:
        """Readable and the same for the same work, so asking twice makes one job."""
        same = canonical_json([FORMAT, self.kind, self.name, self.work, list(self.after), self.parts])
        return f"{self.kind}-{self.name}-{digest_text(same)[:10]}"


STATES = ("waiting", "running", "done", "partial", "stopped", "failed", "lost")


@dataclass(frozen=True)
class Status:
    """How far one part is. Partial is where some records failed."""

    state: Annotated[str, OneOf(STATES)] = "waiting"
    host: str = ""
    pid: Annotated[int, Within(0, (1 << 31) - 1)] = 0
    started: Seconds = 0.0
    heartbeat: Seconds = 0.0
    done: Count = 0
    total: Count = 0
    tokens: Count = 0
    errors: Count = 0
    message: str = ""
    hint: str = ""
    seconds: Seconds = 0.0
    """working time over all runs of this part"""
    born: Seconds = 0.0
    """seconds from the machine's start to the process's, which no change of its clock alters; 0 where it was not kept"""

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
            status = read_status(self.path(part, "status.json"))
        except FileNotFoundError:
            return Status()
        except (OSError, ValueError):
            return Status(state="lost", message="Its status file cannot be read.", hint="Resume the job.")
        if status.state == "running" and not _alive(status):
            return Status(
                **{
                    **status.__dict__,
                    "state": "lost",
                    "message": "The worker ended without a word.",
                    "hint": "Resume the job.",
                }
            )
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
        return [failure for _, failure in failures_in(self.path(part, "errors.jsonl"))]

    @property
    def stop_asked(self) -> bool:
        return (self.folder / "stop").exists()

    def ask_to_stop(self) -> None:
        (self.folder / "stop").touch()

    def clear_stop(self) -> None:
        (self.folder / "stop").unlink(missing_ok=True)

    def records(self) -> Iterator[Record]:
        """Every committed record of every part that can be used; the store's owner tells of the others."""
        for part in range(self.manifest.parts):
            yield from self.part_records(part)

    def part_records(self, part: int) -> Iterator[Record]:
        """Every committed record of one part that can be used."""
        for block in committed_blocks(self.path(part, "shard.jsonl")):
            for record in block.records(_ignore):
                if isinstance(record, Rows):
                    yield from record.records()
                else:
                    yield record


def _count(record: Record | Rows) -> int:
    return len(record.ids) if isinstance(record, Rows) else 1


def _ignore(problem: CapsafeError) -> None:
    """For readers beside the store's owner, who tells of it."""


@dataclass(frozen=True)
class Block:
    """Units committed together: their names, and where in the shard their lines stand.

    Attributes:
        closing: what is wrong with the closing line, so that nothing says which units these are; empty where nothing is.
        changed: whether the bytes are others than those that were written; None where the closing line has no digest.
    """

    path: Path
    units: tuple[str, ...]
    start: int
    end: int
    closing: str = ""
    changed: bool | None = None

    def records(self, aside: Aside) -> Iterator[Record | Rows]:
        """The records of every line, read one after the other, so that many of them need little memory.

        Args:
            aside: told of each line that is damaged, and of each record that cannot be used.
        """
        for raw in self._raw():
            if not raw.startswith(COMMIT):
                record = as_written(raw)
                if record is None:
                    yield from records_in(raw, aside)
                else:
                    yield record

    def _raw(self) -> Iterator[bytes]:
        with self.path.open("rb") as stream:
            stream.seek(self.start)
            yield from _lines(stream, self.end - self.start)


def _lines(stream: BinaryIO, length: int = 1 << 62) -> Iterator[bytes]:
    """Whole lines of a file from where it stands; of one that is too long, as much as shows that."""
    while length > 0 and (line := stream.readline(LONGEST_LINE + 1)):
        rest = b"" if line.endswith(b"\n") else line
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(PIECE)
            length -= len(rest)
        length -= len(line)
        if line.endswith(b"\n") or rest:
            yield line


def committed_blocks(path: Path, start: int = 0) -> Iterator[Block]:
    """The blocks of a shard from a byte offset on; stops before what is unfinished.

    Raises:
        CapsafeError: the shard is shorter than `start`, or cannot be read.
    """
    try:
        size = path.stat().st_size if path.is_file() else None
        if size is None and start:
            raise CapsafeError(
                f"The shard {path} is gone, and {start} bytes of it were read before.",
                "Put the folder back, or run `capsafe rebuild`.",
            )
        if size is not None and size < start:
            raise CapsafeError(
                f"The shard {path} is shorter than the {start} bytes already read from it.",
                "Put the whole file back, or run `capsafe rebuild`.",
            )
        if size is not None:
            with path.open("rb") as stream:
                stream.seek(start)
                yield from _blocks(path, stream)
    except OSError as error:
        raise CapsafeError(
            f"The shard {path} cannot be read: {error.strerror}.", "Look at its permissions and its disk."
        ) from error


def _blocks(path: Path, stream: BinaryIO) -> Iterator[Block]:
    start, seen = stream.tell(), hashlib.blake2b(digest_size=16)
    for line in _lines(stream):
        if not line.startswith(COMMIT):
            seen.update(line)
            continue
        end = stream.tell()
        try:
            closing = parse_line(line)
            units = closing["units"] if "units" in closing else [closing.get("unit")]
            if type(units) is not list or not all(type(unit) is str for unit in units):
                raise CapsafeError("A closing line is damaged: it names no units.")
        except CapsafeError as error:
            yield Block(path, (), start, end, error.message)
        else:
            digest = closing.pop("digest", None)
            seen.update(json.dumps(closing).encode())
            yield Block(
                path, tuple(units), start, end, changed=None if digest is None else digest != seen.hexdigest()
            )
        start, seen = end, hashlib.blake2b(digest_size=16)


def create_job(root: Path, manifest: Manifest) -> Job:
    """The folder for a manifest; the one that exists already where the same work was asked for before."""
    folder = root / manifest.job_id
    if not (folder / "manifest.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            replace_file(
                folder / "manifest.json", json.dumps({**manifest.__dict__, "created": time.time()}, indent=1)
            )
        except CapsafeError:
            with suppress(OSError):
                folder.rmdir()
            raise
    return open_job(folder)


def open_job(folder: Path) -> Job:
    """Read a job folder.

    Raises:
        CapsafeError: there is no readable manifest.
    """
    if not _is_text(folder.name):  # a name of other bytes can be a key nowhere
        raise CapsafeError(
            f"The job folder {_named(folder)} has a name that is not UTF-8.",
            "Rename it; the other jobs were read.",
        )
    try:
        data = _read_json(folder / "manifest.json")
        kept = _MANIFEST.known(data)
        _check_work(kept["work"])
        if not _is_text(f"{kept['kind']}{kept['name']}{kept.get('study', '')}"):
            raise ValueError("its names hold half a character")
        return Job(folder, Manifest(**kept))
    except FileNotFoundError as error:
        raise CapsafeError(
            f"{_named(folder)} is not a job folder: it has no manifest.json.", "Check the path."
        ) from error
    except (OSError, ValueError) as error:
        raise CapsafeError(
            f"The manifest in {_named(folder)} cannot be read: {error}.",
            "Delete the folder and start the job again.",
        ) from error


def _is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Failure:
    """A line of an errors file."""

    unit: str
    message: str
    time: Seconds


@dataclass(frozen=True)
class _Work:
    """What those who show jobs take for granted of a manifest's work, where it is there."""

    study: str = ""
    mapping: str = ""
    path: dict[str, Any] = field(default_factory=dict)
    sources: tuple[
        Annotated[dict[str, Any], Holding({"tool": str, "relative": str, "digest": str, "outputs": Count})],
        ...,
    ] = ()


_MANIFEST, _STATUS, _FAILURE, _WORK = Shape(Manifest), Shape(Status), Shape(Failure), Shape(_Work)


def _check_work(work: dict[str, Any]) -> None:
    """Raises ValueError where a manifest's work is not what those who show jobs take for granted."""
    _WORK.known(work)
    if "sources" in work and not {"study", "mapping"} <= work.keys():
        raise ValueError("it has sources, and no study or mapping")


def folder_beside(folder: Path, job_id: str) -> Path:
    """The folder of another job of the same workspace.

    Raises:
        CapsafeError: what a manifest names is no job's name, but a way to somewhere else.
    """
    if Path(job_id).name != job_id or job_id in ("", ".."):
        raise CapsafeError(
            f"The job {_named(folder)} names {job_id!r}, which is not the name of a job.",
            "Do not trust where it came from.",
        )
    return folder.parent / job_id


def _named(folder: Path) -> str:
    """A folder's path as text that can be printed."""
    return os.fsencode(folder).decode("utf-8", "replace")


def _read_json(path: Path) -> Any:
    """A JSON file of a job folder.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    if path.exists() and not path.is_file():  # a pipe would keep everybody waiting
        raise ValueError("it is not a file")
    with path.open("rb") as stream:
        raw = stream.read(LARGEST_FILE + 1)
    if len(raw) > LARGEST_FILE:
        raise ValueError(f"it is larger than {LARGEST_FILE >> 20} MB")
    return parse_json(raw)


def read_small(folder: Path, name: str, kind: type[T]) -> T | None:
    """What a JSON file of a job's folder holds, as a dataclass; None where there is none.

    Raises:
        CapsafeError: it cannot be read, or does not hold what the dataclass does.
    """
    try:
        return kind(**Shape(kind).known(_read_json(folder / name)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CapsafeError(
            f"The {name} of {_named(folder)} cannot be read: {error}.",
            "Delete the folder and start the job again.",
        ) from error


def read_status(path: Path) -> Status:
    """A status file.

    Raises:
        OSError, ValueError: there is none, or it cannot be read.
    """
    return Status(**_STATUS.known(_read_json(path)))


def failures_in(path: Path, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines of an errors file from a byte on, each with where it ends: unit, message, time. One that is being written is left out."""
    if path.is_file():
        with path.open("rb") as stream:
            stream.seek(start)
            for raw in _lines(stream):
                yield stream.tell(), _failure(raw)


def _failure(raw: bytes) -> dict[str, Any]:
    """What a line of an errors file says; one that is torn or of another form is its own message."""
    try:
        known = _FAILURE.known(parse_json(raw))
    except ValueError:
        known = {"unit": "", "message": raw[:LONGEST_MESSAGE].decode("utf-8", "replace").strip(), "time": 0.0}
    return {
        key: well_formed(value)[:LONGEST_MESSAGE] if type(value) is str else value
        for key, value in known.items()
    }


RETRACTIONS = "retractions.jsonl"


@dataclass(frozen=True)
class Retraction:
    """That all a job brought was taken out of every number, or put back."""

    action: Annotated[str, OneOf(("retract", "restore"))]
    happened: Seconds


def retractions_of(job: Job) -> list[Retraction]:
    """Every retraction and restoring of a job; a line that is torn or of another form is left out."""
    return read_lines(job.folder / RETRACTIONS, Retraction)


def note_retraction(job: Job, retraction: Retraction) -> None:
    """Keep a retraction in the job's folder, on disk before this returns.

    Raises:
        CapsafeError: it cannot be written.
    """
    try:
        append_line(job.folder / RETRACTIONS, retraction.__dict__)
    except OSError as error:
        raise CapsafeError(
            f"The undoing of {job.job_id} cannot be kept in its folder: {error.strerror}.",
            "Free some space; until then a rebuilt store would count it.",
        ) from error


def append_line(path: Path, values: dict[str, Any]) -> None:
    """Add a JSON line to a file of a job's folder, on disk before this returns; one that was torn is closed first.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("ab") as stream:
        stream.write(b"\n" * _is_torn(path) + json.dumps(values).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def read_lines(path: Path, kind: type[T]) -> list[T]:
    """The lines that `append_line` wrote, as dataclasses; one that is torn or of another form is left out."""
    shape, found = Shape(kind), []
    if path.is_file():
        with path.open("rb") as stream:
            for raw in _lines(stream):
                with suppress(ValueError):
                    found.append(kind(**shape.known(parse_json(raw))))
    return found


def _is_torn(path: Path) -> bool:
    """Whether a file ends within a line."""
    with path.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) == 0:
            return False
        stream.seek(-1, os.SEEK_END)
        return stream.read() != b"\n"


def list_jobs(root: Path) -> list[Job]:
    """All jobs, oldest first; `read_jobs` also tells why others are left out."""
    return read_jobs(root)[0]


def read_jobs(root: Path) -> tuple[list[Job], list[CapsafeError]]:
    """All jobs, oldest first, and why folders that hold a manifest are none."""
    jobs, problems = [], []
    for path in root.glob("*/manifest.json"):
        try:
            jobs.append(open_job(path.parent))
        except CapsafeError as error:
            problems.append(error)
    return sorted(jobs, key=lambda job: (job.manifest.created, job.job_id)), sorted(problems, key=str)


class Shard:
    """The writer of one part's shard: it holds the part's lock, and cuts off what was left unfinished.

    Raises:
        BusyError: another process is writing it.
    """

    def __init__(self, job: Job, part: int = 0) -> None:
        self._job = job
        try:
            self._lock = job.path(part, "lock").open("w")
        except OSError as error:
            raise CapsafeError(
                f"Part {part} of {job.job_id} cannot be written: {error.strerror}.",
                "Look at its permissions and its disk.",
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise BusyError(
                f"Part {part} of {job.job_id} is already being worked on.", "Wait for it, or stop it first."
            ) from error
        path = job.path(part, "shard.jsonl")
        self.done_units: set[str] = set()
        self.lines = 0
        end = 0
        for block in committed_blocks(path):
            self.done_units.update(block.units)
            self.lines += sum(map(_count, block.records(_ignore)))
            end = block.end
        self._path, self._end = path, end
        try:
            self._stream = path.open("r+b" if path.exists() else "w+b", buffering=0)
        except OSError as error:
            self._lock.close()
            raise CapsafeError(
                f"The shard of {job.job_id} cannot be written: {error.strerror}.",
                "Look at its permissions and its disk.",
            ) from error
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
        count, written, waiting, seen = 0, 0, bytearray(), hashlib.blake2b(digest_size=16)
        try:
            if self._torn:
                self._cut()
            for record in records:
                line = to_line(record).encode()
                seen.update(line)
                waiting += line
                count += _count(record)
                if len(waiting) >= PIECE:
                    written += self._write(waiting)
                    waiting.clear()
            closing = {"type": "commit", **named, **({"note": note} if note else {})}
            seen.update(json.dumps(closing).encode())
            waiting += (json.dumps({**closing, "digest": seen.hexdigest()}) + "\n").encode()
            written += self._write(waiting)
            os.fsync(self._stream.fileno())
        except BaseException as error:
            self._torn = True
            with suppress(OSError):  # else the next append cuts it
                self._cut()
            if isinstance(error, OSError):
                raise CapsafeError(
                    f"The shard of {self._job.job_id} cannot be written: {error.strerror}.",
                    "Free some space and resume the job; what was committed is kept.",
                ) from error
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
    _since: float = 0.0
    _born: float = 0.0
    _note: str = ""
    _first_error: str = ""

    def __enter__(self) -> Part:
        self._shard = Shard(self.job, self.index)
        self.done_units, self.done = self._shard.done_units, self._shard.lines
        before = self.job.status(self.index)
        self._seconds_before, self.tokens = before.seconds, before.tokens
        self._began, self._since, self._born = time.time(), time.monotonic(), _born(psutil.Process())
        self._reporting, self._ended = threading.Lock(), threading.Event()
        self.report("running")
        threading.Thread(target=self._beat, name="capsafe-heartbeat", daemon=True).start()
        return self

    def write(
        self, unit: str | Sequence[str], records: Iterable[Record | Rows], tokens: int = 0, note: str = ""
    ) -> None:
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
            raise CapsafeError(
                f"The errors file of {self.job.job_id} cannot be written: {error.strerror}.",
                "Free some space and resume the job; what was committed is kept.",
            ) from error

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
        status = Status(
            state=state,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=self._began,
            heartbeat=time.time(),
            done=self.done,
            total=self.total,
            tokens=self.tokens,
            errors=self.errors,
            message=message,
            hint=hint,
            seconds=self._seconds_before + time.monotonic() - self._since,
            born=self._born,
        )
        replace_file(self.job.path(self.index, "status.json"), json.dumps(status.__dict__))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        try:
            self._report_end(error)
        finally:
            self._shard.close()

    def _report_end(self, error: BaseException | None) -> None:
        if isinstance(error, CapsafeError):
            self.report("failed", error.message, error.hint)
        elif error is not None:
            self.report(
                "failed",
                f"{type(error).__name__}: {error}",
                "This is a fault in capsafe or its engine; the log has the details.",
            )
        elif self.should_stop and self.done < self.total:
            self.report("stopped")
        elif self.errors:
            self.report(
                "partial",
                f"{self.errors} failed; the first: {self._first_error}",
                "The errors file lists them. Run what failed again, or leave it.",
            )
        else:
            self.report("done", self._note)


def _alive(status: Status) -> bool:
    if status.host != socket.gethostname():
        return -CLOCKS_APART < time.time() - status.heartbeat < STALE_AFTER
    try:
        process = psutil.Process(status.pid)
        same = (
            abs(_born(process) - status.born) < 0.1
            if status.born
            else process.create_time() <= status.started + 1
        )
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _born(process: psutil.Process) -> float:
    """When a process began, in seconds since the machine did; with its pid it names the process, whatever becomes of the clock."""
    return max(0.01, round(float(process.create_time() - psutil.boot_time()), 2))


def replace_file(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old one or the new one."""
    new = path.with_suffix(f".{os.getpid()}.new")
    try:
        new.write_text(text)
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise CapsafeError(
            f"{path.name} cannot be written in {path.parent}: {error.strerror}.",
            "Free some space and try again.",
        ) from error
