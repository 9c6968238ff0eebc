"""Writing a shard: the one who holds a part's lock adds blocks at its end."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from capsafe_core.errors import BusyError, CapsafeError
from capsafe_core.jobs.folder.blocks import committed_blocks, ignore, record_count
from capsafe_core.jobs.folder.files import PIECE, open_regular, whole_lines, write_all
from capsafe_core.jobs.folder.job import Job
from capsafe_core.records import Record, Rows, as_written, to_line

DAMAGED = "damaged"
"""the file beside a shard with what stood after its last commit and was not an unfinished write"""


class Shard:
    """The writer of one part's shard: it holds the part's lock, and cuts off what was left unfinished.

    Raises:
        BusyError: another process is writing it.
    """

    def __init__(self, job: Job, part: int = 0) -> None:
        self._job = job
        try:
            self._lock = open_regular(job.path(part, "lock"))
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
            self.lines += sum(map(record_count, block.records(ignore)))
            end = block.end
        self._path, self._end = path, end
        try:
            self._stream = open_regular(path)
            self._keep_damaged(job.path(part, DAMAGED))
            self._cut()
        except OSError as error:
            self._lock.close()
            raise CapsafeError(
                f"The shard of {job.job_id} cannot be written: {error.strerror}.",
                "Look at its permissions and its disk.",
            ) from error

    def _keep_damaged(self, beside: Path) -> None:
        """Put what stands after the last commit beside the shard where it is more than a write that was cut
        short: a closing line that was damaged since would else take with it what was acknowledged."""
        self._stream.seek(self._end)
        if all(as_written(line) is not None for line in whole_lines(self._stream)):
            return
        self._stream.seek(self._end)
        with open_regular(beside) as kept:
            kept.seek(0, os.SEEK_END)
            while piece := self._stream.read(PIECE):
                write_all(kept, piece)
            os.fsync(kept.fileno())

    def _cut(self) -> None:
        """Take away what stands after the last commit."""
        self._stream.truncate(self._end)
        self._stream.seek(self._end)
        self._torn = False

    @property
    def is_there(self) -> bool:
        """Whether the file that is written is still the one at its path: a folder may be deleted and put
        back."""
        try:
            return os.path.samestat(os.fstat(self._stream.fileno()), self._path.stat())
        except OSError:
            return False

    def append(self, units: Sequence[str], records: Iterable[Record | Rows], note: str = "") -> int:
        """Commit units: their records and the closing line, on disk before this returns. Returns how many
        records.

        Records are written while they are made, so that many of them need little memory; without the closing
        line they do not count.

        Raises:
            CapsafeError: the disk is full, or the folder is gone; nothing was committed. Nor is it where
                making a record fails.
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
                count += record_count(record)
                if len(waiting) >= PIECE:
                    written += write_all(self._stream, waiting)
                    waiting.clear()
            closing = {"type": "commit", **named, **({"note": note} if note else {})}
            seen.update(json.dumps(closing).encode())
            waiting += (json.dumps({**closing, "digest": seen.hexdigest()}) + "\n").encode()
            written += write_all(self._stream, waiting)
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

    def close(self) -> None:
        self._stream.close()
        self._lock.close()
