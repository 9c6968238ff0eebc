"""Job folders into the store: new committed blocks, in one transaction with the byte offset they end at."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Block, Job, committed_blocks, list_jobs
from capsafe_core.records import from_dict, records_of
from capsafe_core.store.rollups import refresh
from capsafe_core.store.store import Store, first
from capsafe_core.store.tables import TABLES, Row

BLOCKS = 200
"""blocks read in one transaction"""
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
    """Read what is new in every job folder; a folder that cannot be read is a problem in the list, not an end."""
    total, problems = Ingested(), []
    for job in list_jobs(jobs_folder):
        try:
            one = ingest_job(store, job)
        except CapsafeError as error:
            problems.append(error)
            continue
        except Exception as error:  # one folder must not keep the others from being read
            problems.append(CapsafeError(f"{job.job_id} cannot be read into the store: {error}", "Its records are in its folder; the other jobs were read."))
            continue
        total.rows += one.rows
        total.conflicts += one.conflicts
        total.errors += one.errors
    return total, problems


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
    for part in range(job.manifest.parts):
        shard, errors = job.path(part, "shard.jsonl"), job.path(part, "errors.jsonl")
        known = store.rows("SELECT bytes, error_bytes FROM offsets WHERE job_id = ? AND part = ?", [job.job_id, part])
        start, error_start = known[0] if known else (0, 0)
        if shard.exists() and shard.stat().st_size == start and not errors.exists():
            continue
        blocks = committed_blocks(shard, start)
        while chunk := list(islice(blocks, BLOCKS)):
            with store.transaction() as cursor:
                _insert_chunk(cursor, job, part, chunk, result)
        if errors.exists() and errors.stat().st_size > error_start:
            with store.transaction() as cursor:
                result.errors += _insert_errors(cursor, job, part, errors, error_start)


def _insert_chunk(cursor: duckdb.DuckDBPyConnection, job: Job, part: int, chunk: list[Block], result: Ingested) -> None:
    batch = _batch(cursor, job)
    facts: dict[str, dict[str, Row]] = {}
    columns: dict[str, list[pa.Table]] = {}
    touched: set[str] = set()
    for line in chain.from_iterable(block.lines for block in chunk):
        kind = str(line.get("type"))
        if "columns" in line:
            if line["ids"]:
                columns.setdefault(kind, []).append(_columns(line, facts))
            continue
        record = from_dict(line)
        if kind in _BY_CELL:
            touched.add(record.cell_id)  # type: ignore[union-attr]
        for name in (kind, "cell") if kind == "generation" else (kind,):
            row = TABLES[name].row(record)
            facts.setdefault(name, {})[row[0]] = row
    incoming = {kind: TABLES[kind].arrow(rows.values()) for kind, rows in facts.items()}
    facts.clear()
    for kind, tables in columns.items():
        arrow = _each_once(TABLES[kind].id, pa.concat_tables([*([incoming[kind]] if kind in incoming else []), *tables]))
        touched.update(pc.unique(arrow.column("cell_id")).to_pylist())
        incoming[kind] = arrow
    columns.clear()
    for kind in list(incoming):
        rows, conflicts = _insert(cursor, kind, incoming.pop(kind), batch)
        result.rows += rows
        result.conflicts += conflicts
    refresh(cursor, touched)
    _set_offset(cursor, job, part, "bytes", chunk[-1].end)


def _columns(line: dict[str, Any], facts: dict[str, dict[str, Row]]) -> pa.Table:
    """The rows of a line of generations or judgments; the cell of generations goes to the facts."""
    if line["type"] == "generation":
        one = next(records_of(line))
        cell = TABLES["cell"].row(one)
        facts.setdefault("cell", {})[cell[0]] = cell
        return TABLES["generation"].arrow_of_columns(line, {"attack_id": None, "asked": "", **line["same"], "cell_id": one.cell_id})  # type: ignore[union-attr]
    return TABLES[line["type"]].arrow_of_columns(line, {"native": "", "score": None, "raw": "", "asked": "", "attempt": 1, **line["same"], "evidence": "[]"})


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
    cursor.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)", [last[0] + 1, job.job_id, m.kind, m.name, m.created, m.code_version])
    return int(last[0]) + 1


def _insert(cursor: duckdb.DuckDBPyConnection, kind: str, incoming: pa.Table, batch: int) -> tuple[int, int]:
    """Insert what is not there, or only in a retracted batch; note what is there with other content. Returns (rows, conflicts)."""
    table = TABLES[kind]
    cursor.register("incoming", incoming)
    try:
        columns = ", ".join(incoming.column_names)
        same = " AND ".join(f"known.{c} IS NOT DISTINCT FROM new.{c}" for c in incoming.column_names)
        within = "WHERE true" + (" AND cell_id IN (SELECT DISTINCT CAST(cell_id AS UUID) FROM incoming)" if kind in _BY_CELL else "")
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
        rows = first(cursor, f"INSERT INTO {table.name} ({columns}, batch) SELECT {columns}, {batch} FROM fresh WHERE NOT is_known")
        conflicts = first(
            cursor,
            f"INSERT INTO conflicts SELECT {batch}, '{table.name}', {table.id}, CAST(struct_pack({columns}) AS VARCHAR) FROM fresh WHERE is_known AND NOT is_same AND {table.id} NOT IN (SELECT id FROM conflicts WHERE batch = {batch})",
        )
    finally:
        cursor.execute("DROP TABLE IF EXISTS fresh")
        cursor.unregister("incoming")
    return (rows or (0,))[0], (conflicts or (0,))[0]


def _insert_errors(cursor: duckdb.DuckDBPyConnection, job: Job, part: int, path: Path, start: int) -> int:
    lines = list(_whole_lines(path, start))
    for end, line in lines:
        cursor.execute("INSERT INTO job_errors VALUES (?, ?, ?, ?, ?)", [job.job_id, part, line["unit"], line["message"], line["time"]])
        _set_offset(cursor, job, part, "error_bytes", end)
    return len(lines)


def _whole_lines(path: Path, start: int) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open("rb") as stream:
        stream.seek(start)
        for raw in stream:
            if not raw.endswith(b"\n"):
                return
            start += len(raw)
            try:
                yield start, json.loads(raw)
            except ValueError:  # torn when the disk was full; the rest of the file still counts
                yield start, {"unit": "", "message": raw.decode("utf-8", "replace").strip(), "time": "0"}


def _set_offset(cursor: duckdb.DuckDBPyConnection, job: Job, part: int, column: str, value: int) -> None:
    known = first(cursor, "SELECT count(*) FROM offsets WHERE job_id = ? AND part = ?", [job.job_id, part])
    if known == (0,):
        cursor.execute("INSERT INTO offsets VALUES (?, ?, 0, 0)", [job.job_id, part])
    cursor.execute(f"UPDATE offsets SET {column} = ? WHERE job_id = ? AND part = ?", [value, job.job_id, part])


def set_retracted(store: Store, job_id: str, retracted: bool) -> None:
    """Undo a batch, or bring it back: its generations, judgments, labels and measurements no longer count, or count again.

    What another import holds too goes on counting: undone, that import is read again by the next `ingest_all`;
    brought back, a batch leaves away what others brought meanwhile.

    Raises:
        CapsafeError: the store has no batch of that job.
    """
    with store.transaction() as cursor:
        found = first(cursor, "SELECT batch FROM batches WHERE job_id = ?", [job_id])
        if not found:
            raise CapsafeError(f"The store has nothing from a job {job_id!r}.", "`capsafe jobs` lists the jobs.")
        if retracted:
            cursor.execute(
                "UPDATE offsets SET bytes = 0 WHERE job_id IN (SELECT job_id FROM batches WHERE kind = 'import' AND job_id <> ? AND batch NOT IN (SELECT batch FROM retracted_batches))", [job_id]
            )
        else:
            for table in (TABLES[kind] for kind in _RETRACTABLE):
                cursor.execute(
                    f"DELETE FROM {table.name} WHERE batch = {found[0]} AND {table.id} IN (SELECT {table.id} FROM {table.name} WHERE batch <> {found[0]} AND batch NOT IN (SELECT batch FROM retracted_batches))"
                )
        cursor.execute("INSERT INTO batch_events VALUES (?, ?, ?)", [found[0], "retract" if retracted else "restore", time.time()])
        tables = [TABLES[kind].name for kind in _BY_CELL]
        cells = cursor.execute(" UNION ".join(f"SELECT DISTINCT CAST(cell_id AS VARCHAR) FROM {t} WHERE batch = {found[0]}" for t in tables)).fetchall()
        refresh(cursor, {cell for (cell,) in cells})


def retracted_jobs(store: Store) -> list[str]:
    """The jobs whose batches are taken out of every number."""
    return [job for (job,) in store.rows("SELECT job_id FROM batches WHERE batch IN (SELECT batch FROM retracted_batches) ORDER BY batch")]


def imported_words(store: Store, job_id: str) -> str:
    """What a job's batch holds, and what of it another batch brought before."""
    counts = {
        words: store.rows(f"SELECT count(*) FROM {table} WHERE batch = (SELECT batch FROM batches WHERE job_id = ?)", [job_id])[0][0]
        for words, table in (("outputs", "generations"), ("judgments", "judgments"), ("labels of people", "label_events"), ("aggregate numbers", "measurements"), ("prompts", "prompts"))
    }
    conflicts = store.rows("SELECT count(*) FROM conflicts WHERE batch = (SELECT batch FROM batches WHERE job_id = ?)", [job_id])[0][0]
    found = ", ".join(f"{n:,} {words}" for words, n in counts.items() if n) or "nothing new"
    return f"brought {found}." + (f" {conflicts:,} facts are there with other content; those that were there first are kept." if conflicts else "")
