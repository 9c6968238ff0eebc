"""Reading a shard: its committed blocks, and the records in them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder.files import whole_lines
from capsafe_core.records import Aside, Record, Rows, as_written, parse_line, records_in

COMMIT = b'{"type": "commit"'
"""how a closing line begins"""


def record_count(record: Record | Rows) -> int:
    """How many records what a line holds is."""
    return len(record.ids) if isinstance(record, Rows) else 1


def ignore(problem: CapsafeError) -> None:
    """For readers beside the store's owner, who tells of it."""


@dataclass(frozen=True)
class Block:
    """Units committed together: their names, and where in the shard their lines stand.

    Attributes:
        closing: what is wrong with the closing line, so that nothing says which units these are; empty where
            nothing is.
        changed: whether the bytes are others than those that were written; None where the closing line has no
            digest.
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
            yield from whole_lines(stream, self.end - self.start)


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
    for line in whole_lines(stream):
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
