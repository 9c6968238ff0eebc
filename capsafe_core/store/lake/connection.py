"""Opening a lake: DuckDB with the extensions that its packages bring, never fetched from anywhere."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from urllib.parse import urlsplit

import duckdb

from capsafe_core.errors import BusyError, CapsafeError
from capsafe_core.settings import Settings
from capsafe_core.store.lake.address import Address, NoLakeError, refusal_of
from capsafe_core.store.store import first, literal

T = TypeVar("T")
FORMAT = 1
"""of the tables of a lake"""
EXTENSIONS = ("postgres_scanner", "ducklake")
TABLES = {
    "about": "format INTEGER, created DOUBLE",
    "shards": "owner VARCHAR, job_id VARCHAR, name VARCHAR, bytes BIGINT, digest VARCHAR, pushed DOUBLE",
    "lines": "owner VARCHAR, job_id VARCHAR, name VARCHAR, start BIGINT, line VARCHAR",
    "files": "owner VARCHAR, job_id VARCHAR, name VARCHAR, content BLOB, digest VARCHAR, pushed DOUBLE",
}
OPTIONS = {
    "data_inlining_row_limit": "0",  # all facts in Parquet; and who lacks the files notices when opening it
    "parquet_row_group_size_bytes": "16MB",  # lines may be long
    "parquet_compression": "zstd",
}
WAIT = 600.0
"""seconds that a push waits for another one of the same owner"""
TRIES = 5
"""of a transaction that conflicts with others"""
PIECE = 1 << 23
"""bytes that are read or handed to DuckDB at a time"""
ROWS = 256
"""lines that are read at a time"""
_CONFLICT = re.compile("conflict|retry count", re.IGNORECASE)
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{2,62}(/[\w.+=-]+)*/?", re.ASCII)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:/|s3:", re.IGNORECASE)


@dataclass(frozen=True)
class Lake:
    """A lake that is open.

    Attributes:
        connection: in which it is attached as `lake`, and its PostgreSQL, only to read, as `catalogue`.
        created: when it was created (UTC), to the microsecond: it is known by that, however its address is
            typed.
    """

    connection: duckdb.DuckDBPyConnection
    address: Address
    created: str = ""

    @property
    def name(self) -> str:
        """As people are told it."""
        return self.address.name

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The connection inside a transaction, which sees one state of the lake; all of it happens or none.

        Raises:
            duckdb.TransactionException: another one committed what this one cannot stand beside.
        """
        self.connection.begin()
        try:
            yield self.connection
        except BaseException:
            with suppress(duckdb.Error):  # where the error has ended it
                self.connection.rollback()
            raise
        self.connection.commit()  # one that fails has rolled back

    def retried(self, what: Callable[[], T]) -> T:
        """Do something in a transaction, again where another one was in its way.

        Raises:
            BusyError: it was so each time.
        """
        for tried in range(TRIES):
            try:
                return what()
            except duckdb.TransactionException as error:
                if not _CONFLICT.search(str(error)):
                    raise
                time.sleep(0.1 * 2**tried)
        raise BusyError(f"The lake {self.name} is being changed all the time by others.", "Try again later.")

    @contextmanager
    def held(self, owner: str, wait: float = WAIT) -> Iterator[Callable[[], None]]:
        """Hold what only one push of an owner may have at a time; it is let go however this process ends.

        Yields:
            A function that raises where it was lost meanwhile.

        Raises:
            BusyError: another one has it for longer than `wait` seconds.
        """
        key = int.from_bytes(hashlib.blake2b(owner.encode(), digest_size=8).digest(), "big", signed=True)
        cursor = self.connection.cursor()
        try:
            cursor.begin()
            end = time.monotonic() + wait
            while self._ask(cursor, f"SELECT pg_try_advisory_xact_lock({key})") != (True,):
                if time.monotonic() > end:
                    raise BusyError(
                        f"Somebody else is pushing into {self.name} as {owner!r}.",
                        "Wait until that has ended, or push as another owner with --owner.",
                    )
                time.sleep(0.2)
            yield lambda: self._still(cursor)
        finally:
            with suppress(
                duckdb.Error
            ):  # of a connection that is lost; closing it then would end the process
                cursor.rollback()
            cursor.close()

    def _still(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._ask(cursor, "SELECT 1")

    def _ask(self, cursor: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...] | None:
        return first(cursor, f"SELECT * FROM postgres_query('catalogue', {literal(sql)})")


@contextmanager
def open_lake(address: Address, settings: Settings) -> Iterator[Lake]:
    """A lake that is there.

    Raises:
        CapsafeError: the extensions are missing, there is no such lake, it does not let one in, or it is of
            another version.
    """
    with _connected(address, settings) as connection:
        _attach(connection, address)
        data = _data_of(connection)
        _attach_catalogue(connection, address)
        _close_doors(connection, data)
        yield Lake(connection, address, _created(connection, address))


def create_lake(address: Address, data: str, settings: Settings) -> str:
    """Make a lake in a database that is there; where its files are.

    Args:
        data: a folder, empty or still to be made, or s3://bucket/prefix.

    Raises:
        CapsafeError: there is a lake already, or it cannot be made.
    """
    is_remote = _SCHEME.match(data) is not None
    if is_remote and not _BUCKET.fullmatch(data):
        raise CapsafeError(
            "That is not a place on S3, and no other addresses are known.",
            "Give it as s3://bucket/prefix, or the path of a folder.",
        )
    place = data.rstrip("/") + "/" if is_remote else f"{Path(data).absolute()}/"
    with _connected(address, settings) as connection:
        if is_remote:
            _reach_s3(connection)
        try:
            _attach(connection, address)
        except NoLakeError:
            _require_empty(place)
            _attach(connection, address, f"DATA_PATH {literal(place)}")
        if (of := _data_of(connection)) != place:
            raise CapsafeError(
                f"There is a DuckLake in that database already, with its files in {of}.",
                "Choose another database, or name that place.",
            )
        _make_tables(connection, address)
    return place


def _require_empty(place: str) -> None:
    """Raises where a folder for files is not empty, or cannot be made: what cleans up after one lake removes
    the files of another."""
    if place.startswith("s3:"):
        return
    try:
        Path(place).mkdir(parents=True, exist_ok=True)
        if any(Path(place).iterdir()):
            raise CapsafeError(f"{place} is not empty.", "Choose a folder that only this lake uses.")
    except OSError as error:
        raise CapsafeError(
            f"{place} cannot be a folder for files: {error.strerror}.", "Choose another."
        ) from error


def _make_tables(connection: duckdb.DuckDBPyConnection, address: Address) -> None:
    lake = Lake(connection, address)

    def make() -> bool:
        with lake.transaction():
            if _tables(connection):
                return False
            for option, value in OPTIONS.items():
                connection.execute(f"CALL lake.set_option('{option}', '{value}')")
            connection.execute("CREATE SCHEMA lake.capsafe")
            for name, columns in TABLES.items():
                connection.execute(f"CREATE TABLE lake.capsafe.{name} ({columns})")
            connection.execute("INSERT INTO lake.capsafe.about VALUES (?, ?)", [FORMAT, time.time()])
        return True

    if not lake.retried(make):
        raise CapsafeError(f"The lake {address.name} is there already.", "`capsafe archive push` adds to it.")


def _tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    rows = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = 'capsafe'"
    )
    return {str(name) for (name,) in rows.fetchall()}


def _created(connection: duckdb.DuckDBPyConnection, address: Address) -> str:
    """When a lake was created. Raises where it is not one of this version; reads one row, so that files that
    are not there are noticed."""
    if not _tables(connection) >= set(TABLES):
        raise CapsafeError(
            f"The database {address.name} holds a DuckLake, but not one of capsafe.",
            "Correct the address, or make one beside it with `capsafe archive create`.",
        )
    try:
        about = first(
            connection,
            "SELECT format, strftime(make_timestamp(CAST(created * 1e6 AS BIGINT)), '%Y-%m-%d %H:%M:%S.%f') "
            "FROM lake.capsafe.about ORDER BY created",
        )
    except duckdb.IOException as error:
        raise CapsafeError(
            f"The files of the lake {address.name} cannot be read here; they are in {_data_of(connection)}.",
            "Mount that folder at the same path, or set the keys for S3; or ask whoever runs the lake.",
        ) from error
    of, created = about or (None, "")
    if of != FORMAT:
        raise CapsafeError(
            f"The lake {address.name} has format {of}; this capsafe reads and writes format {FORMAT}.",
            "Update capsafe; where it is the newest, have whoever runs the lake look at it.",
        )
    return str(created)


@contextmanager
def _connected(address: Address, settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with the extensions; what they refuse is told as a sentence."""
    extensions = [_extension(name) for name in EXTENSIONS]
    try:
        with TemporaryDirectory(prefix="capsafe-lake-") as spill, duckdb.connect(":memory:") as connection:
            connection.execute(f"SET temp_directory = {literal(spill)}")
            for setting in ("autoinstall_known_extensions", "autoload_known_extensions"):
                connection.execute(f"SET {setting} = false")
            connection.execute(f"SET memory_limit = {literal(settings.memory_limit)}")
            connection.execute(f"SET threads = {int(settings.threads)}")
            connection.execute("SET preserve_insertion_order = false")
            connection.execute("SET enable_progress_bar = false")
            for path in extensions:
                connection.execute(f"LOAD {literal(str(path))}")
            connection.execute("SET ducklake_max_retry_count = 100")
            yield connection
    except duckdb.Error as error:
        raise refusal_of(address.name, error) from None  # what caused it may name more than a sentence should


def _extension(name: str) -> Path:
    """The file of an extension for the DuckDB that runs.

    Raises:
        CapsafeError: its package is not installed, or is for another version.
    """
    package = importlib.util.find_spec(f"duckdb_extension_{name}")
    for folder in (package.submodule_search_locations or ()) if package else ():
        path = Path(folder) / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
        if path.is_file():
            return path
    raise CapsafeError(
        f"The archive needs DuckLake, and its extension {name!r} is not installed for DuckDB "
        f"{duckdb.__version__}.",
        "Make another environment with `pip install 'capsafe[lake]'` and run `capsafe archive` there, with "
        "the same CAPSAFE_HOME; the app may go on in the one it has.",
    )


def _attach(connection: duckdb.DuckDBPyConnection, address: Address, options: str = "") -> None:
    sql = (
        f"ATTACH {literal(f'ducklake:postgres:{address.url}')} AS lake "
        f"({options or 'CREATE_IF_NOT_EXISTS false'})"
    )
    try:
        connection.execute(sql)
    except duckdb.Error as error:
        if options or "requires the extension httpfs" not in str(error):
            raise refusal_of(address.name, error) from None
        _reach_s3(connection)
        connection.execute(sql)


def _attach_catalogue(connection: duckdb.DuckDBPyConnection, address: Address) -> None:
    connection.execute(f"ATTACH {literal(address.url)} AS catalogue (TYPE postgres, READ_ONLY)")


def _data_of(connection: duckdb.DuckDBPyConnection) -> str:
    """Where a lake's files are."""
    return str((first(connection, "SELECT data_path FROM ducklake_settings('lake')") or ("",))[0])


def _reach_s3(connection: duckdb.DuckDBPyConnection) -> None:
    """Let DuckDB reach files on S3, with the keys that the environment has."""
    connection.execute(f"LOAD {literal(str(_extension('httpfs')))}")
    given = {
        "KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", ""),
        "SECRET": os.environ.get("AWS_SECRET_ACCESS_KEY", ""),
        "SESSION_TOKEN": os.environ.get("AWS_SESSION_TOKEN", ""),
        "REGION": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", ""),
    }
    if server := os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        parts = urlsplit(server)
        given |= {
            "ENDPOINT": parts.netloc,
            "URL_STYLE": "path",
            "USE_SSL": str(parts.scheme != "http").lower(),
        }
    keys = ", ".join(f"{key} {literal(value)}" for key, value in given.items() if value)
    connection.execute(f"CREATE SECRET (TYPE s3{', ' if keys else ''}{keys})")


def _close_doors(connection: duckdb.DuckDBPyConnection, data: str) -> None:
    """Whatever a lake says, only files in its own place are read and written."""
    connection.execute(f"SET allowed_directories = [{literal(data)}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def digest_up_to(path: Path, ends: Collection[int]) -> dict[int, str]:
    """The digest of a file's bytes up to each of some places."""
    seen, at, found = hashlib.blake2b(digest_size=16), 0, {}
    with path.open("rb") as stream:
        for end in sorted(ends):
            while at < end and (piece := stream.read(min(PIECE, end - at))):
                seen.update(piece)
                at += len(piece)
            found[end] = seen.hexdigest()
    return found


def digest_there(connection: duckdb.DuckDBPyConnection, shard: tuple[str, str, str], end: int) -> str:
    """The digest of a shard's bytes up to some place, from its lines in a lake: for where nobody pushed it
    just up to there.

    Args:
        shard: owner, job and name.
    """
    lines = connection.execute(
        """
        SELECT line FROM lake.capsafe.lines
        WHERE owner = ? AND job_id = ? AND name = ? AND start < ? ORDER BY start
        """,
        [*shard, end],
    )
    seen = hashlib.blake2b(digest_size=16)
    while rows := lines.fetchmany(ROWS):
        for (line,) in rows:
            seen.update(line.encode() + b"\n")
    return seen.hexdigest()
