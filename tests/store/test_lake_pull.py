"""What a pull brings out of a lake, what it leaves alone, and what it says of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from capsafe_core.errors import CapsafeError, DamagedError
from capsafe_core.jobs.folder import list_jobs
from capsafe_core.jobs.foreign import adopt, origin_of
from capsafe_core.settings import Settings
from capsafe_core.store.lake import Lake, create_lake, parse_address, pull_jobs, push_jobs
from tests.commands import command
from tests.lakes import lines_of, needs_lake, opened, shards, write
from tests.postgres import USER, Server


@needs_lake
def test_what_came_from_elsewhere_is_pushed_when_it_is_adopted_and_own_folders_are_left_alone(
    lake: Lake, tmp_path: Path
) -> None:
    mine, yours = tmp_path / "mine", tmp_path / "yours"
    write(mine, "shared"), write(yours, "own", rows=4), write(mine, "own", rows=2)
    push_jobs(lake, mine, "giver")
    own = shards(yours)
    pulled = pull_jobs(lake, yours, ["giver"])
    assert (pulled.jobs, pulled.there, pulled.left) == (1, 1, ())
    assert pulled.waiting == pulled.own == ("made-up",)
    assert {name: shards(yours)[name] for name in own} == own
    assert push_jobs(lake, yours, "taker").foreign == 1
    assert lines_of(lake, "taker") == [1, 8]
    brought = next(j for j in list_jobs(yours) if j.manifest.name == "shared")
    origin = origin_of(brought.folder)
    assert origin is not None
    assert origin.source == f"giver through the lake created {lake.created} UTC"
    adopt(yours, "made-up", "Ada")
    assert push_jobs(lake, yours, "taker").jobs == 1
    grown = [write(mine, name, rows=6).job_id for name in ("shared", "own")]
    push_jobs(lake, mine, "giver")
    again = pull_jobs(lake, yours, ["giver"])
    assert (again.jobs, again.grown, again.there, set(again.left)) == (0, 0, 0, set(grown))


@needs_lake
def test_what_came_before_grows_however_the_address_is_typed(
    address: str, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, yours = tmp_path / "mine", tmp_path / "yours"
    write(mine, "typed"), push_jobs(lake, mine, "typist")
    assert pull_jobs(lake, yours, ["typist"]).own == ()
    write(mine, "typed", rows=5), push_jobs(lake, mine, "typist")
    monkeypatch.setenv("PGUSER", USER)
    with opened(address.replace(f"{USER}@", "")) as other:
        assert other.name != lake.name
        assert pull_jobs(other, yours, ["typist"]).grown == 1
    assert "1 job of typist is here already" in pull_jobs(lake, yours, ["typist"]).words


@needs_lake
def test_damage_of_what_came_before_is_not_laid_on_the_lake(lake: Lake, tmp_path: Path) -> None:
    mine, yours = tmp_path / "mine", tmp_path / "yours"
    write(mine, "spoilt here"), push_jobs(lake, mine, "whole")
    pull_jobs(lake, yours, ["whole"])
    path = list_jobs(yours)[0].path(0, "shard.jsonl")
    path.write_bytes(path.read_bytes().replace(b"judge-1", b"judge-X"))
    write(mine, "spoilt here", rows=5), push_jobs(lake, mine, "whole")
    before = shards(yours)
    with pytest.raises(DamagedError, match="here is damaged"):
        pull_jobs(lake, yours, ["whole"])
    assert shards(yours) == before


@needs_lake
def test_of_a_job_that_two_owners_have_the_longer_comes(lake: Lake, tmp_path: Path) -> None:
    for owner, rows in (("short", 2), ("long", 2), ("long", 4)):
        write(tmp_path / owner, "both", rows)
        push_jobs(lake, tmp_path / owner, owner)
    pull_jobs(lake, tmp_path / "new", ["short", "long"])
    assert shards(tmp_path / "new") == shards(tmp_path / "long")
    write(tmp_path / "long", "both", 6)
    push_jobs(lake, tmp_path / "long", "long")
    write(tmp_path / "between", "both", 5), push_jobs(lake, tmp_path / "between", "between")
    pull_jobs(lake, tmp_path / "all", ["between", "short", "long"])
    assert shards(tmp_path / "all") == shards(tmp_path / "long")
    write(tmp_path / "short", "both", 4, code="2")
    push_jobs(lake, tmp_path / "short", "short")
    with pytest.raises(CapsafeError, match="different results of judge-both"):
        pull_jobs(lake, tmp_path / "newer", ["short", "long"])


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
