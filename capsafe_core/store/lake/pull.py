"""Pulling: the job folders of a lake's owners into a workspace, each whole or not at all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa

from capsafe_core.errors import CapsafeError, DamagedError, UnknownNameError
from capsafe_core.jobs.archived import (
    arrival,
    begin,
    is_file_name,
    is_job_name,
    is_shard_name,
    settle,
    waiting_studies,
)
from capsafe_core.jobs.packing import LARGEST
from capsafe_core.people import person_named
from capsafe_core.store.lake.amounts import amount
from capsafe_core.store.lake.connection import ROWS, Lake, digest_there, digest_up_to
from capsafe_core.values import shown
from capsafe_core.writing import REFUSALS, refusal

NAMED = 5
"""folders that a sentence names"""


@dataclass(frozen=True)
class Pulled:
    """What a pull brought.

    Attributes:
        jobs: folders that are new here.
        grown: folders that were here from the same owner and have more now.
        there: folders that were here already, and of which the lake has no more.
        left: the names of those of which it has more, and which were left alone: they are the workspace's
            own, or came from elsewhere.
        owners: whose they are.
        asked: the owners whose jobs were looked at; empty for all.
        waiting: the studies of what came, of which nothing runs until somebody adopts them.
        own: those of them of which the workspace has jobs of its own, which do not run either until then.
    """

    jobs: int
    grown: int
    there: int
    left: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    own: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """How many folders came, and what to know before working with them."""
        return " ".join(filter(None, (self._brought, self._left, self._waits)))

    @property
    def _brought(self) -> str:
        new = amount(self.jobs, "new job") if self.jobs else ""
        more = f"more of {amount(self.grown, 'job')}" if self.grown else ""
        if new or more:
            had = f"; nothing is new of {amount(self.there, 'other')}" if self.there else ""
            return f"Brought {' and '.join(filter(None, (new, more)))} of {', '.join(self.owners)}{had}."
        of = ", ".join(self.asked) or "the lake"
        if self.there:
            is_here = "is" if self.there == 1 else "are"
            return f"Nothing is new: {amount(self.there, 'job')} of {of} {is_here} here already."
        return "Nothing was brought." if self.left else "Nothing is new: the lake is empty."

    @property
    def _left(self) -> str:
        if not self.left:
            return ""
        names = ", ".join(self.left[:NAMED]) + (", ..." if len(self.left) > NAMED else "")
        return (
            f"Left alone, although the lake has more: {amount(len(self.left), 'folder')} of your own, "
            f"adopted, or from another source ({names})."
        )

    @property
    def _waits(self) -> str:
        if not (self.jobs or self.grown):
            return ""
        one = self.waiting[0] if len(self.waiting) == 1 else "STUDY"
        waits = (
            f" Nothing of {', '.join(self.waiting)} runs until you adopt it: `capsafe adopt {one}`."
            if self.waiting
            else ""
        )
        own = f" That holds for your own jobs of {', '.join(self.own)} too." if self.own else ""
        return f"The facts can be explored at once.{waits}{own}"


@dataclass
class _Kept:
    """What a lake has of a job of an owner.

    Attributes:
        since: when it was pushed first.
        shards: name -> how many bytes, and their digest.
        before: the same of every push: a shard only gets longer.
        files: name -> bytes.
    """

    owner: str
    job_id: str
    since: float
    shards: dict[str, tuple[int, str]] = field(default_factory=dict)
    before: set[tuple[str, int, str]] = field(default_factory=set)
    files: dict[str, int] = field(default_factory=dict)

    def continues(self, other: _Kept, connection: duckdb.DuckDBPyConnection) -> bool:
        """Whether it begins as another owner's is."""
        return all(
            (name, size, digest) in self.before
            or (
                self.shards.get(name, (0, ""))[0] > size
                and digest_there(connection, (self.owner, self.job_id, name), size) == digest
            )
            for name, (size, digest) in other.shards.items()
        )

    @property
    def size(self) -> int:
        return sum(size for size, _ in self.shards.values()) + sum(self.files.values())


def pull_jobs(lake: Lake, root: Path, owners: Collection[str] = ()) -> Pulled:
    """Bring the jobs of a lake into a workspace, marked as foreign. One that came from the same owner before
    gets what is new; any other folder that is there already is left alone.

    Args:
        root: the folder of the job folders.
        owners: of which; empty for all.

    Raises:
        CapsafeError: the lake or what came from it before is damaged, it holds what no lake does, or its
            owners have different results under one id; nothing was put in place.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        with (
            TemporaryDirectory(dir=root, prefix=".unpacking-") as scratch,
            lake.transaction() as connection,
        ):
            kept = _one_each(_kept(connection, owners), connection)
            places = [(one, arrival(root, one.job_id, _source(lake, one.owner))) for one in kept]
            left = [one.job_id for one, how in places if how is None and _has_more_lines(root, one)]
            coming = [
                (one, how) for one, how in places if how is not None and (how.is_new or _has_more(root, one))
            ]
            if sum(one.size for one, _ in coming) > LARGEST:
                raise CapsafeError(
                    f"The jobs would come to more than {LARGEST >> 30} GB.",
                    "Pull those of one owner with --owner.",
                )
            for _, how in coming:
                begin(root, Path(scratch), how)
            _require_as_pulled(Path(scratch), [one for one, how in coming if not how.is_new])
            _write_files(connection, Path(scratch), [one for one, _ in coming])
            _write_shards(connection, Path(scratch), [one for one, _ in coming], lake.name)
            changed = settle(root, Path(scratch), [how for _, how in coming])
    except OSError as error:
        if error.errno in REFUSALS:
            raise refusal(error, root) from error
        raise
    new = sum(how.is_new for _, how in coming)
    of = {one.owner for one, _ in coming if one.job_id in changed}
    waiting, own = waiting_studies(root, changed)
    return Pulled(
        new,
        len(changed) - new,
        len(kept) - len(changed) - len(left),
        tuple(left),
        owners=tuple(sorted(of)),
        asked=tuple(owners),
        waiting=tuple(waiting),
        own=tuple(own),
    )


def _source(lake: Lake, owner: str) -> str:
    return f"{owner} through the lake created {lake.created} UTC"


def _kept(connection: duckdb.DuckDBPyConnection, owners: Collection[str]) -> list[_Kept]:
    """What a lake has of each job, its names looked at: they become paths here.

    Raises:
        CapsafeError: there is no such owner, or a name that no push writes.
    """
    known = [o for (o,) in connection.execute("SELECT DISTINCT owner FROM lake.capsafe.files").fetchall()]
    for owner in owners:
        if owner not in known:
            raise UnknownNameError("owner", owner, sorted(known))
    jobs: dict[tuple[str, str], _Kept] = {}
    rows = connection.execute(
        """
        SELECT owner, job_id, name, bytes, digest, pushed, true
        FROM lake.capsafe.shards WHERE list_contains($owners, owner)
        UNION ALL SELECT owner, job_id, name, octet_length(arg_max(content, pushed)), '', min(pushed), false
        FROM lake.capsafe.files WHERE list_contains($owners, owner) GROUP BY ALL ORDER BY ALL
        """,
        {"owners": [*owners] or known},
    ).fetchall()
    for owner, job_id, name, size, digest, since, is_shard in rows:
        fits = is_shard_name if is_shard else is_file_name
        if not (is_job_name(job_id) and fits(name) and _is_owner(owner)):
            raise CapsafeError(
                f"The lake holds {shown(name)} of the job {shown(job_id)} of {shown(owner)}: no push writes "
                "that.",
                "Do not trust it; nothing was kept. --owner pulls what others pushed.",
            )
        one = jobs.setdefault((owner, job_id), _Kept(owner, job_id, since))
        one.since = min(one.since, since)
        if is_shard:
            one.before.add((name, int(size), str(digest)))
            one.shards[name] = max(one.shards.get(name, (0, "")), (int(size), str(digest)))
        else:
            one.files[name] = int(size)
    return list(jobs.values())


def _is_owner(name: str) -> bool:
    try:
        return person_named(name).name == name
    except CapsafeError:
        return False


def _one_each(kept: Sequence[_Kept], connection: duckdb.DuckDBPyConnection) -> list[_Kept]:
    """One of each job: where several owners have the same, of the one who has most of it, or pushed it first.

    Raises:
        CapsafeError: they have different results.
    """
    jobs: dict[str, _Kept] = {}
    for one in sorted(kept, key=lambda k: (k.since, k.owner)):
        other = jobs.setdefault(one.job_id, one)
        if other.continues(one, connection):
            continue
        jobs[one.job_id] = one
        if not one.continues(other, connection):
            raise CapsafeError(
                f"{other.owner} and {one.owner} have different results of {one.job_id}.",
                "Pull those of one of them with --owner.",
            )
    return list(jobs.values())


def _has_more(root: Path, one: _Kept) -> bool:
    """Whether a lake has something of a job that a folder from it lacks."""
    folder = root / one.job_id
    if any(_size(folder / name) > size for name, (size, _) in one.shards.items()):
        return False  # the folder is newer than what this lake has
    return _has_more_lines(root, one) or any(_size(folder / name) != size for name, size in one.files.items())


def _has_more_lines(root: Path, one: _Kept) -> bool:
    """Whether a lake has more lines of a job than a folder."""
    return any(_size(root / one.job_id / name) < size for name, (size, _) in one.shards.items())


def _require_as_pulled(scratch: Path, jobs: Sequence[_Kept]) -> None:
    """Raises where what came from a lake before is not as it was pushed then."""
    for one in jobs:
        for name in one.shards:
            path = scratch / one.job_id / name
            if (size := _size(path)) and (name, size, digest_up_to(path, {size})[size]) not in one.before:
                raise DamagedError(
                    f"The {name} of {one.job_id} here is damaged: it is not as {one.owner} pushed it.",
                    "Nothing was brought. Move that folder away, and pull again.",
                )


def _wanted(jobs: Sequence[_Kept], scratch: Path) -> pa.Table:
    """The files that are to come, with how much of each is here and how much there is."""
    rows = [
        (one.owner, one.job_id, name, _size(scratch / one.job_id / name), size)
        for one in jobs
        for name, size in {**one.files, **{name: size for name, (size, _) in one.shards.items()}}.items()
    ]
    names, kinds = ("owner", "job_id", "name", "here", "bytes"), (*[pa.string()] * 3, *[pa.int64()] * 2)
    columns = [pa.array([row[i] for row in rows], kind) for i, kind in enumerate(kinds)]
    return pa.table(dict(zip(names, columns, strict=True)))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _write_files(connection: duckdb.DuckDBPyConnection, scratch: Path, jobs: Sequence[_Kept]) -> None:
    """The files of some jobs that are kept whole, the newest of each."""
    connection.register("wanted", _wanted(jobs, scratch))
    connection.execute(
        """
        SELECT job_id, name, arg_max(content, pushed) FROM lake.capsafe.files
        SEMI JOIN wanted USING (owner, job_id, name) GROUP BY owner, job_id, name
        """
    )
    while row := connection.fetchone():
        job_id, name, content = row
        (scratch / job_id / name).write_bytes(content)
    connection.unregister("wanted")


def _write_shards(
    connection: duckdb.DuckDBPyConnection, scratch: Path, jobs: Sequence[_Kept], lake: str
) -> None:
    """The shards of some jobs: what is new of each behind what is here, and compared with what was pushed.

    Raises:
        DamagedError: one is not as it was pushed.
    """
    connection.register("wanted", _wanted(jobs, scratch))
    lines = connection.execute(
        """
        SELECT job_id, name, start, line FROM lake.capsafe.lines JOIN wanted USING (owner, job_id, name)
        WHERE start >= here AND start + strlen(line) < bytes ORDER BY job_id, name, start
        """
    )
    for (job_id, name), group in groupby(_rows(lines), key=itemgetter(0, 1)):
        with (scratch / job_id / name).open("ab") as stream:
            for _, _, start, line in group:
                if start != stream.tell():
                    break  # told below: its digest is another
                stream.write(line.encode() + b"\n")
            else:
                continue
        break
    connection.unregister("wanted")
    for one in jobs:
        for name, (size, digest) in one.shards.items():
            path = scratch / one.job_id / name
            if _size(path) != size or digest_up_to(path, {size})[size] != digest:
                raise DamagedError(
                    f"The lake {lake} is damaged: {name} of {one.job_id} of {one.owner} is not as it was "
                    "pushed.",
                    "Nothing was kept. Restore the lake's files and database from a copy of the same time.",
                )


def _rows(lines: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, str, int, str]]:
    while rows := lines.fetchmany(ROWS):
        yield from rows
