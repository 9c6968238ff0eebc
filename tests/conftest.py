"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings
from streamlit.components.v2 import manifest_scanner
from streamlit.components.v2.manifest_scanner import scan_component_manifests
from xdist.scheduler import LoadScopeScheduling

from capsafe_core.jobs import supervisor
from capsafe_core.jobs.engine_environment import FOLDER
from capsafe_core.settings import ROOT, Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.workspace.owner import close_owner
from tests.engines.tiny import TINY, InEngine
from tests.synthetic import write_study
from tests.warm import warm_interpreter

# Tests run side by side: threads of one library that wait for each other on shared cores wait longest.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
settings.register_profile("no time is asserted", deadline=None)
settings.load_profile("no time is asserted")


LONG = (
    "ui/test_pages_degenerate.py",
    "store/test_rebuild.py",
    "analysis/test_small_studies.py",
    "records/test_values.py",
    "store/test_store.py",
    "stats/test_agreement.py",
    "jobs/test_running.py",
    "importers/test_import.py",
    "report/test_slides.py",
    "report/test_documents.py",
    "report/test_report.py",
    "stats/test_validate.py",
    "workspace/test_service.py",
    "cli/test_cli.py",
    "test_demo.py",
)
"""modules that take longest"""
SECOND_BROWSER = ("test_hostile.py", "test_first_run.py", "test_installed.py", "test_data.py")
"""of the modules with a browser, those that take about half of their time"""


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Tests side by side, `pytest -n`: those of a module in one process, all that load torch in one, those
    with a browser in two."""
    return ByModule(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest chains first, so that none of them begins when the others end."""
    places = {name: place for place, name in enumerate(("browser", "engine", "second browser", *LONG))}
    items.sort(key=lambda item: places.get(chain(item.nodeid).removeprefix("tests/"), len(places)))


def chain(nodeid: str) -> str:
    """Tests of one chain run in one process: a module, all that load torch, or half of those with a
    browser."""
    module = nodeid.partition("::")[0]
    if "/e2e/" in module:
        return "second browser" if module.endswith(SECOND_BROWSER) else "browser"
    return "engine" if _loads_torch(module) else module


class ByModule(LoadScopeScheduling):
    """A module to a process; modules that would slow each other down count as one."""

    def _split_scope(self, nodeid: str) -> str:
        return chain(nodeid)


@cache
def _loads_torch(module: str) -> bool:
    """Whether it takes one of the fixtures; settings have a field of the same name."""
    text = (ROOT / module).read_text(encoding="utf-8")
    return "engine_python: Path" in text or "in_engine: InEngine" in text


@pytest.fixture(scope="session", autouse=True)
def installed_components() -> Iterator[None]:
    """Every `AppTest` looks through all that is installed for components of streamlit's; once is enough."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(scan_component_manifests))
        yield


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
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """An empty workspace that CAPSAFE_HOME points to; its owner, where a page started one, does not stay for
    the tests that come after."""
    monkeypatch.setenv("CAPSAFE_HOME", str(tmp_path))
    yield Settings()
    owner = getattr(sys, "_capsafe_owner", None)
    if owner is not None and owner.settings.home == tmp_path:
        close_owner()


@pytest.fixture
def workers_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers run in this process; `test_running`, `test_worker` and `test_kill` have those that are
    processes."""
    from tests.workers import SUBPROCESS

    monkeypatch.setattr(supervisor, "subprocess", SUBPROCESS)


@pytest.fixture(scope="session")
def cold_engine_python() -> Path:
    """The engine's interpreter itself; the test is skipped, with a reason, where it is not there."""
    python = FOLDER / "bin" / "python"
    if not python.exists():
        pytest.skip("the engine's environment is not installed: run `make engine`")
    return python


@pytest.fixture(scope="session")
def engine_python(cold_engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The engine's interpreter with torch loaded: its processes are forks of one (`tests.warm`)."""
    with warm_interpreter(cold_engine_python, tmp_path_factory.mktemp("warm")) as python:
        yield python


@pytest.fixture(scope="module")
def in_engine(engine_python: Path) -> Iterator[InEngine]:
    """A process in the engine's environment that runs pieces of code."""
    process = InEngine(engine_python)
    yield process
    process.close()


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, in_engine: InEngine) -> str:
    """The folder of a random model that answers in no time; not to be changed."""
    folder = str(tmp_path_factory.mktemp("tiny") / "model")
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    in_engine(TINY + 'tiny(sys.argv[1], "llama", sys.argv[2])\nprint("{}")', folder, template)
    return folder


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
def made_up_home(home: Path, safety_size: int, capability_size: int, variant: str = "") -> Iterator[Path]:
    """A workspace with the made-up study that CAPSAFE_HOME points to; what owned its store is closed at the
    end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAPSAFE_HOME", str(home))
        write_study(home / "jobs", safety_size, capability_size, variant=variant)
        try:
            yield home
        finally:
            close_owner()
