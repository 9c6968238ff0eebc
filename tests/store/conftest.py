"""A lake that the tests of a session share, each with owners of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from capsafe_core.settings import Settings
from capsafe_core.store.lake import Lake, create_lake, parse_address
from tests.lakes import PROGRAMS, opened
from tests.postgres import PASSWORD, Server, postgres


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    assert PROGRAMS is not None
    with postgres(PROGRAMS) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", PASSWORD)
        yield running


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake")


@pytest.fixture(scope="session")
def address(server: Server, files: Path) -> str:
    """Of a lake that the tests share, each with owners of its own."""
    address = server.create("shared")
    create_lake(parse_address(address), str(files), Settings())
    return address


@pytest.fixture(scope="session")
def lake(address: str) -> Iterator[Lake]:
    with opened(address) as lake:
        yield lake
