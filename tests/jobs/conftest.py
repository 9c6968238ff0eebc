"""Servers and studies of somebody else and of one's own, and what is private here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from capsafe_core.settings import Settings
from tests.jobs.runs import STUDY as OWN_STUDY
from tests.server import Seen, serving


@pytest.fixture
def attacker() -> Iterator[Seen]:
    """A server that the workspace does not allow."""
    with serving() as seen, pytest.MonkeyPatch.context() as patch:
        patch.delenv("CAPSAFE_SERVERS")
        yield seen


@pytest.fixture
def private(workspace: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local file, a key in the environment, and workers that run in this Python."""
    monkeypatch.setenv("SOMEBODYS_SECRET", "hunter2")
    monkeypatch.setenv("CAPSAFE_ENGINE_PYTHON", sys.executable)
    path = workspace.home / "private.csv"
    path.write_text("prompt\nmy private notes\n")
    return path


@pytest.fixture
def server() -> Iterator[Seen]:
    """A server that the workspace allows."""
    with serving() as seen:
        yield seen


@pytest.fixture
def study(workspace: Settings, server: Seen, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study file over the server, and workers that run in this Python."""
    monkeypatch.setenv("CAPSAFE_ENGINE_PYTHON", sys.executable)
    path = workspace.home / "study.toml"
    path.write_text(OWN_STUDY.format(url=server.base_url))
    return path
