"""The archive on a real PostgreSQL: what is pushed comes back as it was, whatever happens meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from capsafe_core.errors import BusyError, CapsafeError, DamagedError, UnknownNameError
from capsafe_core.jobs.folder import (
    Job,
    Manifest,
    Part,
    Retraction,
    create_job,
    list_jobs,
    note_retraction,
    retractions_of,
)
from capsafe_core.jobs.foreign import adopt, foreign_studies, origin_of
from capsafe_core.records import Rater
from capsafe_core.settings import ROOT, Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.lake import (
    Lake,
    connection,
    create_lake,
    open_lake,
    owners_table,
    parse_address,
    pull_jobs,
    push_jobs,
)
from tests.commands import command
from tests.jobs.test_bundles import bring_labels
from tests.postgres import PASSWORD, Server, postgres, postgres_folder
from tests.synthetic import write_study

PROGRAMS = postgres_folder()


def lacking() -> str:
    """Why no lake can be tried here; "" where one can."""
    try:
        for name in connection.EXTENSIONS:
            connection._extension(name)
    except CapsafeError as error:
        return error.message
    return "" if PROGRAMS else "PostgreSQL is not installed: apt-get install postgresql"


needs_lake = pytest.mark.skipif(bool(lacking()), reason=lacking())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    assert PROGRAMS is not None
    with postgres(PROGRAMS) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", PASSWORD)
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake")


@pytest.fixture(scope="module")
def address(server: Server, files: Path) -> str:
    """Of a lake that the tests share, each with owners of its own."""
    address = server.create("shared")
    create_lake(parse_address(address), str(files), Settings())
    return address


@contextmanager
def opened(address: str) -> Iterator[Lake]:
    with open_lake(parse_address(address), Settings()) as lake:
        yield lake


@pytest.fixture(scope="module")
def lake(address: str) -> Iterator[Lake]:
    with opened(address) as lake:
        yield lake


def write(root: Path, name: str = "one", rows: int = 3, code: str = "1") -> Job:
    """A job whose shard has some blocks, and gets more when it is written with more rows."""
    job = create_job(root, Manifest("judge", name, {}, study="made-up"))
    with Part(job) as part:
        for i in range(rows):
            if f"block {i}" not in part.done_units:
                part.write(f"block {i}", [Rater(f"judge-{i}", "judge", "rules", ("safety",), code)])
    return job


def shards(root: Path) -> dict[str, bytes]:
    return {f"{p.parent.name}/{p.name}": p.read_bytes() for p in root.glob("*/*.shard.jsonl")}


def lines_of(lake: Lake, owner: str) -> list[int]:
    """Jobs and lines that an owner has in a lake."""
    table = owners_table(lake).set_index("owner")
    return [int(n) for n in table.loc[owner, ["jobs", "lines"]]] if owner in table.index else []


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
    assert "1 jobs with 6 new lines" in command(ben, "archive", "push", address, "--owner", "Ben").stdout
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
def test_what_came_from_elsewhere_is_pushed_when_it_is_adopted_and_own_folders_are_left_alone(
    lake: Lake, tmp_path: Path
) -> None:
    mine, yours = tmp_path / "mine", tmp_path / "yours"
    write(mine, "shared"), write(yours, "own", rows=4), write(mine, "own", rows=2)
    push_jobs(lake, mine, "giver")
    own = shards(yours)
    pulled = pull_jobs(lake, yours, ["giver"])
    assert (pulled.jobs, pulled.there) == (1, 1)
    assert {name: shards(yours)[name] for name in own} == own
    assert push_jobs(lake, yours, "taker").foreign == 1
    assert lines_of(lake, "taker") == [1, 8]
    brought = next(j for j in list_jobs(yours) if j.manifest.name == "shared")
    origin = origin_of(brought.folder)
    assert origin is not None
    assert origin.source.startswith("giver through the lake keeper@")
    adopt(yours, "made-up", "Ada")
    assert push_jobs(lake, yours, "taker").jobs == 1


@needs_lake
def test_of_a_job_that_two_owners_have_the_longer_comes(lake: Lake, tmp_path: Path) -> None:
    for owner, rows in (("short", 2), ("long", 2), ("long", 4)):
        write(tmp_path / owner, "both", rows)
        push_jobs(lake, tmp_path / owner, owner)
    pull_jobs(lake, tmp_path / "new", ["short", "long"])
    assert shards(tmp_path / "new") == shards(tmp_path / "long")
    write(tmp_path / "short", "both", 4, code="2")
    push_jobs(lake, tmp_path / "short", "short")
    with pytest.raises(CapsafeError, match="different results of judge-both"):
        pull_jobs(lake, tmp_path / "newer", ["short", "long"])


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
    together, ends = threading.Barrier(3, timeout=60), list[int]()

    def run(owner: str) -> None:
        with opened(address) as own:
            together.wait()
            ends.append(push_jobs(own, tmp_path / owner, owner).lines)

    threads = [threading.Thread(target=run, args=(owner,)) for owner in ("left", "left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == [0, 60, 60]
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


OF = "WHERE owner = $owner"
DAMAGED, UNKNOWN = "not as it was pushed", "no push writes that"
SPOILT = [
    (f"UPDATE lake.capsafe.lines SET line = replace(line, 'judge-1', 'judge-X') {OF}", DAMAGED),
    (f"DELETE FROM lake.capsafe.lines {OF} AND start > 0", DAMAGED),
    (f"INSERT INTO lake.capsafe.lines SELECT * FROM lake.capsafe.lines {OF}", DAMAGED),
    (f"UPDATE lake.capsafe.files SET job_id = '../out' {OF}", UNKNOWN),
    (f"UPDATE lake.capsafe.files SET job_id = e'a\\x1b[2J' {OF}", UNKNOWN),
    (f"UPDATE lake.capsafe.files SET name = 'queued' {OF}", UNKNOWN),
    (f"UPDATE lake.capsafe.shards SET name = 'part-000.shard.jsonl/../x' {OF}", UNKNOWN),
    (f"UPDATE lake.capsafe.files SET content = '[]' {OF}", "manifest"),
    (f"DELETE FROM lake.capsafe.files {OF} AND name = 'manifest.json'", "not a job folder"),
]
"""what somebody does to a lake, and what a pull says"""


@needs_lake
@pytest.mark.parametrize(("place", "change", "says"), [(i, *s) for i, s in enumerate(SPOILT)])
def test_a_lake_that_somebody_spoilt_brings_nothing(
    lake: Lake, tmp_path: Path, place: int, change: str, says: str
) -> None:
    owner = f"spoilt {place}"
    write(tmp_path / "jobs", f"spoilt-{place}")
    push_jobs(lake, tmp_path / "jobs", owner)
    lake.connection.execute(change, {"owner": owner})
    with pytest.raises(CapsafeError, match=says) as error:
        pull_jobs(lake, tmp_path / "new", [owner])
    assert error.value.hint
    assert isinstance(error.value, DamagedError) == (says == DAMAGED)
    assert list((tmp_path / "new").iterdir()) == []


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


@needs_lake
def test_files_that_are_gone_or_elsewhere_are_told(server: Server, tmp_path: Path) -> None:
    address = server.create("gone")
    create_lake(parse_address(address), str(tmp_path / "files"), Settings())
    write(tmp_path / "jobs")
    with opened(address) as lake:
        push_jobs(lake, tmp_path / "jobs", "ada")
    for path in (tmp_path / "files").rglob("lines/*.parquet"):
        path.write_bytes(path.read_bytes()[:-9])
    done = command(tmp_path / "new", "archive", "pull", address)
    assert "missing or damaged" in done.stderr
    assert not list((tmp_path / "new" / "jobs").glob("*/"))
    (tmp_path / "files").rename(tmp_path / "elsewhere")
    for what in ("push", "pull"):
        assert "cannot be read here" in command(tmp_path, "archive", what, address).stderr
    assert not (tmp_path / "files").exists(), "nobody else would see what is pushed there"
