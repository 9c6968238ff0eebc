"""A jobs folder for each module, and the key of the servers that tests ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines.asking_servers import KEY


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A jobs folder of a workspace of its own."""
    return tmp_path_factory.mktemp("engine") / "jobs"


@pytest.fixture
def planted_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SERVER_KEY", KEY)
