import random
import resource
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from msgspec.structs import replace

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Manifest, Part, committed_blocks, create_job, list_jobs
from capsafe_core.records import TYPES, Generation, Judgment, LabelEvent, Rater
from capsafe_core.settings import ROOT
from capsafe_core.store import Store
from capsafe_core.store import store as store_module
from capsafe_core.store.batches import set_retracted
from capsafe_core.store.export import snapshot_into
from capsafe_core.store.ingest import ingest_all, ingest_job
from capsafe_core.store.rollups import check
from capsafe_core.store.tables import TABLES
from tests.synthetic import RATERS, write_study


def counts(store: Store) -> dict[str, int]:
    return {
        t: store.rows(f"SELECT count(*) FROM {t}")[0][0]
        for t in ("generations", "judgments", "prompts", "verdicts", "patterns", "conflicts")
    }


def test_ingesting_twice_changes_nothing_and_rollups_follow_from_facts(made_up_jobs: Path) -> None:
    with Store(None) as store:
        first, _ = ingest_all(store, made_up_jobs)
        before = counts(store)
        again, _ = ingest_all(store, made_up_jobs)
        assert (first.rows > 4000, again.rows) == (True, 0)
        assert counts(store) == before
        assert check(store) == []


def test_a_damaged_rollup_is_found(made_up_jobs: Path) -> None:
    with Store(None) as store:
        ingest_all(store, made_up_jobs)
        with store.transaction() as cursor:
            cursor.execute("UPDATE patterns SET n = n + 1 WHERE codes[1] = 1")
        assert any("patterns" in problem for problem in check(store))


def test_random_events_keep_rollups_consistent(tmp_path: Path) -> None:
    """Labels, undo, adjudication, new attempts, retraction and its undoing, in random order."""
    chance = random.Random(11)
    jobs = write_study(tmp_path, safety_size=8, capability_size=6)
    person = Rater("Ada", "annotator", "people", ("coherence", "safety"), "1")
    generations = [r for job in jobs for r in job.records() if isinstance(r, Generation)]
    with Store(None) as store:
        ingest_all(store, tmp_path)
        for turn in range(25):
            g = chance.choice(generations)
            event = chance.choice(
                ["label", "undo", "skip", "adjudicate", "reopen", "attempt", "retract", "restore"]
            )
            if event in ("retract", "restore"):
                set_retracted(store, chance.choice(jobs).job_id, event == "retract")
            else:
                job = create_job(tmp_path, Manifest("annotate", f"event-{turn}", {}))
                with Part(job) as part:
                    if event == "attempt":
                        part.write(
                            "x",
                            [
                                Judgment(
                                    g.id,
                                    g.cell_id,
                                    RATERS["coherence-rules"].id,
                                    "coherence",
                                    "ok",
                                    chance.choice(["coherent", "incoherent"]),
                                    attempt=turn + 2,
                                )
                            ],
                        )
                    else:
                        label = (
                            None
                            if event in ("undo", "skip", "reopen")
                            else chance.choice(["coherent", "incoherent"])
                        )
                        part.write(
                            "x",
                            [
                                person,
                                LabelEvent(
                                    f"00000000-0000-0000-0000-{turn:012d}",
                                    g.id,
                                    g.cell_id,
                                    person.id,
                                    "coherence",
                                    event,
                                    label,
                                    0.0,
                                    float(turn),
                                ),
                            ],
                        )
                ingest_job(store, job)
            assert check(store) == [], (turn, event)


def test_the_newest_attempt_counts_and_other_content_is_a_conflict(tmp_path: Path) -> None:
    jobs = write_study(tmp_path, safety_size=8, capability_size=6)
    g = next(r for job in jobs for r in job.records() if isinstance(r, Generation))
    with Store(None) as store:
        ingest_all(store, tmp_path)
        job = create_job(tmp_path, Manifest("import", "other", {}))
        with Part(job) as part:
            part.write("x", [replace(g, text="another text")])
        ingest_job(store, job)
        assert store.rows(
            "SELECT text FROM generations WHERE CAST(generation_id AS VARCHAR) = ?", [g.id]
        ) == [(g.text,)]
        assert any("different content" in problem for problem in check(store))


def test_retracting_a_batch_takes_its_numbers_out_and_restoring_brings_them_back(tmp_path: Path) -> None:
    jobs = write_study(tmp_path, safety_size=8, capability_size=6)
    with Store(None) as store:
        ingest_all(store, tmp_path)
        before = counts(store)
        set_retracted(store, jobs[-1].job_id, True)
        assert counts(store)["verdicts"] < before["verdicts"]
        assert check(store) == []
        set_retracted(store, jobs[-1].job_id, False)
        assert counts(store) == before
        with pytest.raises(CapsafeError, match="nothing from a job"):
            set_retracted(store, "nobody", True)


def test_a_store_in_use_and_a_newer_store_and_a_stranger_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    with Store(path) as store:
        with store.transaction() as cursor:
            cursor.execute("INSERT INTO migrations VALUES (99, 'future', 0)")
        other = subprocess.run(
            [
                sys.executable,
                "-c",
                f"from pathlib import Path; from capsafe_core.store import Store; Store(Path({str(path)!r}))",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "in use by another process" in other.stderr
    with pytest.raises(CapsafeError, match="newer capsafe"):
        Store(path)
    stranger = tmp_path / "stranger.duckdb"
    with duckdb.connect(str(stranger)) as connection:
        connection.execute("CREATE TABLE mine (a INTEGER)")
    with pytest.raises(CapsafeError, match="not a capsafe store"):
        Store(stranger)
    (tmp_path / "text.duckdb").write_text("no database at all, but long enough to look at" * 100)
    with pytest.raises(CapsafeError, match="cannot be opened"):
        Store(tmp_path / "text.duckdb")


def test_no_query_reads_a_file_and_snapshots_go_to_exports_only(tmp_path: Path, made_up_jobs: Path) -> None:
    with Store(tmp_path / "store.duckdb", tmp_path / "exports") as store:
        ingest_all(store, made_up_jobs)
        with pytest.raises(duckdb.PermissionException):
            store.rows("SELECT * FROM read_text('/etc/hostname')")
        target = snapshot_into(store, "copy.duckdb")
        for name in ("../outside.duckdb", "copy.duckdb"):
            with pytest.raises(CapsafeError):
                snapshot_into(store, name)
        expected = counts(store)
    with Store(target) as copy:
        assert counts(copy) == expected


def test_a_full_disk_leaves_the_store_as_it_was(tmp_path: Path, made_up_jobs: Path) -> None:
    path = tmp_path / "store.duckdb"
    Store(path).close()
    limit = 30_000  # bytes: less than what one job writes
    code = (
        "import sys, resource; from pathlib import Path; from capsafe_core.store import Store; from "
        "capsafe_core.store.ingest import ingest_all\n"
    )
    code += (
        "with Store(Path(sys.argv[1])) as s:\n    resource.setrlimit(resource.RLIMIT_FSIZE, "
        "(int(sys.argv[3]),) * 2)\n    print([str(p) for p in ingest_all(s, Path(sys.argv[2]))[1]][:1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(made_up_jobs), str(limit)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "could not be written" in done.stdout, done.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != limit
    with Store(path) as store:
        assert check(store) == []
        ingest_all(store, made_up_jobs)
        assert check(store) == []


def test_what_a_killed_owner_spilled_is_removed_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    spill = """
import os, sys, threading, time
from pathlib import Path
from capsafe_core.store import Store
folder = Path(sys.argv[1] + ".tmp")

def end() -> None:
    while not (folder.exists() and list(folder.glob("*.tmp"))):
        time.sleep(0.01)
    os.kill(os.getpid(), 9)

threading.Thread(target=end, daemon=True).start()
store = Store(Path(sys.argv[1]), memory_limit="60MB", threads=1)
many = "SELECT uuid() AS a, list(i) AS b FROM range(5000000) AS t(i) GROUP BY i ORDER BY a"
store.rows(f"SELECT max(a) FROM ({many})")
"""
    ended = subprocess.run([sys.executable, "-c", spill, str(path)], cwd=ROOT, timeout=120)
    folder = tmp_path / "store.duckdb.tmp"
    assert ended.returncode == -9
    assert list(folder.glob("duckdb_temp_*"))
    (folder / "mine.txt").write_text("kept")
    Store(path).close()
    assert [file.name for file in folder.iterdir()] == ["mine.txt"]
    (folder / "mine.txt").unlink()
    Store(path).close()
    assert not folder.exists()


def test_a_growing_shard_is_read_piece_by_piece(tmp_path: Path) -> None:
    whole = write_study(tmp_path / "whole", safety_size=8, capability_size=6)
    blocks = [
        (job.manifest, block.units[0], list(block.records(print)))
        for job in whole
        for block in committed_blocks(job.path(0, "shard.jsonl"))
    ]
    with Store(None) as store, Store(None) as other:
        for manifest, unit, records in blocks:
            job = create_job(tmp_path / "growing", manifest)
            with Part(job) as part:
                part.write(unit, records)
            ingest_job(store, job)
        ingest_all(other, tmp_path / "whole")
        assert check(store) == []
        assert counts(store) == counts(other)


def test_a_shrunken_shard_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    jobs = write_study(tmp_path, safety_size=8, capability_size=6)
    with Store(None) as store:
        ingest_all(store, tmp_path)
        shard = jobs[3].path(0, "shard.jsonl")
        shard.write_bytes(shard.read_bytes()[:100])
        _, problems = ingest_all(store, tmp_path)
        assert len(problems) == 1
        assert "shorter than" in problems[0].message
        assert check(store) == []


def test_failed_records_are_kept_with_their_job(tmp_path: Path) -> None:
    job = create_job(tmp_path, Manifest("import", "x", {}))
    with Part(job) as part:
        part.error("unit", "it could not be read")
        part.write("rater", [RATERS["verifier"]])
    with Store(None) as store:
        ingest_all(store, tmp_path)
        ingest_all(store, tmp_path)
        assert store.rows("SELECT unit, message FROM job_errors") == [("unit", "it could not be read")]
        with job.path(0, "errors.jsonl").open("a") as stream:
            stream.write('{"unit": "to\n')
        _, problems = ingest_all(store, tmp_path)
        assert problems == []
        assert store.rows("SELECT count(*) FROM job_errors") == [(2,)]


def test_many_threads_read_while_one_writes(tmp_path: Path) -> None:
    write_study(tmp_path, safety_size=8, capability_size=6)
    wrong: list[object] = []
    with Store(None) as store:

        def read() -> None:
            for _ in range(40):
                try:
                    n, m = store.rows(
                        "SELECT (SELECT count(*) FROM verdicts), (SELECT coalesce(sum(n), 0) FROM patterns)"
                    )[0]
                except duckdb.Error as error:
                    wrong.append(error)
                else:
                    if n != m:
                        wrong.append((n, m))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for job in list_jobs(tmp_path):
            ingest_job(store, job)
        for thread in threads:
            thread.join()
        assert check(store) == []
    assert wrong == []


@pytest.mark.parametrize("version", [1, 2, 5])
def test_a_store_of_an_older_schema_is_brought_up_to_date(tmp_path: Path, version: int) -> None:
    """A populated store of each schema opens, and everything derived in it is right."""
    write_study(tmp_path / "jobs", safety_size=6, capability_size=5)
    path = tmp_path / "store.duckdb"
    steps = store_module.migrations()
    with Store(tmp_path / "whole.duckdb") as store:
        ingest_all(store, tmp_path / "jobs")
    with duckdb.connect(str(path)) as old:
        old.execute("CREATE TABLE migrations (version INTEGER, name VARCHAR, applied DOUBLE)")
        for number, (name, sql) in enumerate(steps[:version], 1):
            old.execute(sql)
            old.execute("INSERT INTO migrations VALUES (?, ?, 0)", [number, name])
        tables = old.execute(
            "SELECT table_name, string_agg(column_name, ', ') FROM duckdb_columns() WHERE table_name IN "
            "(SELECT table_name FROM duckdb_tables()) GROUP BY ALL"
        ).fetchall()
        old.execute(f"ATTACH '{tmp_path / 'whole.duckdb'}' AS whole (READ_ONLY)")
        for table, columns in tables:
            if table not in ("migrations", "codes"):
                old.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM whole.{table}")
        if version == 1:
            old.execute("DELETE FROM arrays WHERE slot = 0")
    with Store(path) as store:
        assert check(store) == []
        assert store.rows("SELECT count(*) FROM queue_items") == [(0,)]
        assert store.rows("SELECT count(*) FROM current_answers") == [(0,)]
        assert store.rows("SELECT version FROM migrations ORDER BY version") == [
            (i + 1,) for i in range(len(steps))
        ]
        assert store.rows("SELECT count(*) > 0 FROM verdicts") == [(True,)]
        found, problems = ingest_all(store, tmp_path / "jobs")
        assert (found.rows, problems) == (0, [])


def test_the_tables_that_the_migrations_make_have_the_columns_of_the_records(tmp_path: Path) -> None:
    """A column of a record that no migration adds, or one of another type, is found here."""
    names = {pa.string(): "VARCHAR", pa.int32(): "INTEGER", pa.int64(): "BIGINT", pa.float64(): "DOUBLE"}
    names |= {pa.list_(pa.string()): "VARCHAR[]", pa.list_(pa.int32()): "INTEGER[]"}
    assert set(TABLES) == {*TYPES, "cell"}
    with Store(None) as store:
        for table in TABLES.values():
            made = {name: kind for name, kind, *_ in store.rows(f"DESCRIBE {table.name}")}
            declared = {c.name: "UUID" if c.is_id else names[c.type] for c in table.columns}
            assert made == {**declared, "batch": "INTEGER"}, table.name


def fail_and_clean_up(store: Store) -> None:
    with store.transaction() as cursor:
        try:
            cursor.execute("SELECT CAST('x' AS INTEGER)").fetchall()
        finally:
            cursor.execute("DROP TABLE IF EXISTS fresh")


def test_what_aborts_a_transaction_is_named() -> None:
    with Store(None) as store, pytest.raises(duckdb.ConversionException, match="Could not convert"):
        fail_and_clean_up(store)
