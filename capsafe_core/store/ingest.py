"""Job folders into the store: new committed blocks, in one transaction with the byte offset they end at."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import duckdb
import pyarrow as pa

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import (
    Block,
    Job,
    committed_blocks,
    failures_in,
    read_jobs,
)
from capsafe_core.jobs.foreign import in_order
from capsafe_core.store.batches import (
    BY_CELL,
    RETRACTABLE,
    Batch,
    batch_of,
    match_origins,
    match_retractions,
    name_studies,
)
from capsafe_core.store.gathered import Gathered
from capsafe_core.store.kinds import settle_kinds
from capsafe_core.store.rollups import refresh
from capsafe_core.store.store import Store, first
from capsafe_core.store.tables import TABLES
from capsafe_core.store.writes import check_writes, note_writes
from capsafe_core.values import well_formed

BLOCKS = 200
"""blocks read in one transaction"""
MOST_ASIDE = 50
"""sentences that are kept of what one transaction sets aside"""
UNUSABLE = (duckdb.DataError, ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""what taking in a block may raise that was checked and cannot be stored all the same"""
_NEEDED_BY = {
    "prompt": "SELECT cell_id FROM generations WHERE prompt_id IN (SELECT prompt_id FROM fresh WHERE is_new)",
    "rater": """
        SELECT cell_id FROM judgments WHERE rater_id IN (SELECT rater_id FROM fresh WHERE is_new)
        UNION SELECT cell_id FROM label_events WHERE rater_id IN (SELECT rater_id FROM fresh WHERE is_new)
    """,
    "cell": "SELECT cell_id FROM fresh WHERE is_new",
}
"""the cells whose roll-ups need what describes them, which may come later or from another batch than the rest
"""


@dataclass
class Ingested:
    """What a pass over job folders brought."""

    rows: int = 0
    conflicts: int = 0
    errors: int = 0


def ingest_all(store: Store, jobs_folder: Path) -> tuple[Ingested, list[CapsafeError]]:
    """Read what is new in every job folder, and keep retractions and adoptions in step with the folders.

    Returns:
        What was read, and a problem for each folder or record that was set aside; the rest was read.
    """
    check_writes(store)
    problems: list[CapsafeError] = []
    jobs, unreadable = read_jobs(jobs_folder)
    jobs = in_order(jobs)
    total = Ingested()
    name_studies(store, jobs)
    match_origins(store, jobs)
    _ingest_each(store, jobs, total, problems)
    if match_retractions(store, jobs, problems):  # what other imports hold too goes on counting
        _ingest_each(store, jobs, total, problems)
    return total, [*problems, *unreadable, *set_aside(store)]


def _ingest_each(store: Store, jobs: list[Job], total: Ingested, problems: list[CapsafeError]) -> None:
    for job in jobs:
        try:
            one = ingest_job(store, job)
        except CapsafeError as error:
            problems.append(error)
            continue
        except Exception as error:  # one folder must not keep the others from being read
            problems.append(
                CapsafeError(
                    f"{job.job_id} cannot be read into the store: {error}",
                    "Its records are in its folder; the other jobs were read.",
                )
            )
            continue
        total.rows += one.rows
        total.conflicts += one.conflicts
        total.errors += one.errors


def set_aside(store: Store) -> list[CapsafeError]:
    """What of the job folders could not be read into the store: a sentence for each part of a job."""
    rows = store.rows(
        "SELECT job_id, part, count(*), arg_min(message, place), min(place) FROM set_aside GROUP BY job_id, "
        "part ORDER BY job_id, part"
    )
    return [
        CapsafeError(
            f"{n} {'record' if n == 1 else 'records'} of {job_id} (part {part}) cannot be used and "
            f"{'was' if n == 1 else 'were'} set aside; the first, in the block at byte {place}: {message}"
        )
        if job_id
        else CapsafeError(message)
        for job_id, part, n, message, place in rows
    ]


def ingest_job(store: Store, job: Job) -> Ingested:
    """Read what is new in one job folder.

    Raises:
        CapsafeError: a shard shrank or is damaged, a record is of a newer format, or the disk is full;
            the store is then as it was before that transaction.
    """
    result = Ingested()
    with _no_collecting():
        _ingest(store, job, result)
    return result


@contextmanager
def _no_collecting() -> Iterator[None]:
    """Without looks for circular garbage: reading makes many objects and no circles, and the looks take a
    third of its time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _ingest(store: Store, job: Job, result: Ingested) -> None:
    known = {
        part: (start, error_start)
        for part, start, error_start in store.rows(
            "SELECT part, bytes, error_bytes FROM offsets WHERE job_id = ?", [job.job_id]
        )
    }
    there = {*job.parts_with("shard.jsonl"), *job.parts_with("errors.jsonl")}
    for part in sorted(there | known.keys()):
        shard, errors = job.path(part, "shard.jsonl"), job.path(part, "errors.jsonl")
        start, error_start = known.get(part, (0, 0))
        if start or shard.exists():
            blocks = committed_blocks(shard, start)
            while chunk := list(islice(blocks, BLOCKS)):
                _take_in(store, job, part, chunk, result)
        if errors.exists() and errors.stat().st_size > error_start:
            with store.transaction() as cursor:
                result.errors += _insert_errors(cursor, job, part, errors, error_start)
            note_writes(store)


def _take_in(store: Store, job: Job, part: int, chunk: list[Block], result: Ingested) -> None:
    """Blocks, together; where that fails, one by one, and what cannot be taken in even so is set aside."""
    try:
        with store.transaction() as cursor:
            _insert_chunk(cursor, job, part, chunk, result)
    except UNUSABLE as error:
        if len(chunk) > 1:
            for block in chunk:
                _take_in(store, job, part, [block], result)
            return
        with store.transaction() as cursor:
            batch_of(cursor, job)
            _keep_aside(
                cursor,
                job,
                part,
                [(chunk[0].start, f"Its block cannot be stored: {str(error).splitlines()[0]}")],
            )
            _set_offset(cursor, job, part, "bytes", chunk[0].end)
    note_writes(store)


def _insert_chunk(
    cursor: duckdb.DuckDBPyConnection, job: Job, part: int, chunk: list[Block], result: Ingested
) -> None:
    batch = batch_of(cursor, job)
    gathered = Gathered()
    for block in chunk:
        gathered.add(block)
    if chunk[0].start == 0:  # for the first time, or again
        cursor.execute("DELETE FROM set_aside WHERE job_id = ? AND part = ?", [job.job_id, part])
    _keep_aside(cursor, job, part, gathered.aside)
    for kind, arrow in gathered.tables():
        rows, conflicts = _insert(cursor, kind, arrow, batch, gathered.touched)
        result.rows += rows
        result.conflicts += conflicts
    refresh(cursor, gathered.touched)
    _set_offset(cursor, job, part, "bytes", chunk[-1].end)


def _keep_aside(cursor: duckdb.DuckDBPyConnection, job: Job, part: int, aside: list[tuple[int, str]]) -> None:
    """Keep what could not be read, of many the first."""
    for place, message in aside[:MOST_ASIDE]:
        cursor.execute(
            "INSERT INTO set_aside VALUES (?, ?, ?, ?)", [job.job_id, part, place, well_formed(message)]
        )


_WHAT_COMES = """
SELECT count(*) FILTER (WHERE is_new),
       count(*) FILTER (WHERE held_by IS NOT NULL AND NOT is_same),
       count(*) FILTER (WHERE is_new AND held_by IS NOT NULL)
FROM fresh
"""
"""how many rows are new, are held with other content, and are taken from a foreign batch"""


def _insert(
    cursor: duckdb.DuckDBPyConnection, kind: str, incoming: pa.Table, batch: Batch, touched: set[str]
) -> tuple[int, int]:
    """Insert what no batch that counts holds; an own batch takes it from a foreign one. What is held with
    other content is noted.

    Args:
        touched: takes the cells whose roll-ups need what was inserted.

    Returns:
        (rows, conflicts)
    """
    cursor.register("incoming", incoming)
    try:
        if kind == "benchmark" and not batch.is_foreign and not batch.is_retracted:
            touched |= settle_kinds(cursor)
        _compare(cursor, kind, incoming.column_names, batch)
        new, other, taken_out = first(cursor, _WHAT_COMES) or (0, 0, 0)
        table, columns = TABLES[kind], ", ".join(incoming.column_names)
        conflicts = _note_conflicts(cursor, kind, incoming.column_names, batch) if other else 0
        if taken_out and not batch.is_foreign and not batch.is_retracted:
            touched |= _take_out(cursor, kind)
        if new:
            cursor.execute(
                f"INSERT INTO {table.name} ({columns}, batch) SELECT {columns}, {batch.number} FROM fresh "
                "WHERE is_new"
            )
        if kind in _NEEDED_BY and new:
            cells = cursor.execute(f"SELECT DISTINCT CAST(cell_id AS VARCHAR) FROM ({_NEEDED_BY[kind]})")
            touched.update(cell for (cell,) in cells.fetchall())
    finally:
        cursor.execute("DROP TABLE IF EXISTS fresh")
        cursor.unregister("incoming")
    return new, conflicts


def _take_out(cursor: duckdb.DuckDBPyConnection, kind: str) -> set[str]:
    """Drop what foreign batches hold of what is new; the cells that it was about."""
    table = TABLES[kind]
    cells = cursor.execute(
        f"""
        DELETE FROM {table.name} WHERE batch IN (SELECT batch FROM foreign_batches)
        AND {table.id} IN (SELECT {table.id} FROM fresh WHERE is_new AND held_by IS NOT NULL)
        RETURNING {"CAST(cell_id AS VARCHAR)" if kind in BY_CELL else "NULL"}
        """
    ).fetchall()
    return {cell for (cell,) in cells if cell is not None}


def _compare(cursor: duckdb.DuckDBPyConnection, kind: str, columns: list[str], batch: Batch) -> None:
    """Make the table `fresh`: what comes in, by which batch it is held, with the same content or not, and
    whether it is new."""
    table, names = TABLES[kind], ", ".join(columns)
    same = " AND ".join(f"known.{c} IS NOT DISTINCT FROM new.{c}" for c in columns)
    within = "batch NOT IN (SELECT batch FROM retracted_batches)" if kind in RETRACTABLE else "true"
    if kind in BY_CELL and kind != "label":  # whose ids do not follow from what they are about
        within += " AND cell_id IN (SELECT DISTINCT CAST(cell_id AS UUID) FROM incoming)"
    taken = "false" if batch.is_foreign else "known.batch IN (SELECT batch FROM foreign_batches)"
    cursor.execute(
        f"""
        CREATE TEMP TABLE fresh AS
        WITH known AS (SELECT * FROM {table.name} WHERE {within}),
             typed AS (SELECT {names} FROM {table.name} WHERE false UNION ALL SELECT * FROM incoming)
        SELECT new.*, known.batch AS held_by, {same} AS is_same, known.batch IS NULL OR {taken} AS is_new
        FROM typed AS new LEFT JOIN known ON known.{table.id} = new.{table.id}
        """
    )


def _note_conflicts(cursor: duckdb.DuckDBPyConnection, kind: str, columns: list[str], batch: Batch) -> int:
    """Keep the content that was not taken in, or that is taken out: of the incoming batch, or of a foreign
    one."""
    table, content = TABLES[kind], f"CAST(struct_pack({', '.join(columns)}) AS VARCHAR)"
    kept = f"{table.id} NOT IN (SELECT id FROM conflicts WHERE batch = {batch.number})"
    left_out = first(
        cursor,
        f"""
        INSERT INTO conflicts SELECT {batch.number}, '{table.name}', {table.id}, {content}
        FROM fresh WHERE NOT is_new AND NOT is_same AND {kept}
        """,
    ) or (0,)
    if batch.is_retracted:
        return int(left_out[0])
    taken_out = first(
        cursor,
        f"""
        INSERT INTO conflicts SELECT batch, '{table.name}', {table.id}, {content}
        FROM (
            SELECT * FROM {table.name}
            SEMI JOIN (SELECT {table.id}, held_by AS batch FROM fresh WHERE is_new AND NOT is_same)
            USING ({table.id}, batch)
        ) AS held ANTI JOIN conflicts ON conflicts.id = held.{table.id} AND conflicts.batch = held.batch
        """,
    ) or (0,)
    return int(left_out[0]) + int(taken_out[0])


def _insert_errors(cursor: duckdb.DuckDBPyConnection, job: Job, part: int, path: Path, start: int) -> int:
    count = 0
    for end, line in failures_in(path, start):
        cursor.execute(
            "INSERT INTO job_errors VALUES (?, ?, ?, ?, ?)",
            [job.job_id, part, line["unit"], line["message"], line["time"]],
        )
        count, start = count + 1, end
    _set_offset(cursor, job, part, "error_bytes", start)
    return count


def _set_offset(cursor: duckdb.DuckDBPyConnection, job: Job, part: int, column: str, value: int) -> None:
    known = first(cursor, "SELECT count(*) FROM offsets WHERE job_id = ? AND part = ?", [job.job_id, part])
    if known == (0,):
        cursor.execute("INSERT INTO offsets VALUES (?, ?, 0, 0)", [job.job_id, part])
    cursor.execute(
        f"UPDATE offsets SET {column} = ? WHERE job_id = ? AND part = ?", [value, job.job_id, part]
    )
    cursor.execute("UPDATE writes SET n = n + 1")
