"""Rebuilding and checking: with an old store that cannot be opened, after undoing, and with bytes changed."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from capsafe_core.cli import app
from capsafe_core.errors import BusyError, CapsafeError
from capsafe_core.jobs.folder import RETRACTIONS, Job, Manifest, Part, create_job, list_jobs
from capsafe_core.jobs.foreign import MARK
from capsafe_core.records import Attack, Generation, LabelEvent, Practice, Rater
from capsafe_core.settings import ROOT, Settings
from capsafe_core.store import Store
from capsafe_core.store.batches import set_retracted
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.rebuild import check_all, rebuild_store
from capsafe_core.store.writes import writes_file
from tests.synthetic import write_study

OWN = {"batches", "batch_events", "offsets", "migrations", "writes"}
"""tables that tell how a store came about"""
ADA = Rater("Ada", "annotator", "people", ("coherence", "safety"), "1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("made")
    jobs = write_study(home / "jobs", safety_size=8, capability_size=6)
    outputs = [r for job in jobs for r in job.records() if isinstance(r, Generation)]
    for i, g in enumerate(outputs[:6]):
        with Part(create_job(home / "jobs", Manifest("annotate", f"labels-{i}", {}))) as part:
            part.write(
                "x",
                [
                    ADA,
                    LabelEvent(
                        str(uuid.UUID(int=i)),
                        g.id,
                        g.cell_id,
                        ADA.id,
                        "safety",
                        "label",
                        "safe",
                        1.0,
                        2.0 + i,
                    ),
                ],
            )
    with Part(
        create_job(home / "jobs", Manifest("import", "again", {}))
    ) as part:  # what another import holds too
        part.write("x", outputs[:10])
    with Store(home / "store.duckdb") as store:
        assert ingest_all(store, home / "jobs")[1] == []
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "home")
    return tmp_path / "home"


@contextmanager
def opened(home: Path) -> Iterator[Store]:
    with Store(home / "store.duckdb") as store:
        yield store


def content(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table but the number of its batch."""
    found = {}
    for (table,) in store.rows("SELECT table_name FROM duckdb_tables() ORDER BY 1"):
        if table not in OWN:
            columns = [
                c
                for (c,) in store.rows(
                    "SELECT column_name FROM duckdb_columns() WHERE table_name = ? ORDER BY 1", [table]
                )
                if c != "batch"
            ]
            found[table] = sorted(
                store.rows(f"SELECT {', '.join(f'CAST({c} AS VARCHAR)' for c in columns)} FROM {table}"),
                key=str,
            )
    found["batches"] = store.rows("SELECT job_id, kind, name, created FROM batches ORDER BY ALL")
    found["events"] = store.rows(
        "SELECT job_id, action, happened FROM batch_events JOIN batches USING (batch) ORDER BY ALL"
    )
    return found


def rebuild(home: Path) -> Path | None:
    return rebuild_store(home / "store.duckdb", home / "jobs", "1GB", 2).kept


def test_a_rebuilt_store_equals_the_old_one_also_after_undoing_and_bringing_back(home: Path) -> None:
    chance = random.Random(3)
    jobs = list_jobs(home / "jobs")
    with opened(home) as store:
        for _ in range(8):
            set_retracted(store, chance.choice(jobs).job_id, chance.random() < 0.7)
            ingest_all(store, home / "jobs")
        set_retracted(store, jobs[-1].job_id, True)
        assert ingest_all(store, home / "jobs")[1] == []
        before, undone = content(store), store.rows("SELECT count(*) FROM retracted_batches")
    assert undone > [(0,)]
    kept = rebuild(home)
    assert kept is not None
    with opened(home) as store:
        assert content(store) == before
        assert store.rows("SELECT count(*) FROM retracted_batches") == undone
        assert check_all(store, home / "jobs").problems == []
    with Store(kept) as old:
        assert content(old) == before


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "newer", "gone", "wal"])
def test_a_store_that_cannot_be_opened_is_put_aside_and_made_again(home: Path, damage: str) -> None:
    path = home / "store.duckdb"
    with opened(home) as store:
        set_retracted(store, list_jobs(home / "jobs")[1].job_id, True)
        ingest_all(store, home / "jobs")
        before = content(store)
        if damage == "newer":
            with store.transaction() as cursor:
                cursor.execute("INSERT INTO migrations VALUES (99, 'future', 0)")
    raw = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "wal":
        path.with_name("store.duckdb.wal").write_bytes(b"no log at all" * 100)
    else:
        path.write_bytes(
            {"empty": b"", "text": b"no database" * 1000, "cut": raw[: len(raw) // 2], "newer": raw}[damage]
        )
    changed = path.read_bytes() if path.exists() else None
    kept = rebuild(home)
    assert (kept.read_bytes() if kept else None) == changed
    assert not path.with_name("store.duckdb.wal").exists()
    with opened(home) as store:
        assert content(store) == before


@pytest.mark.parametrize(
    "damage", [b"garbage\n", b'{"action": "retr', b'{"action": "x", "happened": 1}\n', None]
)
def test_what_was_undone_and_cannot_be_read_is_said(home: Path, damage: bytes | None) -> None:
    """Left out of a rebuilding silently, it would count again."""
    job = list_jobs(home / "jobs")[1]
    path = job.folder / RETRACTIONS
    with opened(home) as store:
        set_retracted(store, job.job_id, True)
        ingest_all(store, home / "jobs")
        assert check_all(store, home / "jobs").problems == []
        before = path.read_bytes()
        if damage is None:
            path.unlink()
            path.mkdir()
        else:
            path.write_bytes(before + damage)
        assert "1 of the retractions" in " ".join(check_all(store, home / "jobs").problems)


def test_a_mark_that_cannot_be_read_is_said(home: Path) -> None:
    (list_jobs(home / "jobs")[1].folder / MARK).write_text("{")
    with opened(home) as store:
        ingest_all(store, home / "jobs")
        assert "came from cannot be read" in " ".join(check_all(store, home / "jobs").problems)


def test_what_the_store_has_not_read_yet_is_said(home: Path) -> None:
    """An empty store beside full folders was called consistent, and no more."""
    (home / "store.duckdb").unlink()
    with opened(home) as store:
        unseen = check_all(store, home / "jobs").unseen
        assert any("shards hold more than the store has read" in sentence for sentence in unseen)
        ingest_all(store, home / "jobs")
        unseen = check_all(store, home / "jobs").unseen
        assert not any("shards hold more than the store has read" in sentence for sentence in unseen)


@pytest.mark.parametrize("place", ["gone", "file", "link"])
def test_without_a_folder_of_jobs_nothing_is_made_again(home: Path, place: str) -> None:
    """A mistyped CAPSAFE_JOBS, or a disk that is not mounted, made an empty store of a full one."""
    shutil.rmtree(home / "jobs")
    if place == "file":
        (home / "jobs").write_text("x")
    elif place == "link":
        (home / "jobs").symlink_to(home / "nothing")
    before = (home / "store.duckdb").read_bytes()
    with pytest.raises(CapsafeError, match="not a folder of jobs"):
        rebuild(home)
    assert (home / "store.duckdb").read_bytes() == before


def test_a_store_in_use_is_left_alone(home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from capsafe_core.store import Store\nwith "
        "Store(Path(sys.argv[1])): print('open', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(home / "store.duckdb")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    other.stdout.readline()
    with pytest.raises(BusyError, match="in use by another program"):
        rebuild(home)
    other.communicate()
    assert rebuild(home) is not None


def test_one_bad_record_does_not_keep_a_store_from_being_rebuilt(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Part(create_job(home / "jobs", Manifest("annotate", "bad", {}))) as part:
        part.write("x", [Practice(ADA.id, "g", "q", 10**30, 1, 1.0), Attack("after", {})])
        part.write("y", [Attack("later", {})])
    monkeypatch.setenv("CAPSAFE_HOME", str(home))
    assert Settings().store_path == home / "store.duckdb"
    run = CliRunner()
    done = run.invoke(app, ["rebuild"])
    assert done.exit_code == 0, done.output
    assert "right is 1000000000000000000000000000000, not a whole number" in done.output
    with pytest.raises(CapsafeError, match="1 record of annotate-bad"):
        run.invoke(app, ["ingest"], catch_exceptions=False)
    with pytest.raises(CapsafeError, match="1 record of annotate-bad"):
        run.invoke(app, ["check"], catch_exceptions=False)
    with opened(home) as store:
        assert store.rows("SELECT name FROM attacks ORDER BY 1") == [("after",), ("later",)]


def flip(path: Path, place: int, bit: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(place)
        byte = stream.read(1)[0]
        stream.seek(place)
        stream.write(bytes([byte ^ (1 << bit)]))


def problems_of(home: Path) -> list[str]:
    """What `capsafe check` says, in a process of its own: a damaged file may end one."""
    code = (
        "import sys; from pathlib import Path; from capsafe_core.store import Store; from "
        "capsafe_core.store.rebuild import check_all\n"
    )
    code += (
        "home = Path(sys.argv[1])\nwith Store(home / 'store.duckdb') as store: "
        "print('\\n'.join(check_all(store, home / 'jobs').problems), end='')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(home)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.splitlines() if done.returncode == 0 else [done.stderr.strip().splitlines()[-1]]


def test_bytes_changed_in_a_shard_are_found(home: Path) -> None:
    """Every byte that says something: blocks have digests, and the store knows how long a shard was."""
    chance = random.Random(5)
    shards: list[Path] = [job.path(0, "shard.jsonl") for job in list_jobs(home / "jobs")]
    with opened(home) as store:
        for _ in range(40):
            path = chance.choice(shards)
            raw = path.read_bytes()
            flip(path, chance.randrange(len(raw)), chance.randrange(8))
            assert any(str(path) in problem for problem in check_all(store, home / "jobs").problems), path
            path.write_bytes(raw)
        assert check_all(store, home / "jobs").problems == []


def test_bytes_changed_in_the_stores_file_are_found_or_mean_nothing(home: Path) -> None:
    chance, path = random.Random(7), home / "store.duckdb"
    raw = path.read_bytes()
    with opened(home) as store:
        whole = content(store)
    raw = path.read_bytes()
    found = 0
    for _ in range(6):
        flip(path, chance.randrange(len(raw)), chance.randrange(8))
        if problems_of(home):
            found += 1
        else:
            with opened(home) as store:
                assert content(store) == whole
        path.write_bytes(raw)
        path.with_name("store.duckdb.wal").unlink(missing_ok=True)
    assert found >= 3


DROPPED = """
import os, sys
from pathlib import Path
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
home = Path(sys.argv[1])
store = Store(home / "store.duckdb")
ingest_all(store, home / "jobs")
os._exit(9)
"""


def test_a_log_that_was_dropped_is_said_and_what_it_held_is_read_again(home: Path) -> None:
    with Part(create_job(home / "jobs", Manifest("import", "more", {}))) as part:
        part.write("x", [Attack("acknowledged", {})])
    subprocess.run([sys.executable, "-c", DROPPED, str(home)], cwd=ROOT, check=False)
    wal = home / "store.duckdb.wal"
    assert wal.exists()
    wal.unlink()
    with opened(home) as store:
        _, problems = ingest_all(store, home / "jobs")
        assert "lacks the last 1 of its writes" in str(problems[0])
        assert store.rows("SELECT name FROM attacks") == [("acknowledged",)]
        assert any("lacks the last 1" in p for p in check_all(store, home / "jobs").problems)
    assert writes_file(home / "store.duckdb").exists()
    rebuild(home)
    with opened(home) as store:
        assert ingest_all(store, home / "jobs")[1] == []


def test_a_shard_whose_end_was_damaged_is_said(home: Path) -> None:
    job: Job = list_jobs(home / "jobs")[0]
    shard = job.path(0, "shard.jsonl")
    raw = shard.read_bytes()
    shard.write_bytes(raw.replace(b'{"type": "commit"', b'{"type": "commjt"'))
    with opened(home) as store:
        said = check_all(store, home / "jobs").problems
    assert any("its last closing line is missing or damaged" in p for p in said)
