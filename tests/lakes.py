"""A lake for tests: whether one can be tried here, what is written to go into one, and what is in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, Manifest, Part, create_job
from capsafe_core.records import Rater
from capsafe_core.settings import Settings
from capsafe_core.store.lake import Lake, connection, open_lake, owners_table, parse_address
from tests.postgres import postgres_folder

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


@contextmanager
def opened(address: str) -> Iterator[Lake]:
    with open_lake(parse_address(address), Settings()) as lake:
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
