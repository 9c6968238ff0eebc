import json
import os
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.engines.limit import at_most
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import (
    DAMAGED,
    RETRACTIONS,
    Job,
    Manifest,
    Part,
    Retraction,
    Shard,
    append_line,
    committed_blocks,
    create_job,
    list_jobs,
    note_retraction,
    open_job,
    read_lines,
    retractions_of,
)
from capsafe_core.jobs.folder.manifest import MOST_PARTS
from capsafe_core.jobs.foreign import MARK, is_foreign
from capsafe_core.jobs.supervisor import QUEUED, Queue, start_worker
from capsafe_core.labelling.open_queue import SHOWN, HandedOut
from capsafe_core.records import Attack
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.rebuild import check_all


def unit(name: str) -> list[Attack]:
    return [Attack(name, {})]


def test_what_is_not_committed_is_cut_and_nothing_reads_it(tmp_path: Path) -> None:
    job = create_job(tmp_path, Manifest("import", "x", {}))
    with Part(job) as part:
        part.write("a", unit("a"))
        part.write("b", unit("b"))
    shard = job.path(0, "shard.jsonl")
    whole = shard.read_bytes()
    for cut in range(len(whole)):
        shard.write_bytes(whole[:cut])
        blocks = list(committed_blocks(shard))
        with Part(job) as part:
            assert part.done_units == {unit for b in blocks for unit in b.units}
            for name in ("a", "b"):
                if name not in part.done_units:
                    part.write(name, unit(name))
        assert shard.read_bytes() == whole


def test_damage_in_the_middle_is_not_mistaken_for_a_torn_end(tmp_path: Path) -> None:
    job = create_job(tmp_path, Manifest("import", "x", {}))
    with Part(job) as part:
        part.write("a", unit("a"))
        part.write("b", unit("b"))
    shard = job.path(0, "shard.jsonl")
    shard.write_bytes(b"#" + shard.read_bytes()[1:])
    said: list[CapsafeError] = []
    assert [r.name for r in job.records()] == ["b"]
    assert [r.name for block in committed_blocks(shard) for r in block.records(said.append)] == ["b"]
    assert "A line is damaged" in said[0].message
    assert [block.changed for block in committed_blocks(shard)] == [True, False]


def test_one_worker_a_part(tmp_path: Path) -> None:
    job = create_job(tmp_path, Manifest("import", "x", {}))
    with Part(job), pytest.raises(CapsafeError, match="already being worked on"):
        Part(job).__enter__()


def test_asking_twice_makes_one_job_and_other_work_another(tmp_path: Path) -> None:
    one = create_job(tmp_path, Manifest("import", "x", {"a": 1}))
    assert create_job(tmp_path, Manifest("import", "x", {"a": 1})).folder == one.folder
    create_job(tmp_path, Manifest("import", "x", {"a": 2}))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    assert len(list_jobs(tmp_path)) == 2
    with pytest.raises(CapsafeError, match="cannot be read"):
        open_job(tmp_path / "broken")
    with pytest.raises(CapsafeError, match="not a job folder"):
        open_job(tmp_path)


def test_no_change_of_the_clock_loses_a_worker_that_lives_or_revives_one_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = create_job(tmp_path, Manifest("import", "x", {}))
    clock, started = time.time, psutil.boot_time()
    with Part(job) as part:
        for jump in (3600.0, -3600.0, 3e7, -3e7, 0.0):
            monkeypatch.setattr(time, "time", lambda jump=jump: clock() + jump)
            # Linux tells when a process began by the clock as it now is
            monkeypatch.setattr(psutil, "boot_time", lambda jump=jump: started + jump)
            monkeypatch.setattr(
                psutil.Process,
                "create_time",
                lambda p, jump=jump: p._proc.create_time(monotonic=True) + started + jump,
            )
            assert job.state == "running"
            part.report("running")
            assert job.state == "running"
            assert job.status().seconds < 60
    assert job.state == "done"
    monkeypatch.undo()
    kept = json.loads(job.path(0, "status.json").read_text())
    other = {
        **kept,
        "state": "running",
        "started": time.time() + 86400,
        "pid": 1,
    }  # a pid that is somebody else's now
    job.path(0, "status.json").write_text(json.dumps(other))
    assert job.state == "lost"


@pytest.mark.parametrize(
    ("ahead", "state"),
    [(-600.0, "lost"), (-30.0, "running"), (300.0, "running"), (86400.0, "lost"), (2e11, "lost")],
)
def test_a_worker_elsewhere_is_lost_without_a_heartbeat_whatever_its_clock_says(
    tmp_path: Path, ahead: float, state: str
) -> None:
    job = create_job(tmp_path, Manifest("import", "x", {}))
    job.path(0, "status.json").write_text(
        json.dumps({"state": "running", "host": "elsewhere", "heartbeat": time.time() + ahead})
    )
    assert job.state == state


def test_a_worker_that_died_is_lost_and_one_that_failed_says_why(tmp_path: Path) -> None:
    job = create_job(tmp_path, Manifest("import", "x", {}))
    with Part(job) as part:
        part.write("a", unit("a"))
    status = json.loads(job.path(0, "status.json").read_text())
    dead = subprocess.Popen(["true"])
    dead.wait()
    job.path(0, "status.json").write_text(json.dumps({**status, "state": "running", "pid": dead.pid}))
    assert job.state == "lost"
    with pytest.raises(CapsafeError), Part(job):
        raise CapsafeError("It broke.", "Fix it.")
    assert (job.state, job.status().message, job.status().hint) == ("failed", "It broke.", "Fix it.")


def test_a_full_disk_ends_with_a_sentence_and_keeps_what_was_committed(tmp_path: Path) -> None:
    job = create_job(tmp_path, Manifest("import", "x", {}))
    with Part(job) as part:
        part.write("a", unit("a"))
    full = Part(job).__enter__()
    full._shard._stream.close()
    with open("/dev/full", "r+b", buffering=0) as full._shard._stream:
        with pytest.raises(CapsafeError, match="cannot be written: No space left") as caught:
            full.write("b", unit("b"))
        full.__exit__(CapsafeError, caught.value, None)
    assert [b.units for b in committed_blocks(job.path(0, "shard.jsonl"))] == [("a",)]
    assert os.path.exists(job.path(0, "status.json"))
    assert job.state == "failed"


@given(
    name=st.text(max_size=300) | st.sampled_from(["a/b", "../../out", "/tmp/x", "a\0b", "..", ".", "ü" * 200])
)
def test_whatever_a_job_is_called_it_is_one_folder_of_the_workspace(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    root = tmp_path_factory.mktemp("named") / "jobs"
    manifest = Manifest("generate", name, {})
    try:
        job = create_job(root, manifest)
    except CapsafeError:
        assert any("\ud800" <= c <= "\udfff" for c in name)
        return
    assert job.folder.resolve().parent == root.resolve()
    assert [other.job_id for other in list_jobs(root)] == [manifest.job_id]
    assert not any(path.parent != root for path in root.rglob("*") if path.is_dir())


PIECES = st.sampled_from(["shard.jsonl", "status.json", "errors.jsonl", "log", "lock"])


@given(
    parts=st.integers(1, 12),
    there=st.lists(
        st.tuples(st.integers(0, 14), PIECES, st.sampled_from(["done", "failed", "x"])), max_size=8
    ),
    strays=st.lists(
        st.sampled_from(["part-0000.status.json", "part-1.log", "part-abc.log", "x"]), max_size=2
    ),
)
def test_what_was_never_begun_is_not_looked_for(
    tmp_path_factory: pytest.TempPathFactory,
    parts: int,
    there: list[tuple[int, str, str]],
    strays: list[str],
) -> None:
    job = create_job(tmp_path_factory.mktemp("parts"), Manifest("generate", "x", {}, parts=parts))
    for part, what, state in there:
        job.path(part, what).write_text(json.dumps({"state": state}))
    for stray in strays:
        (job.folder / stray).write_text("{}")
    statuses = [job.status(part) for part in range(parts)]
    assert job.statuses == statuses
    assert {s.state for s in job.begun} == {s.state for s in statuses}
    assert sum(s.done for s in job.begun) == sum(s.done for s in statuses)
    worst = ("failed", "lost", "running", "stopped", "waiting", "partial", "done")
    assert job.state == min((s.state for s in statuses), key=worst.index)
    for what in ("shard.jsonl", "errors.jsonl", "log"):
        assert job.parts_with(what) == [p for p in range(parts) if job.path(p, what).exists()]


def test_jobs_of_ten_thousand_parts_of_which_none_began_cost_no_look_at_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = create_job(tmp_path, Manifest("generate", "x", {}, parts=MOST_PARTS))
    job.path(7, "status.json").write_text('{"state": "done"}')
    looks: list[int] = []
    path = Job.path
    monkeypatch.setattr(Job, "path", lambda self, part, what: looks.append(part) or path(self, part, what))
    assert job.state == "waiting"
    assert list(job.records()) == []
    with Store(None) as store:
        assert ingest_all(store, tmp_path)[1] == []
    assert set(looks) <= {7}


OF_A_PART = ("lock", "shard.jsonl", "errors.jsonl", "log")


@pytest.mark.parametrize("what", [*OF_A_PART, SHOWN, RETRACTIONS, QUEUED, MARK])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_stands_in_a_files_place_keeps_nobody_waiting(tmp_path: Path, what: str, kind: str) -> None:
    """A pipe in the place of one queue's lock kept the whole desk waiting for ever."""
    job = create_job(tmp_path, Manifest("survey", "odd", {}))
    path = job.path(0, what) if what in OF_A_PART else job.folder / what
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with at_most(30, CapsafeError("It waits.")):
        if what in ("lock", "shard.jsonl"):
            with pytest.raises(CapsafeError, match="cannot be written"):
                Shard(job)
        elif what == "errors.jsonl":
            with pytest.raises(CapsafeError, match="cannot be written"), Part(job) as part:
                part.error("u", "m")
        elif what == "log":
            with pytest.raises(CapsafeError, match="cannot be written"):
                start_worker(job, 0, Settings(home=tmp_path))
        elif what == QUEUED:
            assert Queue(Settings(home=tmp_path, jobs=tmp_path)).tick()
        elif what == MARK:
            assert is_foreign(job.folder)
        elif what == RETRACTIONS:
            assert retractions_of(job) == []
            with pytest.raises(CapsafeError, match="cannot be kept"):
                note_retraction(job, Retraction("retract", 1.0))
        else:
            assert read_lines(path, HandedOut) == []
            with pytest.raises(OSError, match=r"regular|directory"):
                append_line(path, {})


def test_what_was_acknowledged_is_not_cut_off_with_a_closing_line_that_is_damaged(tmp_path: Path) -> None:
    """Whoever opened the shard next cut it off, and with it the labels that could still be read."""
    job = create_job(tmp_path, Manifest("annotate", "q", {}))
    with Part(job) as part:
        part.write("one", unit("one"))
    path = job.path(0, "shard.jsonl")
    one = path.read_bytes()
    with Part(job) as part:
        part.write("two", unit("two"))
    whole = path.read_bytes()
    at = whole.rindex(b"commit")
    closing = whole.rindex(b'{"type": "commit"')
    for torn in (whole[: len(one) + 40], whole[:at], whole[:closing], one + b"\0" * 4096):
        path.write_bytes(torn)
        Shard(job).close()
        assert path.read_bytes() == one
        assert not job.path(0, DAMAGED).exists()
    for _ in range(2):
        changed = bytearray(whole)
        changed[at] ^= 1
        path.write_bytes(changed)
        Shard(job).close()
        assert path.read_bytes() == one
    assert job.path(0, DAMAGED).read_bytes() == bytes(changed[len(one) :]) * 2
    with Store(None) as store:
        assert "is kept in part-000.damaged" in check_all(store, tmp_path).problems[0]
