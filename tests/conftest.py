"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from capsafe_core.jobs.engine_environment import FOLDER
from capsafe_core.settings import ROOT, Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.ui.owner import close_owner
from tests.synthetic import write_study

settings.register_profile("no time is asserted", deadline=None)
settings.load_profile("no time is asserted")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a module run in one process, which has their fixtures; all that load torch in one, and all with a browser in one."""
    modules: dict[str, str] = {}
    for item in items:
        fixtures, module = getattr(item, "fixturenames", ()), str(item.path)
        for kind in ("engine", "browser"):
            if item.get_closest_marker(kind) or f"{kind}_python" in fixtures:
                modules[module] = kind
    for item in items:
        item.add_marker(pytest.mark.xdist_group(modules.get(str(item.path), str(item.path))))


@pytest.fixture(scope="session")
def made_up_jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Job folders of the made-up study; not to be changed."""
    root = tmp_path_factory.mktemp("made-up") / "jobs"
    write_study(root)
    return root


@pytest.fixture(scope="session")
def made_up_store(made_up_jobs: Path) -> Iterator[Store]:
    """A store in memory with the made-up study; not to be changed."""
    with Store(None) as store:
        _, problems = ingest_all(store, made_up_jobs)
        assert problems == []
        yield store


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty workspace that CAPSAFE_HOME points to."""
    monkeypatch.setenv("CAPSAFE_HOME", str(tmp_path))
    return Settings()


@pytest.fixture(scope="session")
def engine_python() -> Path:
    """The engine's interpreter; the test is skipped, with a reason, where it is not there."""
    python = FOLDER / "bin" / "python"
    if not python.exists():
        pytest.skip("the engine's environment is not installed: run `make engine`")
    return python


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    """The interpreter of vLLM's environment: CAPSAFE_VLLM_PYTHON, else the one that `make vllm` makes."""
    python = Path(os.environ.get("CAPSAFE_VLLM_PYTHON", ROOT / ".venv-vllm" / "bin" / "python"))
    if not python.exists():
        pytest.skip("vLLM's environment is not installed: run `make vllm`")
    return python


@pytest.fixture(scope="session")
def this_python() -> str:
    return sys.executable


@contextmanager
def made_up_home(home: Path, safety_size: int, capability_size: int) -> Iterator[Path]:
    """A workspace with the made-up study that CAPSAFE_HOME points to; what owned its store is closed at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAPSAFE_HOME", str(home))
        write_study(home / "jobs", safety_size=safety_size, capability_size=capability_size)
        try:
            yield home
        finally:
            close_owner()
