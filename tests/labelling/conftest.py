"""A desk for every test of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from capsafe_core.labelling.desk import Desk
from tests.labelling.desks import copied, make_once


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up study with 120 harmful requests, its jobs and its store, to be copied."""
    return make_once(tmp_path_factory.mktemp("made"), 120, 10)


@pytest.fixture
def desk(made: Path, tmp_path: Path) -> Iterator[Desk]:
    with copied(made, tmp_path / "jobs") as found:
        yield found
