"""The small files of a job's folder: read within limits, replaced whole, or made longer by a line."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from capsafe_core.errors import CapsafeError
from capsafe_core.records import LONGEST_LINE
from capsafe_core.values import Shape, parse_json

PIECE = 1 << 20
"""bytes that are written at a time"""
LARGEST_FILE = 1 << 28
"""bytes of a manifest, a status file or a head"""
LONGEST_NAME = 180
"""bytes of a name in a folder's name; file systems take 255"""
T = TypeVar("T")


def named(folder: Path) -> str:
    """A folder's path as text that can be printed."""
    return os.fsencode(folder).decode("utf-8", "replace")


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def file_part(name: str) -> str:
    """A name as a part of a folder's name: a study may call a model after a hub's, or lead somewhere else."""
    kept = name.replace("/", "-").replace("\0", "-")
    return kept.encode("utf-8", "replace")[:LONGEST_NAME].decode("utf-8", "ignore")


def read_json(path: Path) -> Any:
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
        return kind(**Shape(kind).known(read_json(folder / name)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CapsafeError(
            f"The {name} of {named(folder)} cannot be read: {error}.",
            "Delete the folder and start the job again.",
        ) from error


def open_regular(path: Path) -> BinaryIO:
    """A file of a job's folder to read and write, unbuffered; made where it is missing.

    Raises:
        OSError: it cannot be opened, or is something else: a pipe would keep everybody waiting.
    """
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(number, "r+b", buffering=0)


def append_line(path: Path, values: dict[str, Any]) -> None:
    """Add a JSON line to a file of a job's folder, on disk before this returns; one that was torn is closed
    first.

    Raises:
        OSError: it cannot be written.
    """
    with open_regular(path) as stream:
        line = b"\n" * is_torn(stream) + json.dumps(values).encode() + b"\n"
        stream.seek(0, os.SEEK_END)
        write_all(stream, line)
        os.fsync(stream.fileno())


def read_lines(path: Path, kind: type[T]) -> list[T]:
    """The lines that `append_line` wrote, as dataclasses; one that is torn or of another form is left out."""
    if not path.is_file():
        return []
    with path.open("rb") as stream:
        return lines_in(stream, kind)


def lines_in(stream: BinaryIO, kind: type[T]) -> list[T]:
    """The same of a stream."""
    shape, found = Shape(kind), []
    for raw in whole_lines(stream):
        with suppress(ValueError):
            found.append(kind(**shape.known(parse_json(raw))))
    return found


def write_all(stream: BinaryIO, data: bytes | bytearray) -> int:
    """Write to an unbuffered file, which may take less at a time; how many bytes it took."""
    left = memoryview(data)
    while left:
        left = left[stream.write(left) :]
    left.release()
    return len(data)


def is_torn(stream: BinaryIO) -> bool:
    """Whether a file ends within a line."""
    if stream.seek(0, os.SEEK_END) == 0:
        return False
    stream.seek(-1, os.SEEK_END)
    return stream.read() != b"\n"


def whole_lines(stream: BinaryIO, length: int = 1 << 62) -> Iterator[bytes]:
    """Whole lines of a file from where it stands; of one that is too long, as much as shows that."""
    while length > 0 and (line := stream.readline(LONGEST_LINE + 1)):
        rest = b"" if line.endswith(b"\n") else line
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(PIECE)
            length -= len(rest)
        length -= len(line)
        if line.endswith(b"\n") or rest:
            yield line


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
