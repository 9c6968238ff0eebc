"""Making the store again from the job folders, and looking for damage in both."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from capsafe_core.errors import BusyError, CapsafeError, DamagedError, UnwrittenError
from capsafe_core.jobs.folder import DAMAGED, Job, committed_blocks, read_jobs, unread_retractions
from capsafe_core.jobs.foreign import UNKNOWN, origin_of
from capsafe_core.jobs.importing import read_head
from capsafe_core.store.ingest import Ingested, ingest_all, set_aside
from capsafe_core.store.rollups import check as check_rollups
from capsafe_core.store.store import Store
from capsafe_core.store.writes import writes_file


@dataclass(frozen=True)
class Rebuilt:
    """What came of a rebuilding: what was read, what was set aside, and where the old store is kept; None
    where there was none."""

    read: Ingested
    problems: list[CapsafeError]
    kept: Path | None


def rebuild_store(path: Path, jobs: Path, memory_limit: str, threads: int) -> Rebuilt:
    """Make the store at a path again from the job folders. The old one is not opened, and is kept under a
    dated name.

    Raises:
        BusyError: another program has it open.
        CapsafeError: there is no folder of jobs, or the new one cannot be written; the old one is as it was.
    """
    if path.exists() and not jobs.is_dir():
        raise CapsafeError(
            f"{jobs} is not a folder of jobs, so a rebuilt store would be empty; it was left as it was.",
            "Put the folder back, or correct CAPSAFE_JOBS.",
        )
    new = path.with_suffix(".rebuilt.duckdb")
    with _held(path):
        _remove(new)
        try:
            with Store(new, None, memory_limit, threads) as store:
                read, problems = ingest_all(store, jobs)
            unwritten = next((p for p in problems if isinstance(p, UnwrittenError)), None)
            if unwritten:
                raise unwritten
        except CapsafeError as error:
            _remove(new)
            raise CapsafeError(f"The store was left as it was: {error.message}", error.hint) from error
        kept = _keep_old(path)
        new.replace(path)
        if writes_file(new).exists():
            writes_file(new).replace(writes_file(path))
    return Rebuilt(read, problems, kept)


def _files(path: Path) -> list[Path]:
    """A store's file, its log and the count of its writes."""
    return [path, path.with_name(f"{path.name}.wal"), writes_file(path)]


def _remove(path: Path) -> None:
    for file in _files(path):
        file.unlink(missing_ok=True)


def _keep_old(path: Path) -> Path | None:
    """Give the old store and its log a dated name; where it is now, None where there was none."""
    dated = path.with_name(f"{path.stem}.{time.strftime('%Y-%m-%d-%H%M%S')}{path.suffix}")
    while dated.exists():
        dated = dated.with_name(f"{dated.stem}-again{dated.suffix}")
    for old, kept in zip(_files(path), _files(dated), strict=True):
        if old.exists():
            old.rename(kept)
    return dated if dated.exists() else None


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold the lock by which DuckDB keeps a file to one program, without opening the file as a store.

    Raises:
        BusyError: another program holds it.
        CapsafeError: there is something else in its place.
    """
    if not path.exists():
        yield
        return
    try:
        with path.open("rb+") as stream:
            try:
                fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BusyError(
                    f"The store {path} is in use by another program, such as the app.",
                    "Stop it, then rebuild.",
                ) from error
            yield
    except OSError as error:
        raise CapsafeError(
            f"The store {path} cannot be put aside: {error.strerror}.", "Look at its permissions."
        ) from error


@dataclass
class Checked:
    """What was found wrong, and what was not looked at, each as sentences."""

    problems: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


def check_all(store: Store, jobs: Path) -> Checked:
    """Read every block of every table and every committed block of every job, and compare what is derived
    with the facts."""
    found = Checked()
    try:
        _read_tables(store)
        found.problems += check_rollups(store)
    except (duckdb.Error, DamagedError) as error:
        found.problems.append(f"The store's file is damaged: {str(error).splitlines()[0]}")
    else:
        found.problems += map(str, set_aside(store))
        _check_offsets(store, jobs, found)
    _check_folders(jobs, found)
    return found


def _read_tables(store: Store) -> None:
    """Read every value, so that DuckDB compares every block in use with its checksum."""
    for (table,) in store.rows("SELECT table_name FROM duckdb_tables() ORDER BY table_name"):
        store.rows(f'SELECT bit_xor(hash(t)) FROM "{table}" AS t')


def _check_offsets(store: Store, jobs: Path, found: Checked) -> None:
    """Whether every shard is as long as what was read of it."""
    known = {job.job_id: job for job in read_jobs(jobs)[0]}
    offsets = {
        (job_id, part): read
        for job_id, part, read in store.rows(
            "SELECT job_id, part, bytes FROM offsets WHERE bytes > 0 ORDER BY job_id, part"
        )
    }
    longer = sum(
        job.path(part, "shard.jsonl").stat().st_size > offsets.get((job.job_id, part), 0)
        for job in known.values()
        for part in job.parts_with("shard.jsonl")
        if job.path(part, "shard.jsonl").is_file()
    )
    if longer:
        found.unseen.append(
            f"{longer:,} shards hold more than the store has read of them: `capsafe ingest` reads what was "
            "committed."
        )
    for (job_id, part), read in offsets.items():
        shard = known[job_id].path(part, "shard.jsonl") if job_id in known else None
        if shard is None or not shard.is_file():
            found.problems.append(
                f"The folder of {job_id} is gone or cannot be read: a rebuilt store would lack what it "
                "brought."
            )
        elif shard.stat().st_size < read:
            found.problems.append(f"The shard {shard} is shorter than the {read} bytes already read from it.")


def _check_folders(jobs: Path, found: Checked) -> None:
    readable, unreadable = read_jobs(jobs)
    found.problems += map(str, unreadable)
    undated = 0
    for job in readable:
        try:
            read_head(job)
        except CapsafeError as error:
            found.problems.append(str(error))
        if lines := unread_retractions(job):
            found.problems.append(
                f"{lines} of the retractions of {job.job_id} cannot be read: a rebuilt store may count what "
                "was undone."
            )
        if (origin := origin_of(job.folder)) and origin.source == UNKNOWN:
            found.problems.append(
                f"The mark of where {job.job_id} came from cannot be read, so it counts as foreign and "
                "cannot be adopted."
            )
        for part in job.parts_with("shard.jsonl"):
            wrong, of_part = shard_damage(job, part)
            undated += of_part
            if wrong:
                found.problems.append(wrong)
    if undated:
        found.unseen.append(
            f"{undated:,} blocks of the job folders were written before blocks had checksums: a changed "
            "letter in their texts is not seen."
        )
    if readable:
        found.unseen.append(
            "Manifests, status files, heads and lists of errors have no checksums; that they can be read is "
            "all that is known of them."
        )


def shard_damage(job: Job, part: int) -> tuple[str, int]:
    """What is wrong with a shard, as a sentence that is empty where nothing is; and how many of its blocks
    have no checksum."""
    path, end, undated = job.path(part, "shard.jsonl"), 0, 0
    wrong: list[str] = []

    def aside(problem: CapsafeError) -> None:
        wrong.append(str(problem))

    try:
        for block in committed_blocks(path):
            end = block.end
            undated += block.changed is None and not block.closing
            if block.closing or block.changed:
                wrong.append(block.closing or f"The block at byte {block.start} is not as it was written.")
            if block.changed is None:
                for _ in block.records(aside):
                    pass
    except CapsafeError as error:
        wrong.append(str(error))
    if path.is_file() and (left := path.stat().st_size - end) and job.status(part).state == "done":
        wrong.append(f"{left} bytes at its end are not read: its last closing line is missing or damaged.")
    if job.path(part, DAMAGED).exists():
        wrong.append(f"what could not be read at its end is kept in {job.path(part, DAMAGED).name}.")
    places = "place" if len(wrong) == 1 else "places"
    sentence = f"The shard {path} has {len(wrong)} damaged {places}; the first: {wrong[0]}" if wrong else ""
    return sentence, undated
