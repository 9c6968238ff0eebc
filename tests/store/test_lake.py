"""The archive on a real PostgreSQL: what is pushed comes back as it was, whatever happens meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from capsafe_core.errors import BusyError, CapsafeError, UnknownNameError
from capsafe_core.jobs.folder import (
    Retraction,
    list_jobs,
    note_retraction,
    read_status,
    retractions_of,
)
from capsafe_core.jobs.foreign import foreign_studies
from capsafe_core.settings import ROOT, Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.lake import (
    Lake,
    create_lake,
    parse_address,
    pull_jobs,
    push_jobs,
)
from tests.commands import command
from tests.jobs.test_bundles import bring_labels
from tests.lakes import lines_of, needs_lake, opened, shards, write
from tests.postgres import PASSWORD, Server
from tests.synthetic import write_study


@needs_lake
def test_a_workspace_goes_into_a_lake_and_comes_back_as_it_was(server: Server, tmp_path: Path) -> None:
    """By commands: ids, digests, studies, undone jobs; what two owners pushed is in one lake."""
    address, (ada, ben, new) = server.create("commands"), (tmp_path / name for name in ("ada", "ben", "new"))
    write_study(ada / "jobs", safety_size=4, capability_size=4)
    note_retraction(list_jobs(ada / "jobs")[-1], Retraction("retract", 7.0))
    with Store(None) as store:
        ingest_all(store, ada / "jobs")
        bring_labels(ada / "jobs", store)
    jobs = list_jobs(ada / "jobs")
    write(ben / "jobs", "bens")
    assert command(ada, "archive", "create", address, str(tmp_path / "files")).returncode == 0
    assert f"{len(jobs)} jobs with" in command(ada, "archive", "push", address, "--owner", "Ada").stdout
    assert (
        "Pushed 1 job with 6 new lines." in command(ben, "archive", "push", address, "--owner", "Ben").stdout
    )
    assert f"{len(jobs) + 1} new jobs of Ada, Ben" in command(new, "archive", "pull", address).stdout

    assert shards(new / "jobs") == shards(ada / "jobs") | shards(ben / "jobs")
    assert "consistent" in command(new, "check").stdout
    for table, rows in (("rates", 20), ("people", 1)):
        there, here = (command(home, table, "--csv").stdout for home in (ada, new))
        assert there.count("\n") > rows, table
        assert here == there, table
    assert foreign_studies(new / "jobs") == ["made-up"]


@needs_lake
def test_pushing_twice_adds_nothing_and_what_grew_comes_along(lake: Lake, tmp_path: Path) -> None:
    mine, yours = tmp_path / "mine", tmp_path / "yours"
    write(mine, "still"), write(mine, "grows")
    assert push_jobs(lake, mine, "grower").jobs == 2
    again = push_jobs(lake, mine, "grower")
    assert (again.jobs, again.lines, again.kept, again.problems) == (0, 0, 2, ())
    assert pull_jobs(lake, yours, ["grower"]).jobs == 2
    assert pull_jobs(lake, yours, ["grower"]).grown == 0

    [still] = [job for job in list_jobs(yours) if job.manifest.name == "still"]
    note_retraction(still, Retraction("retract", 5.0))
    note_retraction(write(mine, "grows", 5), Retraction("retract", 6.0))
    assert push_jobs(lake, mine, "grower").lines == 4
    assert lines_of(lake, "grower") == [2, 16]
    pulled = pull_jobs(lake, yours, ["grower"])
    assert (pulled.jobs, pulled.grown) == (0, 1)
    assert shards(yours) == shards(mine)
    assert {j.manifest.name: [r.happened for r in retractions_of(j)] for j in list_jobs(yours)} == {
        "still": [5.0],
        "grows": [6.0],
    }
    assert not list(yours.glob(".unpacking-*"))


@needs_lake
def test_an_older_copy_replaces_nothing_and_what_was_undone_in_either_is_undone(
    lake: Lake, tmp_path: Path
) -> None:
    old, new, here = (tmp_path / name for name in ("old", "new", "here"))
    write(old, "copied", 2)
    shutil.copytree(old, new)
    note_retraction(write(new, "copied", 5), Retraction("retract", 6.0))
    assert push_jobs(lake, new, "copier").lines == 10
    assert push_jobs(lake, old, "copier").kept == 1
    note_retraction(list_jobs(old)[0], Retraction("retract", 5.0))
    assert push_jobs(lake, old, "copier").jobs == 1
    assert push_jobs(lake, new, "copier").kept == 1
    pull_jobs(lake, here, ["copier"])
    [job], [newest] = list_jobs(here), list_jobs(new)
    assert shards(here) == shards(new)
    was = replace(read_status(newest.path(0, "status.json")), host="", pid=0, born=0.0)
    assert read_status(job.path(0, "status.json")) == was
    assert [r.happened for r in retractions_of(job)] == [5.0, 6.0]


@needs_lake
def test_a_push_that_is_killed_leaves_nothing_and_is_done_again(
    address: str, lake: Lake, files: Path, tmp_path: Path
) -> None:
    write(tmp_path / "jobs", "killed", rows=20)
    script = """
        import os, signal
        from pathlib import Path
        from capsafe_core.settings import Settings
        from capsafe_core.store.lake import connection, open_lake, parse_address, push_jobs
        connection.Lake._still = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        with open_lake(parse_address({address!r}), Settings()) as lake:
            push_jobs(lake, Path({jobs!r}), "victim")
    """
    text = textwrap.dedent(script).format(address=address, jobs=str(tmp_path / "jobs"))
    before = set(files.rglob("*.parquet"))
    here = {**os.environ, "TMPDIR": str(tmp_path)}  # where it leaves the folder that it would have spilt to
    ended = subprocess.run([sys.executable, "-c", text], cwd=ROOT, env=here, capture_output=True, check=False)
    assert ended.returncode == -9, ended.stderr
    assert {p.parent.name for p in set(files.rglob("*.parquet")) - before} >= {"lines", "shards", "files"}
    assert lines_of(lake, "victim") == []
    with pytest.raises(UnknownNameError, match="owner 'victim'"):
        pull_jobs(lake, tmp_path / "none", ["victim"])
    assert push_jobs(lake, tmp_path / "jobs", "victim").lines == 40
    pull_jobs(lake, tmp_path / "new", ["victim"])
    assert shards(tmp_path / "new") == shards(tmp_path / "jobs")


@needs_lake
def test_a_push_whose_server_goes_away_ends_with_a_sentence_and_is_done_again(
    server: Server, tmp_path: Path
) -> None:
    address = server.create("lost")
    create_lake(parse_address(address), str(tmp_path / "files"), Settings())
    write(tmp_path / "jobs")
    ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'lost'"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lake, "_still", lambda *_: server.run("postgres", ends))
        assert "ended the connection" in command(tmp_path, "archive", "push", address).stderr
    with opened(address) as again:
        assert lines_of(again, "ada") == []
        assert push_jobs(again, tmp_path / "jobs", "ada").lines == 6


@needs_lake
def test_two_pushes_at_once_lose_nothing(address: str, lake: Lake, tmp_path: Path) -> None:
    """Of two owners both are in the lake; of one owner the second waits, and adds nothing."""
    for name in ("left", "right"):
        for i in range(3):
            write(tmp_path / name, f"{name}-{i}", rows=10)
    together = threading.Barrier(3, timeout=60)

    def run(owner: str) -> int:
        with opened(address) as own:
            together.wait()
            return push_jobs(own, tmp_path / owner, owner).lines

    with ThreadPoolExecutor(3) as threads:
        assert sorted(threads.map(run, ("left", "left", "right"))) == [0, 60, 60]
    assert lines_of(lake, "left") == lines_of(lake, "right") == [3, 60]


@needs_lake
def test_a_push_in_the_way_of_which_others_commit_is_done_again(
    address: str, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "jobs", "conflict")
    tries = []

    def others_commit(held: Lake, cursor: object) -> None:
        tries.append(held)
        if len(tries) > 1:  # the other one's own, and the second
            return
        with opened(address) as other:
            assert push_jobs(other, tmp_path / "jobs", "another").lines == 6
            with pytest.raises(BusyError, match="Somebody else is pushing"), other.held("first", wait=0):
                pass
            other.connection.execute("ALTER TABLE lake.capsafe.lines ADD COLUMN more INTEGER")

    monkeypatch.setattr(Lake, "_still", others_commit)
    try:
        assert push_jobs(lake, tmp_path / "jobs", "first").lines == 6
    finally:
        with opened(address) as other:
            other.connection.execute("ALTER TABLE lake.capsafe.lines DROP COLUMN more")
    assert len(tries) > 1
    assert lines_of(lake, "first") == lines_of(lake, "another") == [1, 6]


@needs_lake
def test_damage_and_other_results_are_not_pushed_and_the_rest_is(lake: Lake, tmp_path: Path) -> None:
    good, bad = write(tmp_path, "good"), write(tmp_path, "bad")
    shard = bad.path(0, "shard.jsonl")
    shard.write_bytes(shard.read_bytes().replace(b"judge-1", b"judge-X"))
    pushed = push_jobs(lake, tmp_path, "careful")
    assert pushed.jobs == 1
    assert "damaged" in str(pushed.problems[0])
    shutil.rmtree(good.folder)
    write(tmp_path, "good", code="2")
    pushed = push_jobs(lake, tmp_path, "careful")
    assert pushed.jobs == 0
    assert any("another judge-good" in str(problem) for problem in pushed.problems)
    assert lines_of(lake, "careful") == [1, 6]
    push_jobs(lake, tmp_path, "careless")
    with pytest.raises(CapsafeError, match="different results of judge-good"):
        pull_jobs(lake, tmp_path / "new", ["careful", "careless"])


@needs_lake
def test_refusals_are_sentences_and_hold_no_password(server: Server, tmp_path: Path) -> None:
    empty, other = server.create("empty"), server.create("other")
    assert command(tmp_path, "archive", "create", other, str(tmp_path / "files")).returncode == 0
    with opened(other) as lake:
        lake.connection.execute("UPDATE lake.capsafe.about SET format = 99")
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").touch()
    wrong = {"PGPASSWORD": "a wrong one"}
    cases: list[tuple[tuple[str, ...], dict[str, str], str]] = [
        (("pull", empty), {}, "There is no lake in that database"),
        (("push", server.address("none")), {}, "There is no such database"),
        (("push", other), wrong, "does not let you in"),
        (("list", f"postgresql:///x?host={tmp_path}"), {}, "cannot be reached"),
        (("push", other), {}, "format 99"),
        (("create", other, str(tmp_path / "files")), {}, "is there already"),
        (("create", empty, str(full)), {}, "is not empty"),
        (("create", empty, "s3://../x"), {}, "not a place on S3"),
        (
            ("push", f"postgresql://keeper:{quote(PASSWORD)}@localhost/x"),
            {},
            "holds no password",
        ),
    ]
    for arguments, changes, says in cases:
        done = command(tmp_path, "archive", *arguments, **changes)
        assert done.returncode == 2, arguments
        assert says in done.stderr, done.stderr
        assert done.stderr.count("\n") >= 2, "a next step"
        for secret in (PASSWORD, quote(PASSWORD), "a wrong one"):
            assert secret not in done.stdout + done.stderr, arguments
    written = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
    assert len(written) > 2
    assert not any(PASSWORD.encode() in content for content in written)
