"""Pushing: what a workspace's own job folders hold more than a lake has of them, in one transaction."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.archived import all_undone, is_job_name, whole_files
from capsafe_core.jobs.folder import RETRACTIONS, Job, committed_blocks, read_jobs
from capsafe_core.jobs.foreign import is_foreign
from capsafe_core.store.lake.amounts import amount
from capsafe_core.store.lake.connection import PIECE, Lake, digest_there, digest_up_to
from capsafe_core.store.rebuild import shard_damage
from capsafe_core.store.store import first

_LINES = pa.schema(
    [
        ("owner", pa.string()),
        ("job_id", pa.string()),
        ("name", pa.string()),
        ("start", pa.int64()),
        ("line", pa.string()),
    ]
)


@dataclass(frozen=True)
class Pushed:
    """What a push added.

    Attributes:
        jobs: how many of which something is new in the lake.
        lines: of their shards.
        kept: own jobs of which the lake had everything.
        foreign: jobs from elsewhere that nobody here has adopted; they are not one's own to push.
        problems: a sentence for each job that was left out.
    """

    jobs: int = 0
    lines: int = 0
    kept: int = 0
    foreign: int = 0
    problems: tuple[CapsafeError, ...] = ()

    @property
    def words(self) -> str:
        """How many jobs and lines are new in the lake, and what was left out."""
        new = "Nothing was pushed" if self.problems else "Nothing is new"
        if self.jobs:
            new = f"Pushed {amount(self.jobs, 'job')} with {amount(self.lines, 'new line')}"
        had = f"; the lake had all of {amount(self.kept, 'other')}" if self.kept else ""
        others = amount(self.foreign, "job")
        out = f" Left out until adopted: {others} from elsewhere." if self.foreign else ""
        return f"{new}{had}.{out}"


@dataclass(frozen=True)
class _Growth:
    """What is new of a shard: its bytes from `start`, up to which the lake has it, to `end`; the digest is of
    all up to there. An older copy, of which the lake has more, ends before it starts."""

    job: Job
    path: Path
    start: int
    end: int
    digest: str


@dataclass
class _News:
    """What is new of all jobs."""

    shards: list[_Growth] = field(default_factory=list)
    files: list[tuple[Job, str, bytes, str]] = field(default_factory=list)
    problems: list[CapsafeError] = field(default_factory=list)


def push_jobs(lake: Lake, root: Path, owner: str) -> Pushed:
    """Add to a lake what is new in a workspace's own job folders: all of it, or nothing.

    A job that is damaged, or that the lake has with another content under the same owner, is left out.

    Args:
        root: the folder of the job folders.
        owner: under whose name.

    Raises:
        CapsafeError: the lake cannot be written; it is as it was.
    """
    jobs, unreadable = read_jobs(root)
    own = [job for job in jobs if not is_foreign(job.folder)]
    with lake.held(owner) as still_held:

        def push() -> Pushed:
            with lake.transaction() as connection:
                news = _news_of(connection, own, owner)
                lines = _insert(connection, news, owner)
                still_held()
            new = {job.job_id for job in (*(g.job for g in news.shards), *(f[0] for f in news.files))}
            return Pushed(
                len(new),
                lines,
                len(own) - len(new) - len(news.problems),
                len(jobs) - len(own),
                (*news.problems, *unreadable),
            )

        return lake.retried(push)


def _news_of(connection: duckdb.DuckDBPyConnection, jobs: Sequence[Job], owner: str) -> _News:
    """What of some jobs the lake does not have."""
    files = {
        (job_id, name): digest
        for job_id, name, digest in connection.execute(
            "SELECT job_id, name, arg_max(digest, pushed) FROM lake.capsafe.files WHERE owner = ? "
            "GROUP BY job_id, name",
            [owner],
        ).fetchall()
    }
    shards: dict[tuple[str, str], dict[int, str]] = {}
    for job_id, name, size, digest in connection.execute(
        "SELECT job_id, name, bytes, digest FROM lake.capsafe.shards WHERE owner = ?", [owner]
    ).fetchall():
        shards.setdefault((job_id, name), {})[size] = digest
    news = _News()
    for job in jobs:
        try:
            parts = job.parts_with("shard.jsonl")
            grown = [_growth(connection, owner, job, part, shards) for part in parts]
            ends = {g.path.name: g.end for g in grown}
            whole = []
            for name, content in whole_files(job):
                of = f"{name.split('.')[0]}.shard.jsonl"
                if ends.get(of, 0) < max(shards.get((job.job_id, of), ()), default=0):
                    continue  # how far an older copy was
                had = files.get((job.job_id, name))
                if name == RETRACTIONS and had not in (None, _digest(content)):
                    content = all_undone(content, _pushed(connection, owner, job.job_id, name))
                if (digest := _digest(content)) != had:
                    whole.append((job, name, content, digest))
            if not is_job_name(job.job_id):
                raise CapsafeError(
                    f"The job folder {job.job_id!r} has a name that nobody could pull.", "Rename it."
                )
        except CapsafeError as error:
            news.problems.append(error)
        else:
            news.shards += [g for g in grown if g.start < g.end]
            news.files += whole
    return news


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _pushed(connection: duckdb.DuckDBPyConnection, owner: str, job_id: str, name: str) -> bytes:
    """The newest version of a file that a lake has."""
    row = first(
        connection,
        "SELECT arg_max(content, pushed) FROM lake.capsafe.files WHERE owner = ? AND job_id = ? AND name = ?",
        [owner, job_id, name],
    )
    return bytes(row[0]) if row else b""


def _growth(
    connection: duckdb.DuckDBPyConnection,
    owner: str,
    job: Job,
    part: int,
    known: dict[tuple[str, str], dict[int, str]],
) -> _Growth:
    """What a shard has more than the lake has of it.

    Raises:
        CapsafeError: it is damaged, or does not begin as what the lake has.
    """
    path = job.path(part, "shard.jsonl")
    wrong, _ = shard_damage(job, part)
    if wrong:
        raise CapsafeError(wrong, "Restore it from a copy; it was not pushed.")
    end = max((block.end for block in committed_blocks(path)), default=0)
    before = known.get((job.job_id, path.name), {})
    digests = digest_up_to(path, {end, *(size for size in before if size <= end)})
    most = max(before, default=0)
    at = most if most <= end else end  # an older copy is not pushed, but has to be one
    there = before.get(at) or digest_there(connection, (owner, job.job_id, path.name), at)
    if at and there != digests[at]:
        raise CapsafeError(
            f"The lake has another {job.job_id} of this owner: its {path.name} differs within {at:,} bytes.",
            "Two workspaces did the same work; push this one as another owner with --owner.",
        )
    return _Growth(job, path, most, end, digests[end])


def _insert(connection: duckdb.DuckDBPyConnection, news: _News, owner: str) -> int:
    """Add what is new; how many lines."""
    last = first(
        connection,
        """
        SELECT coalesce(max(pushed), 0) FROM (
            SELECT pushed FROM lake.capsafe.shards WHERE owner = $1
            UNION ALL SELECT pushed FROM lake.capsafe.files WHERE owner = $1
        )
        """,
        [owner],
    ) or (0.0,)
    pushed = max(time.time(), float(last[0]) + 1e-3)  # the newest counts, whatever a clock says
    lines = 0
    if news.shards:
        incoming = pa.RecordBatchReader.from_batches(_LINES, _batches(news.shards, owner))
        lines = _add(connection, "lines", incoming)
        of = [(owner, g.job.job_id, g.path.name, g.end, g.digest, pushed) for g in news.shards]
        columns = ["owner", "job_id", "name", "bytes", "digest", "pushed"]
        _add(connection, "shards", pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in of]))
    if news.files:
        whole = [
            {
                "owner": owner,
                "job_id": job.job_id,
                "name": name,
                "content": content,
                "digest": d,
                "pushed": pushed,
            }
            for job, name, content, d in news.files
        ]
        _add(connection, "files", pa.Table.from_pylist(whole))
    return lines


def _add(connection: duckdb.DuckDBPyConnection, table: str, incoming: pa.Table | pa.RecordBatchReader) -> int:
    connection.register("incoming", incoming)
    try:
        added = first(connection, f"INSERT INTO lake.capsafe.{table} BY NAME SELECT * FROM incoming")
    finally:
        connection.unregister("incoming")
    return int(added[0]) if added else 0


def _batches(shards: Sequence[_Growth], owner: str) -> Iterator[pa.RecordBatch]:
    """The new lines of shards, a piece at a time."""
    for grown in shards:
        starts: list[int] = []
        lines: list[str] = []
        waiting, at = 0, grown.start
        with grown.path.open("rb") as stream:
            stream.seek(grown.start)
            while at < grown.end:
                raw = stream.readline()
                if not raw.endswith(b"\n"):
                    raise CapsafeError(
                        f"The shard {grown.path} became shorter while it was pushed.", "Push again."
                    )
                starts.append(at)
                lines.append(raw[:-1].decode())
                at, waiting = at + len(raw), waiting + len(raw)
                if waiting >= PIECE or at >= grown.end:
                    yield _batch(owner, grown, starts, lines)
                    starts, lines, waiting = [], [], 0


def _batch(owner: str, grown: _Growth, starts: list[int], lines: list[str]) -> pa.RecordBatch:
    same = [[text] * len(lines) for text in (owner, grown.job.job_id, grown.path.name)]
    return pa.RecordBatch.from_arrays(
        [*map(pa.array, (*same, starts)), pa.array(lines, pa.string())], schema=_LINES
    )


_OWNERS = """
WITH jobs AS (
    SELECT owner, count(DISTINCT job_id) AS jobs, max(pushed) AS pushed FROM lake.capsafe.files GROUP BY owner
), facts AS (
    SELECT owner, count(*) AS lines, sum(strlen(line) + 1) AS bytes FROM lake.capsafe.lines GROUP BY owner
)
SELECT owner, jobs, coalesce(lines, 0) AS lines, CAST(coalesce(bytes, 0) AS BIGINT) AS bytes,
    strftime(make_timestamp(CAST(pushed * 1e6 AS BIGINT)), '%Y-%m-%d %H:%M:%S') AS pushed
FROM jobs LEFT JOIN facts USING (owner) ORDER BY owner
"""


def owners_table(lake: Lake) -> pd.DataFrame:
    """What is in a lake: a row for each owner, with how many jobs, lines and bytes, and when they last pushed
    (UTC)."""
    with lake.transaction() as connection:
        return connection.execute(_OWNERS).df()
