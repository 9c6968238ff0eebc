"""Batches: what each job brought, whether it counts, and whether it is the workspace's own.

Each fact is held by one batch that counts. Among the workspace's own the first holds it, and an own batch
takes it from a foreign one (jobs.foreign). Retractions and adoptions live in the job folders; the store
follows them on each pass.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import duckdb

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, Retraction, note_retraction, retractions_of
from capsafe_core.jobs.foreign import origin_of
from capsafe_core.records import canonical_json, digest_text
from capsafe_core.settings import Settings
from capsafe_core.store.rollups import refresh
from capsafe_core.store.store import Store, first
from capsafe_core.store.tables import TABLES
from capsafe_core.store.writes import note_writes

BY_CELL = {"generation", "judgment", "label"}
RETRACTABLE = BY_CELL | {"study", "path_point", "measurement", "stress", "remark", "saved_view"}
"""what counts no longer where its batch is retracted; the rest only describes, and stays"""


@dataclass(frozen=True)
class Batch:
    """A job's number in the store, whether it came from elsewhere and nobody has adopted it, and whether it
    was undone."""

    number: int
    is_foreign: bool
    is_retracted: bool = False


def batch_of(cursor: duckdb.DuckDBPyConnection, job: Job) -> Batch:
    """The job's batch; a new one where the job is seen for the first time."""
    known = first(
        cursor,
        """
        SELECT batch, batch IN (SELECT batch FROM foreign_batches),
            batch IN (SELECT batch FROM retracted_batches)
        FROM batches WHERE job_id = ?
        """,
        [job.job_id],
    )
    if known:
        return Batch(*known)
    last = first(cursor, "SELECT coalesce(max(batch), 0) FROM batches") or (0,)
    number, m = int(last[0]) + 1, job.manifest
    cursor.execute(
        "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?)",
        [number, job.job_id, m.kind, m.name, m.created, m.code_version, m.study],
    )
    origin = origin_of(job.folder)
    if origin is not None:
        cursor.execute("INSERT INTO origins VALUES (?, ?)", [number, origin.own_since])
    return Batch(number, origin is not None and origin.own_since is None)


def name_studies(store: Store, jobs: list[Job]) -> None:
    """Note the study of batches that a version before this one read without it."""
    unnamed = {job_id for (job_id,) in store.rows("SELECT job_id FROM batches WHERE study IS NULL")}
    named = [(job.manifest.study, job.job_id) for job in jobs if job.job_id in unnamed]
    if named:
        with store.transaction() as cursor:
            cursor.executemany("UPDATE batches SET study = ? WHERE job_id = ?", named)


def match_origins(store: Store, jobs: list[Job]) -> None:
    """Follow the folders' marks: what was adopted since the last pass counts as the workspace's own, what was
    marked does not.

    The facts of such a batch are dropped and read again, and with those of a batch that was own and now is
    foreign all
    others too: what they hold in common with it was left out when they were read.
    """
    stored = {
        job_id: (batch, came, adopted)
        for job_id, batch, came, adopted in store.rows(
            "SELECT job_id, batch, o.batch IS NOT NULL, o.adopted FROM batches AS b LEFT JOIN origins AS o "
            "USING (batch)"
        )
    }
    for job in jobs:
        if job.job_id not in stored:
            continue
        batch, *before = stored[job.job_id]
        origin = origin_of(job.folder)
        after = [origin is not None, origin.own_since if origin else None]
        if before == after:
            continue
        with store.transaction() as cursor:
            cursor.execute("DELETE FROM origins WHERE batch = ?", [batch])
            if origin is not None:
                cursor.execute("INSERT INTO origins VALUES (?, ?)", [batch, origin.own_since])
            _drop_facts(cursor, batch, with_others=after == [True, None])
        note_writes(store)


def _drop_facts(cursor: duckdb.DuckDBPyConnection, batch: int, with_others: bool) -> None:
    """Drop what a batch brought, so that it is read again; `with_others` lets the others be read again
    too."""
    cells = _cells_of(cursor, batch)
    for table in TABLES.values():
        cursor.execute(f"DELETE FROM {table.name} WHERE batch = ?", [batch])
    again = "SELECT batch FROM batches WHERE batch = $batch"
    if with_others:
        again += " OR batch NOT IN (SELECT batch FROM retracted_batches)"
    cursor.execute(f"DELETE FROM conflicts WHERE batch IN ({again})", {"batch": batch})
    cursor.execute(
        f"UPDATE offsets SET bytes = 0 WHERE job_id IN (SELECT job_id FROM batches WHERE batch IN ({again}))",
        {"batch": batch},
    )
    cursor.execute("UPDATE writes SET n = n + 1")
    refresh(cursor, cells)


def _cells_of(cursor: duckdb.DuckDBPyConnection, batch: int) -> set[str]:
    """The cells of which a batch holds outputs, judgments or labels."""
    tables = " UNION ".join(
        f"SELECT cell_id FROM {TABLES[kind].name} WHERE batch = $batch" for kind in sorted(BY_CELL)
    )
    cells = cursor.execute(f"SELECT CAST(cell_id AS VARCHAR) FROM ({tables})", {"batch": batch}).fetchall()
    return {cell for (cell,) in cells}


def set_retracted(store: Store, job_id: str, retracted: bool) -> None:
    """Undo a batch, or bring it back: its generations, judgments, labels and measurements no longer count, or
    count again.

    What another import holds too goes on counting: undone, that import is read again by the next
    `ingest_all`; brought back, a batch leaves away what others brought meanwhile. `ingest_all` also keeps it
    in the job's folder.

    Raises:
        CapsafeError: the store has no batch of that job.
    """
    last = store.rows("SELECT coalesce(max(happened), 0) FROM batch_events")[0][0]
    _retract(store, job_id, Retraction("retract" if retracted else "restore", max(time.time(), last + 1e-3)))


def _retract(store: Store, job_id: str, retraction: Retraction) -> None:
    with store.transaction() as cursor:
        known = first(cursor, "SELECT batch FROM batches WHERE job_id = ?", [job_id])
        if not known:
            raise CapsafeError(
                f"The store has nothing from a job {job_id!r}.", "`capsafe jobs` lists the jobs."
            )
        batch = int(known[0])
        if retraction.action == "retract":
            cursor.execute(
                """
                UPDATE offsets SET bytes = 0 WHERE job_id <> ? AND job_id IN (
                    SELECT job_id FROM batches WHERE (kind = 'import' OR batch IN (SELECT batch FROM origins))
                    AND batch NOT IN (SELECT batch FROM retracted_batches)
                )
                """,
                [job_id],
            )
        else:
            _hold_once(cursor, batch)
        cursor.execute(
            "INSERT INTO batch_events VALUES (?, ?, ?)", [batch, retraction.action, retraction.happened]
        )
        cursor.execute("UPDATE writes SET n = n + 1")
        refresh(cursor, _cells_of(cursor, batch))
    note_writes(store)


def _hold_once(cursor: duckdb.DuckDBPyConnection, batch: int) -> None:
    """Before a batch counts again: it leaves away what others hold, and an own one takes from foreign ones
    what it holds."""
    is_foreign = first(cursor, "SELECT batch FROM foreign_batches WHERE batch = ?", [batch]) is not None
    for table in (TABLES[kind] for kind in RETRACTABLE):
        cursor.execute(
            f"""
            DELETE FROM {table.name} WHERE batch = $batch AND {table.id} IN (
                SELECT {table.id} FROM {table.name} WHERE batch <> $batch
                AND batch IN (SELECT batch FROM ranked_batches WHERE $is_foreign OR NOT is_foreign)
            )
            """,
            {"batch": batch, "is_foreign": is_foreign},
        )
        if not is_foreign:
            cursor.execute(
                f"""
                DELETE FROM {table.name} WHERE batch IN (SELECT batch FROM ranked_batches WHERE is_foreign)
                AND {table.id} IN (SELECT {table.id} FROM {table.name} WHERE batch = $batch)
                """,
                {"batch": batch},
            )


def match_retractions(store: Store, jobs: list[Job], problems: list[CapsafeError]) -> bool:
    """Bring the store's retractions into the folders, and the folders' into the store, in the order in which
    they happened.

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
            lost = () if Settings().replica_of else known - kept  # a replica leaves the folders to the owner
            for retraction in sorted(lost, key=lambda r: r.happened):
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


def store_digest(store: Store) -> str:
    """Which facts a store holds: a hash of what was read of every job, and of what was taken back."""
    read = store.rows("SELECT job_id, part, bytes FROM offsets ORDER BY job_id, part")
    undone = store.rows(
        "SELECT job_id FROM batches WHERE batch IN (SELECT batch FROM retracted_batches) ORDER BY job_id"
    )
    return digest_text(canonical_json([[list(r) for r in read], [list(r) for r in undone]]))


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
    held = ", ".join(f"{n:,} {words}" for words, n in counts.items() if n) or "nothing new"
    return f"brought {held}." + (
        f" {conflicts:,} facts are there with other content; those that were there first are kept."
        if conflicts
        else ""
    )
