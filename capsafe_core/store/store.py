"""Opening the store, and the few ways in which everything else touches it."""

from __future__ import annotations

import errno
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import duckdb
import pandas as pd
import psutil
import pyarrow as pa

from capsafe_core.errors import BusyError, CapsafeError, DamagedError, UnwrittenError

pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own pool holds on to what one ingest needed
T = TypeVar("T")
KEPT = 64
STORAGE_VERSION = "v1.5.0"
"""Files are written so that every supported DuckDB (1.5.5 and later) opens them."""


UNREADABLE = (
    duckdb.IOException,
    duckdb.SerializationException,
    duckdb.InternalException,
    duckdb.FatalException,
)
"""what DuckDB raises over a file that is not as it wrote it"""


class Store:
    """A DuckDB file with capsafe's tables.

    One process owns the file. Inside it any thread may call: every call gets a cursor of its own,
    and writes hold one lock.

    Args:
        path: the file; made where missing. None keeps everything in memory.
        exports: the only folder that queries may write to.
        memory_limit: DuckDB's, for example "1GB".
        threads: DuckDB's worker threads.

    Raises:
        CapsafeError: another process owns the file, a newer capsafe wrote it, or it is not a store.
    """

    def __init__(
        self, path: Path | None, exports: Path | None = None, memory_limit: str = "1GB", threads: int = 2
    ) -> None:
        self.path = path
        self.exports = exports
        self._lock = threading.RLock()
        self._version = 0
        self.token = uuid.uuid4().hex
        """tells this opening of a store from every other: a key for caches, with the version"""
        self._kept: dict[str, tuple[int, Any]] = {}
        self._kept_lock = threading.Lock()
        self._connection = _connect(path)
        try:
            _remove_spill(path)
            self._migrate()
            self._close_doors(memory_limit, threads)
        except (duckdb.Error, OSError) as error:
            self._connection.close()
            raise _not_opened(path, error) from error
        except BaseException:
            self._connection.close()
            raise

    @property
    def version(self) -> int:
        """Counts this process's writes: a key for caches."""
        return self._version

    @property
    def own(self) -> Store:
        """The store with the judges' own verdicts; this one, where it is not read at another threshold."""
        return self

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """Something read from the store, made once for each version of it; the last KEPT of them stay in
        memory."""
        version = self.version
        with self._kept_lock:
            known = self._kept.pop(name, None)
        if known is None or known[0] != version:
            known = (version, make())
        with self._kept_lock:
            self._kept[name] = known  # now the newest
            while len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        value: T = known[1]
        return value

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            return self._connection.cursor()

    @contextmanager
    def _asked(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for one query.

        Raises:
            DamagedError: the file cannot be read.
        """
        cursor = self._cursor()
        try:
            yield cursor
        except duckdb.Error as error:
            if self.path is None or not _is_damage(error):
                raise
            raise _damaged(self.path, error) from error
        finally:
            cursor.close()

    def frame(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> pd.DataFrame:
        """The result of a query as a data frame; UUIDs as text."""
        with self._asked() as cursor:
            return pd.DataFrame(cursor.sql(sql, params=parameters or None).to_arrow_table().to_pandas())

    def arrow(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> pa.Table:
        """The result of a query as an Arrow table."""
        with self._asked() as cursor:
            return cursor.sql(sql, params=parameters or None).to_arrow_table()

    def rows(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self._asked() as cursor:
            return cursor.execute(sql, parameters).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor inside a transaction: all of it happens, or nothing.

        Raises:
            CapsafeError: the disk is full, or the file cannot be written.
        """
        with self._lock:
            cursor = self._connection.cursor()
            try:
                cursor.begin()
                try:
                    yield cursor
                except duckdb.Error as error:
                    cursor.rollback()
                    cause = _first_error(error)
                    if cause is error:
                        raise
                    raise cause from None
                except BaseException:
                    cursor.rollback()
                    raise
                cursor.commit()
                self._version += 1
            except duckdb.Error as error:
                if self.path is not None and _is_damage(error):
                    raise _damaged(self.path, error) from error
                if not isinstance(error, duckdb.IOException | duckdb.TransactionException):
                    raise
                # a commit that fails has rolled back already
                raise UnwrittenError(
                    f"The store {self.path} could not be written: {str(error).splitlines()[0]}",
                    "Free some space; nothing of this step was kept.",
                ) from error
            finally:
                cursor.close()

    def _migrate(self) -> None:
        steps = migrations()
        known = first(
            self._connection, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'migrations'"
        )
        if known == (0,):
            strangers = first(self._connection, "SELECT count(*) FROM duckdb_tables()")
            if strangers != (0,):
                raise CapsafeError(
                    f"{self.path} is a DuckDB file, but not a capsafe store.",
                    "Choose another path with CAPSAFE_STORE.",
                )
            self._connection.execute(
                "CREATE TABLE migrations (version INTEGER, name VARCHAR, applied DOUBLE)"
            )
        done = first(self._connection, "SELECT coalesce(max(version), 0) FROM migrations") or (0,)
        if done[0] > len(steps):
            raise CapsafeError(
                f"The store {self.path} was written by a newer capsafe (schema {done[0]}, this one knows "
                f"{len(steps)}).",
                "Update capsafe, or run `capsafe rebuild` into another file.",
            )
        for version, (name, sql) in enumerate(steps, 1):
            if version > done[0]:
                with self.transaction() as cursor:
                    cursor.execute(sql)
                    cursor.execute("INSERT INTO migrations VALUES (?, ?, ?)", [version, name, time.time()])

    def _close_doors(self, memory_limit: str, threads: int) -> None:
        """No query reads a file or the network; snapshots and exports may go into the exports folder."""
        run = self._connection.execute
        run(f"SET memory_limit = '{memory_limit}'")
        run(f"SET threads = {int(threads)}")
        run("SET preserve_insertion_order = false")
        if self.exports is not None:
            self.exports.mkdir(parents=True, exist_ok=True)
            self._connection.execute("SET allowed_directories = ?", [[str(self.exports.resolve())]])
        run("SET enable_external_access = false")
        run("SET lock_configuration = true")


def whole_path(path: Path) -> Path:
    """A path that DuckDB takes as it stands.

    Raises:
        CapsafeError: it has a question mark, after which DuckDB looks for options and loses the file.
    """
    if "?" in str(path):
        raise CapsafeError(
            f"{path} has a question mark in it, which DuckDB cannot open.", "Choose a path without one."
        )
    return path


def literal(text: str) -> str:
    """A text in SQL, where DuckDB's older line takes no parameter."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name of a table, column or database in SQL; other values are parameters, where DuckDB takes them."""
    return '"' + name.replace('"', '""') + '"'


def migrations() -> list[tuple[str, str]]:
    """The schema's steps in order: file name and SQL."""
    return sorted(
        (f.name, f.read_text())
        for f in files("capsafe_core.store").joinpath("migrations").iterdir()
        if f.name.endswith(".sql")
    )


def first(
    cursor: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any] = ()
) -> tuple[Any, ...] | None:
    """The first row of a statement, or None.

    The whole result is fetched: DuckDB 2 refuses further work on a cursor whose result is unfinished.
    """
    rows = cursor.execute(sql, list(parameters)).fetchall()
    return rows[0] if rows else None


def _first_error(error: duckdb.Error) -> duckdb.Error:
    """What aborted a transaction, where an error only says that it is aborted: cleaning up after the first
    fails, too."""
    while isinstance(error, duckdb.TransactionException) and isinstance(error.__context__, duckdb.Error):
        error = error.__context__
    return error


def _connect(path: Path | None) -> duckdb.DuckDBPyConnection:
    if path is None:
        return duckdb.connect(":memory:")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for file in (path, path.with_name(f"{path.name}.wal")):
            if file.exists() and not file.is_file():  # a pipe would keep everybody waiting
                raise OSError(errno.EINVAL, f"{file.name} is not a file")
        return duckdb.connect(
            str(whole_path(path)), config={"storage_compatibility_version": STORAGE_VERSION}
        )
    except (duckdb.Error, OSError, RuntimeError, ValueError) as error:
        raise _not_opened(path, error) from error


def _remove_spill(path: Path | None) -> None:
    """Remove what queries of an owner that was killed had moved to disk; the file is this process's by now,
    so nobody reads it any more."""
    if path is None:
        return
    folder = path.with_name(f"{path.name}.tmp")  # where DuckDB spills by itself
    for file in folder.glob("duckdb_temp_*"):
        file.unlink(missing_ok=True)
    with suppress(OSError):  # not there, not empty, or not a folder
        folder.rmdir()


def _is_damage(error: duckdb.Error) -> bool:
    """Whether a query failed over the file; not where the disk took no more of what was spilt, or of what was
    to be written."""
    words = str(error).lower()
    is_over_file = isinstance(error, UNREADABLE) or type(error) is duckdb.Error or "corrupt" in words
    return is_over_file and not any(word in words for word in ("write", "space", "quota"))


def _damaged(path: Path, error: Exception) -> DamagedError:
    """What a query met in a file that is not as it was written."""
    return DamagedError(
        f"The store {path} cannot be read: {(str(error).splitlines() or [type(error).__name__])[0]}",
        "Its content is also in the job folders: `capsafe rebuild` makes it again.",
    )


def _not_opened(path: Path | None, error: Exception) -> CapsafeError:
    """Why a store cannot be opened, and what helps."""
    if isinstance(error, OSError):
        return CapsafeError(
            f"The store {path} cannot be opened: {error.strerror or error}.",
            "Check the path, its rights and the free space, or choose another with CAPSAFE_STORE.",
        )
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if "could not set lock" in reason.lower():
        return BusyError(
            f"The store {path} is in use by another process{_holder(reason)}.",
            "Wait until that has ended, or end it. While the app runs, commands find it by themselves.",
        )
    if path is not None and path.is_file() and os.access(path, os.R_OK | os.W_OK):
        return CapsafeError(
            f"The file {path} cannot be opened as a store: {reason}",
            "Its content is also in the job folders: `capsafe rebuild` makes it again. CAPSAFE_STORE "
            "chooses another path.",
        )
    return CapsafeError(
        f"The store {path} cannot be opened: {reason}",
        "Check the path, its rights and the free space, or choose another with CAPSAFE_STORE.",
    )


def _holder(reason: str) -> str:
    """Which process holds a store that DuckDB finds locked, as an addition to a sentence."""
    found = re.search(r"PID (\d+)", reason)
    if found is None:
        return ""
    try:
        words = psutil.Process(int(found[1])).cmdline()[1:]  # without the interpreter
    except psutil.Error:
        words = []
    command = " ".join(Path(word).name if word.startswith("/") else word for word in words)
    return f", {found[1]}" + (f" ({command[:120]})" if command else "")
