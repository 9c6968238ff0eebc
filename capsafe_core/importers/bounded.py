"""Reading files that may be damaged, or made to harm: every size is bounded, every fault is a sentence."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.importers.log import Limits, Problems

LIMITS = Limits()
HEAD = 1 << 16
"""bytes at a file's beginning by which it is recognised, and in which a table names its columns"""
ZSTD = 93
"""the ZIP method of newer Inspect logs, which Python 3.11's zipfile does not know"""
_LOCAL = struct.Struct("<4s5H3L2H")


def parse(text: str | bytes, what: str) -> Any:
    """A JSON value.

    Raises:
        CapsafeError: it is not a JSON, no UTF-8, or nested without end.
    """
    try:
        return json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
    except RecursionError as error:
        raise CapsafeError(
            f"{what} is nested too deeply.", "No tool writes such a file; get it again."
        ) from error
    except UnicodeDecodeError as error:
        raise CapsafeError(f"{what} is not UTF-8 text (byte {error.start}).", "Save it as UTF-8.") from error
    except ValueError as error:
        raise CapsafeError(
            f"{what} is not JSON: {str(error)[:120]}.", "It may be truncated; get it again."
        ) from error


def load_json(path: Path) -> Any:
    """The JSON value in a file.

    Raises:
        CapsafeError: it cannot be read, is too large, or is not a JSON.
    """
    return parse(read_whole(path), path.name)


def read_whole(path: Path) -> bytes:
    """The bytes of a file of bounded size.

    Raises:
        CapsafeError: it cannot be read, or is too large to be read as one piece.
    """
    try:
        size = path.stat().st_size
        if size > LIMITS.whole:
            raise CapsafeError(
                f"{path.name} has {size >> 20} MB, and would have to be read as one piece (at most "
                f"{LIMITS.whole >> 20}).",
                "Save it as JSON lines, Parquet, or as Inspect's .eval.",
            )
        return _unpacked(path) if path.suffix.lower() == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CapsafeError(f"{path.name} is not a whole gzip file: {error}.", "Get it again.") from error
    except OSError as error:
        raise CapsafeError(f"{path.name} cannot be read: {error.strerror}.", "Check the path.") from error


def _unpacked(path: Path) -> bytes:
    with gzip.open(path) as stream:
        found = stream.read(LIMITS.whole + 1)
    if len(found) > LIMITS.whole:
        raise CapsafeError(
            f"{path.name} unpacks to more than {LIMITS.whole >> 20} MB.", "Save it in several files."
        )
    return found


def plain_suffix(path: Path) -> tuple[str, str]:
    """A file's stem and ending, without the .gz of one that is packed."""
    inner = Path(path.stem) if path.suffix.lower() == ".gz" else path
    return inner.stem, inner.suffix.lower()


def head_of(path: Path, size: int) -> bytes:
    """The bytes at a file's beginning, unpacked.

    Raises:
        OSError: it cannot be read.
    """
    if path.suffix.lower() != ".gz":
        with path.open("rb") as stream:
            return stream.read(size)
    try:
        with gzip.open(path) as packed:
            return packed.read(size)
    except (EOFError, zlib.error) as error:
        raise OSError(0, f"no whole gzip file: {error}") from error


def holds_lines(path: Path) -> bool:
    """Whether a file that is not a JSON value has one object a line."""
    return len(list(islice(json_lines(path, Problems()), 2))) == 2


def json_lines(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON lines, each with its line's number; a line that cannot be used is a
    problem."""
    try:
        stream = gzip.GzipFile(path) if path.suffix.lower() == ".gz" else path.open("rb")
    except OSError as error:
        raise CapsafeError(f"{path.name} cannot be read: {error.strerror}.", "Check the path.") from error
    decode = json.JSONDecoder().decode
    with stream:
        number = 0
        while raw := stream.readline(LIMITS.line + 1):
            number += 1
            if number > LIMITS.rows:
                raise _too_long(path)
            if len(raw) > LIMITS.line:
                problems.add(f"Line {number} of {path.name} is longer than {LIMITS.line >> 20} MB.")
                while raw and not raw.endswith(b"\n"):
                    raw = stream.readline(1 << 20)
                continue
            try:
                row = decode(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
            except RecursionError:
                problems.add(f"Line {number} of {path.name} is nested too deeply.")
                continue
            except UnicodeDecodeError:
                problems.add(f"Line {number} of {path.name} is not UTF-8 text.")
                continue
            except ValueError as error:
                if raw.strip():
                    problems.add(f"Line {number} of {path.name} is not JSON: {str(error)[:100]}.")
                continue
            if isinstance(row, dict):
                yield number, row
            else:
                problems.add(f"Line {number} of {path.name} is not a JSON object.")


def _too_long(path: Path) -> CapsafeError:
    return CapsafeError(
        f"{path.name} has more than {LIMITS.rows:,} rows, or entries of lists in them.",
        "Save it in several files.",
    )


def parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a Parquet file, a thousand at a time.

    Raises:
        CapsafeError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    number = 0
    try:
        # columns of texts stay dictionaries where they are: one long text in every row would else be written
        # out for each
        texts = [
            f.name
            for f in parquet.read_schema(path)
            if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
        ]
        with parquet.ParquetFile(path, read_dictionary=texts) as file:
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            columns = range(file.metadata.num_columns)
            counts = [sum(g.column(c).num_values for g in groups) for c in columns]
            if max([file.metadata.num_rows, *counts]) > LIMITS.rows:
                raise _too_long(path)
            largest = max(
                (g.column(c).total_uncompressed_size for g in groups for c in range(g.num_columns)), default=0
            )
            if largest > LIMITS.whole:
                raise CapsafeError(
                    f"{path.name} holds a column of {largest >> 20} MB in one piece.",
                    "Write it in smaller row groups.",
                )
            for batch in file.iter_batches(max(1, min(1000, LIMITS.member // max(largest, 1)))):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (OSError, ValueError, pa.ArrowException) as error:
        raise CapsafeError(
            f"{path.name} cannot be read as Parquet: {str(error).splitlines()[0][:150]}.",
            "It may be truncated; get it again.",
        ) from error


class Archive:
    """A ZIP archive of which nothing is ever unpacked to disk.

    Raises:
        CapsafeError: it is not an archive, a name in it leads out of it, or it unpacks to more than `Limits`
            allow.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._raw = path.open("rb")
            self._zip = zipfile.ZipFile(self._raw)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError) as error:
            raise CapsafeError(
                f"{path.name} is not a whole ZIP archive: {error}.",
                "A log of a run that is still going on has no end yet; else get it again.",
            ) from error
        entries = self._zip.infolist()
        outside = next(
            (
                e.filename
                for e in entries
                if e.filename.startswith(("/", "\\")) or ".." in e.filename.replace("\\", "/").split("/")
            ),
            None,
        )
        if outside is not None:
            self.close()
            raise CapsafeError(
                f"{path.name} holds a file that leads out of it: {outside[:100]!r}.",
                "No tool writes such an archive; do not trust it.",
            )
        if len(entries) > LIMITS.members or sum(e.file_size for e in entries) > LIMITS.archive:
            self.close()
            raise CapsafeError(
                f"{path.name} would unpack to {sum(e.file_size for e in entries) >> 20} MB in "
                f"{len(entries)} files.",
                "No log is that large; do not trust it.",
            )
        self.names = {e.filename: e for e in entries}

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()
        self._raw.close()

    def json(self, name: str) -> Any:
        """The JSON value in a file of the archive.

        Raises:
            CapsafeError: it is not there, too large, damaged or no JSON.
        """
        return parse(self._read(name), f"{name} in {self._path.name}")

    def _read(self, name: str) -> bytes:
        entry = self.names.get(name)
        if entry is None:
            raise CapsafeError(f"{self._path.name} has no {name}.", "It may be truncated; get it again.")
        try:
            if entry.compress_type == ZSTD:
                return self._zstd(entry)
            with self._zip.open(entry) as stream:
                return self._bounded(name, stream.read(LIMITS.member + 1))
        except CapsafeError:
            raise
        except Exception as error:  # zlib, zipfile and arrow each raise their own on damaged data
            raise CapsafeError(
                f"{name} in {self._path.name} is damaged: {str(error)[:100]}.", "Get the file again."
            ) from error

    def _bounded(self, name: str, found: bytes) -> bytes:
        if len(found) > LIMITS.member:
            raise CapsafeError(
                f"{name} in {self._path.name} unpacks to more than {LIMITS.member >> 20} MB.",
                "No log holds such a file; do not trust it.",
            )
        return found

    def _zstd(self, entry: zipfile.ZipInfo) -> bytes:
        """A file that is packed with Zstandard."""
        import pyarrow as pa

        if max(entry.compress_size, entry.file_size) > LIMITS.member:
            raise CapsafeError(
                f"{entry.filename} in {self._path.name} unpacks to more than {LIMITS.member >> 20} MB.",
                "No log holds such a file; do not trust it.",
            )
        self._raw.seek(entry.header_offset)
        head = _LOCAL.unpack(self._raw.read(_LOCAL.size))
        if head[0] != b"PK\x03\x04":
            raise CapsafeError(
                f"{entry.filename} in {self._path.name} is not where the archive says.", "Get the file again."
            )
        self._raw.seek(head[-2] + head[-1], 1)
        found: bytes = pa.decompress(
            self._raw.read(entry.compress_size), entry.file_size, "zstd", asbytes=True
        )
        if zlib.crc32(found) != entry.CRC:
            raise CapsafeError(
                f"{entry.filename} in {self._path.name} is damaged: its checksum does not fit.",
                "Get the file again.",
            )
        return found
