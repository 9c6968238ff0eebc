"""Job folders into the store: new committed blocks, in one transaction with the byte offset they end at."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import (
    Block,
    Job,
    Retraction,
    committed_blocks,
    failures_in,
    note_retraction,
    read_jobs,
    replace_file,
    retractions_of,
)
from capsafe_core.records import Record, Rows
from capsafe_core.store.rollups import refresh
from capsafe_core.store.store import Store, first
from capsafe_core.store.tables import TABLES, Row
from capsafe_core.values import well_formed

BLOCKS = 200
"""blocks read in one transaction"""
MOST_ASIDE = 50
"""sentences that are kept of what one transaction sets aside"""
UNUSABLE = (duckdb.DataError, ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""what taking in a block may raise that was checked and cannot be stored all the same"""
_BY_CELL = {"generation", "judgment", "label"}
_RETRACTABLE = _BY_CELL | {"study", "path_point", "measurement"}
"""what counts no longer where its batch is retracted; the rest only describes, and stays"""


@dataclass
class Ingested:
    """What a pass over job folders brought."""

    rows: int = 0
    conflicts: int = 0
    errors: int = 0


def ingest_all(store: Store, jobs_folder: Path) -> tuple[Ingested, list[CapsafeError]]:
    """Read what is new in every job folder, and keep retractions in step with the folders.

    Returns:
        What was read, and a problem for each folder or record that was set aside; the rest was read.
    """
    problems = check_writes(store)
    jobs, unreadable = read_jobs(jobs_folder)
    total = Ingested()
    _ingest_each(store, jobs, total, problems)
    if _match_retractions(store, jobs, problems):  # what other imports hold too goes on counting
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
        "SELECT job_id, part, count(*), arg_min(message, place), min(place) FROM set_aside GROUP BY job_id, part ORDER BY job_id, part"
    )
    return [
        CapsafeError(
            f"{n} {'record' if n == 1 else 'records'} of {job_id} (part {part}) cannot be used and {'was' if n == 1 else 'were'} set aside; the first, in the block at byte {place}: {message}"
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
    """Without looks for circular garbage: reading makes many objects and no circles, and the looks take a third of its time."""
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
    for part in range(job.manifest.parts):
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
            _batch(cursor, job)
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
    batch = _batch(cursor, job)
    gathered = _Gathered()
    for block in chunk:
        gathered.add(block)
    if chunk[0].start == 0:  # for the first time, or again
        cursor.execute("DELETE FROM set_aside WHERE job_id = ? AND part = ?", [job.job_id, part])
    _keep_aside(cursor, job, part, gathered.aside)
    for kind, arrow in gathered.tables():
        rows, conflicts = _insert(cursor, kind, arrow, batch)
        result.rows += rows
        result.conflicts += conflicts
    refresh(cursor, gathered.touched)
    _set_offset(cursor, job, part, "bytes", chunk[-1].end)


class _Gathered:
    """The rows of some blocks by kind, and what of them cannot be used."""

    def __init__(self) -> None:
        self._facts: dict[str, dict[str, Row]] = {}
        self._columns: dict[str, list[pa.Table]] = {}
        self.touched: set[str] = set()
        self.aside: list[tuple[int, str]] = []
        """where the block of each begins, and why"""

    def add(self, block: Block) -> None:
        def aside(problem: CapsafeError) -> None:
            self.aside.append((block.start, str(problem)))

        if block.closing:
            aside(CapsafeError(block.closing))
        if block.changed:
            aside(
                CapsafeError(
                    "The block's bytes are not those that were written; they were read as they are.",
                    "Restore the shard from a copy and run `capsafe rebuild`.",
                )
            )
        for record in block.records(aside):
            if not isinstance(record, Rows):
                self._add(record)
            elif record.ids:
                self._columns.setdefault(record.type, []).append(_columns(record, self._facts))

    def _add(self, record: Record) -> None:
        if record.type in _BY_CELL:
            self.touched.add(record.cell_id)  # type: ignore[union-attr]
        for name in (record.type, "cell") if record.type == "generation" else (record.type,):
            row = TABLES[name].row(record)
            self._facts.setdefault(name, {})[row[0]] = row

    def tables(self) -> Iterator[tuple[str, pa.Table]]:
        """The rows of each kind; they are let go of."""
        incoming = {kind: TABLES[kind].arrow(rows.values()) for kind, rows in self._facts.items()}
        self._facts.clear()
        for kind, tables in self._columns.items():
            arrow = _each_once(
                TABLES[kind].id, pa.concat_tables([*([incoming[kind]] if kind in incoming else []), *tables])
            )
            self.touched.update(pc.unique(arrow.column("cell_id")).to_pylist())
            incoming[kind] = arrow
        self._columns.clear()
        for kind in list(incoming):
            yield kind, incoming.pop(kind)


def _keep_aside(cursor: duckdb.DuckDBPyConnection, job: Job, part: int, aside: list[tuple[int, str]]) -> None:
    """Keep what could not be read, of many the first."""
    for place, message in aside[:MOST_ASIDE]:
        cursor.execute(
            "INSERT INTO set_aside VALUES (?, ?, ?, ?)", [job.job_id, part, place, well_formed(message)]
        )


def _columns(rows: Rows, facts: dict[str, dict[str, Row]]) -> pa.Table:
    """The rows of a line of generations or judgments; the cell of generations goes to the facts."""
    if rows.type == "generation":
        one = next(rows.records())
        cell = TABLES["cell"].row(one)
        facts.setdefault("cell", {})[cell[0]] = cell
        return TABLES["generation"].arrow_of_columns(rows, {"cell_id": cell[0]})
    return TABLES[rows.type].arrow_of_columns(rows, {})


def _each_once(name: str, table: pa.Table) -> pa.Table:
    """The rows of a table whose id did not come before."""
    seen: set[str] = set()
    keep = [not (i in seen or seen.add(i)) for i in table.column(name).to_pylist()]  # type: ignore[func-returns-value]
    return table if all(keep) else table.filter(pa.array(keep))


def _batch(cursor: duckdb.DuckDBPyConnection, job: Job) -> int:
    """The job's batch number; a new one where the job is seen for the first time."""
    found = first(cursor, "SELECT batch FROM batches WHERE job_id = ?", [job.job_id])
    if found:
        return int(found[0])
    last = first(cursor, "SELECT coalesce(max(batch), 0) FROM batches") or (0,)
    m = job.manifest
    cursor.execute(
        "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?)",
        [last[0] + 1, job.job_id, m.kind, m.name, m.created, m.code_version, m.study],
    )
    return int(last[0]) + 1


def _insert(cursor: duckdb.DuckDBPyConnection, kind: str, incoming: pa.Table, batch: int) -> tuple[int, int]:
    """Insert what is not there, or only in a retracted batch; note what is there with other content. Returns (rows, conflicts)."""
    table = TABLES[kind]
    cursor.register("incoming", incoming)
    try:
        columns = ", ".join(incoming.column_names)
        same = " AND ".join(f"known.{c} IS NOT DISTINCT FROM new.{c}" for c in incoming.column_names)
        within = "WHERE true" + (
            " AND cell_id IN (SELECT DISTINCT CAST(cell_id AS UUID) FROM incoming)"
            if kind in _BY_CELL
            else ""
        )
        within += " AND batch NOT IN (SELECT batch FROM retracted_batches)" if kind in _RETRACTABLE else ""
        cursor.execute(
            f"""
            CREATE TEMP TABLE fresh AS
            WITH known AS (SELECT * FROM {table.name} {within}),
                 typed AS (SELECT {columns} FROM {table.name} WHERE false UNION ALL SELECT * FROM incoming)
            SELECT new.*, known.{table.id} IS NOT NULL AS is_known, {same} AS is_same
            FROM typed AS new LEFT JOIN known ON known.{table.id} = new.{table.id}
            """
        )
        rows = first(
            cursor,
            f"INSERT INTO {table.name} ({columns}, batch) SELECT {columns}, {batch} FROM fresh WHERE NOT is_known",
        )
        conflicts = first(
            cursor,
            f"INSERT INTO conflicts SELECT {batch}, '{table.name}', {table.id}, CAST(struct_pack({columns}) AS VARCHAR) FROM fresh WHERE is_known AND NOT is_same AND {table.id} NOT IN (SELECT id FROM conflicts WHERE batch = {batch})",
        )
    finally:
        cursor.execute("DROP TABLE IF EXISTS fresh")
        cursor.unregister("incoming")
    return (rows or (0,))[0], (conflicts or (0,))[0]


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


def note_writes(store: Store) -> None:
    """Note beside the store how often facts were written to it, so that a log of it that is dropped is noticed."""
    if store.path is not None:
        with suppress(CapsafeError):  # the next write tells of a full disk
            replace_file(writes_file(store.path), str(store.rows("SELECT n FROM writes")[0][0]))


def writes_file(path: Path) -> Path:
    """The file beside a store that says how often facts were written to it."""
    return path.with_name(f"{path.name}.writes")


def check_writes(store: Store) -> list[CapsafeError]:
    """Whether a store lacks what was written to it; said once, and from then on by `set_aside`."""
    if store.path is None:
        return []
    try:
        noted = int(writes_file(store.path).read_bytes()[:20])
    except (OSError, ValueError):
        return []
    n = store.rows("SELECT n FROM writes")[0][0]
    if 0 < n < noted:
        message = f"The store lacks the last {noted - n} of its writes: its .wal file was dropped, or an older file was put in its place. The job folders were read again. Run `capsafe rebuild` to be sure of the rest."
        with store.transaction() as cursor:
            cursor.execute("INSERT INTO set_aside VALUES ('', 0, 0, ?)", [message])
    note_writes(store)
    return []


def set_retracted(store: Store, job_id: str, retracted: bool) -> None:
    """Undo a batch, or bring it back: its generations, judgments, labels and measurements no longer count, or count again.

    What another import holds too goes on counting: undone, that import is read again by the next `ingest_all`;
    brought back, a batch leaves away what others brought meanwhile. `ingest_all` also keeps it in the job's folder.

    Raises:
        CapsafeError: the store has no batch of that job.
    """
    last = store.rows("SELECT coalesce(max(happened), 0) FROM batch_events")[0][0]
    _retract(store, job_id, Retraction("retract" if retracted else "restore", max(time.time(), last + 1e-3)))


def _retract(store: Store, job_id: str, retraction: Retraction) -> None:
    with store.transaction() as cursor:
        found = first(cursor, "SELECT batch FROM batches WHERE job_id = ?", [job_id])
        if not found:
            raise CapsafeError(
                f"The store has nothing from a job {job_id!r}.", "`capsafe jobs` lists the jobs."
            )
        if retraction.action == "retract":
            cursor.execute(
                "UPDATE offsets SET bytes = 0 WHERE job_id IN (SELECT job_id FROM batches WHERE kind = 'import' AND job_id <> ? AND batch NOT IN (SELECT batch FROM retracted_batches))",
                [job_id],
            )
        else:
            for table in (TABLES[kind] for kind in _RETRACTABLE):
                cursor.execute(
                    f"DELETE FROM {table.name} WHERE batch = {found[0]} AND {table.id} IN (SELECT {table.id} FROM {table.name} WHERE batch <> {found[0]} AND batch NOT IN (SELECT batch FROM retracted_batches))"
                )
        cursor.execute(
            "INSERT INTO batch_events VALUES (?, ?, ?)", [found[0], retraction.action, retraction.happened]
        )
        cursor.execute("UPDATE writes SET n = n + 1")
        tables = [TABLES[kind].name for kind in _BY_CELL]
        cells = cursor.execute(
            " UNION ".join(
                f"SELECT DISTINCT CAST(cell_id AS VARCHAR) FROM {t} WHERE batch = {found[0]}" for t in tables
            )
        ).fetchall()
        refresh(cursor, {cell for (cell,) in cells})
    note_writes(store)


def _match_retractions(store: Store, jobs: list[Job], problems: list[CapsafeError]) -> bool:
    """Bring the store's retractions into the folders, and the folders' into the store, in the order in which they happened.

    Returns:
        Whether the store learned of any.
    """
    stored: dict[str, set[Retraction]] = {
        job_id: set() for (job_id,) in store.rows("SELECT job_id FROM batches")
    }
    for job_id, action, happened in store.rows(
        "SELECT job_id, action, happened FROM batch_events JOIN batches USING (batch)"
    ):
        stored[job_id].add(Retraction(action, happened))
    new: list[tuple[float, str, Retraction]] = []
    for job in jobs:
        if job.job_id in stored:
            kept, known = set(retractions_of(job)), stored[job.job_id]
            new += [(r.happened, job.job_id, r) for r in kept - known]
            for retraction in sorted(known - kept, key=lambda r: r.happened):
                try:
                    note_retraction(job, retraction)
                except CapsafeError as error:
                    problems.append(error)
    for _, job_id, retraction in sorted(new, key=lambda entry: entry[:2]):
        _retract(store, job_id, retraction)
    return bool(new)


def retracted_jobs(store: Store) -> list[str]:
    """The jobs whose batches are taken out of every number."""
    return [
        job
        for (job,) in store.rows(
            "SELECT job_id FROM batches WHERE batch IN (SELECT batch FROM retracted_batches) ORDER BY batch"
        )
    ]


def imported_words(store: Store, job_id: str) -> str:
    """What a job's batch holds, and what of it another batch brought before."""
    counts = {
        words: store.rows(
            f"SELECT count(*) FROM {table} WHERE batch = (SELECT batch FROM batches WHERE job_id = ?)",
            [job_id],
        )[0][0]
        for words, table in (
            ("outputs", "generations"),
            ("judgments", "judgments"),
            ("labels of people", "label_events"),
            ("aggregate numbers", "measurements"),
            ("prompts", "prompts"),
        )
    }
    conflicts = store.rows(
        "SELECT count(*) FROM conflicts WHERE batch = (SELECT batch FROM batches WHERE job_id = ?)", [job_id]
    )[0][0]
    found = ", ".join(f"{n:,} {words}" for words, n in counts.items() if n) or "nothing new"
    return f"brought {found}." + (
        f" {conflicts:,} facts are there with other content; those that were there first are kept."
        if conflicts
        else ""
    )
