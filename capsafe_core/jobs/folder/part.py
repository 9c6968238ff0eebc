"""A worker's hold on one part of a job."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

import psutil

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder.files import open_regular, replace_file, write_all
from capsafe_core.jobs.folder.job import Job
from capsafe_core.jobs.folder.shard import Shard
from capsafe_core.jobs.folder.status import Status, born_at
from capsafe_core.records import Record, Rows

HEARTBEAT = 10.0
"""Seconds between signs of life of a worker."""
PATIENCE = 600.0
"""seconds that a worker has to end after a stop: it hears it between batches, and not within a library that
never returns, as with a tokenizer's patterns"""


@dataclass
class Part:
    """A worker's hold on one part of a job: a context manager that locks, resumes and reports.

    Args:
        is_all: whether the process does nothing else, so that it may be ended where a stop is not heard.
    """

    job: Job
    index: int = 0
    is_all: bool = False
    done_units: set[str] = field(default_factory=set)
    done: int = 0
    total: int = 0
    tokens: int = 0
    errors: int = 0
    looked_at: int = 0
    """as of `Status`"""
    waits_for: str = ""
    """what is to come before the part can be done, as a sentence; "" where nothing is"""
    _seconds_before: float = 0.0
    _began: float = 0.0
    _since: float = 0.0
    born_at: float = 0.0
    _note: str = ""
    _first_error: str = ""

    def __enter__(self) -> Part:
        self._shard = Shard(self.job, self.index)
        self.done_units, self.done = self._shard.done_units, self._shard.lines
        before = self.job.status(self.index)
        self._seconds_before, self.tokens, self.looked_at = before.seconds, before.tokens, before.looked_at
        self._began, self._since, self._born = time.time(), time.monotonic(), born_at(psutil.Process())
        self._reporting, self._ended = threading.Lock(), threading.Event()
        self.report("running")
        threading.Thread(target=self._beat, name="capsafe-heartbeat", daemon=True).start()
        return self

    def write(
        self, unit: str | Sequence[str], records: Iterable[Record | Rows], tokens: int = 0, note: str = ""
    ) -> None:
        """Commit a unit, or several at once: their records and the closing line in one write, on disk before
        this returns.

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
            with open_regular(self.job.path(self.index, "errors.jsonl")) as stream:
                stream.seek(0, os.SEEK_END)
                line = {"unit": unit, "message": message, "time": time.time()}
                write_all(stream, (json.dumps(line) + "\n").encode())
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
        """Show now and then that the worker lives, however long an engine takes to load or a server to
        answer."""
        asked: float | None = None
        while not self._ended.wait(HEARTBEAT):
            asked = (asked or time.monotonic()) if self.is_all and self.should_stop else None
            with self._reporting, suppress(CapsafeError):  # a full disk is told by the next commit
                if not self._ended.is_set():
                    self._report(*self._last)
            if asked and time.monotonic() - asked > PATIENCE:
                self._end()

    def _end(self) -> None:
        """End this process, which did not hear that it is to stop; what was committed is kept."""
        with self._reporting:
            if not self._ended.is_set():
                with suppress(CapsafeError):
                    self._report("stopped", f"It was ended: it did not stop within {PATIENCE:g} seconds.", "")
                for child in psutil.Process().children(recursive=True):  # an engine's
                    with suppress(psutil.Error):
                        child.kill()
                os._exit(1)

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
            looked_at=self.looked_at,
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
        elif self.should_stop and (self.done < self.total or self.waits_for):
            self.report("stopped")
        elif self.waits_for:
            self.report("waiting", self.waits_for)
        elif self.errors:
            self.report(
                "partial",
                f"{self.errors} failed; the first: {self._first_error}",
                "The errors file lists them. Run what failed again, or leave it.",
            )
        else:
            self.report("done", self._note)
