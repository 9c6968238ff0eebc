"""Apps over the job folders of another one show what it shows, change nothing, and say how old it is."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.analysis.by_name import table
from capsafe_core.errors import NotAllowedError
from capsafe_core.jobs.supervisor import run_graph
from capsafe_core.people import Person
from capsafe_core.replica import STALE, is_stale
from capsafe_core.selection import Selection
from capsafe_core.settings import ROOT, Settings
from capsafe_core.workspace.actions import ACTIONS, act
from capsafe_core.workspace.owner import Owner
from tests.commands import command

OWNER = "http://127.0.0.1:8599"
SHOWN = ("rates", "paths", "match", "incoherence", "agreement")


@pytest.fixture
def homes(tmp_path: Path, made_up_jobs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the job folders that everybody shares; whoever starts from here on is a replica."""
    shutil.copytree(made_up_jobs, tmp_path / "owner" / "jobs")
    monkeypatch.setenv("CAPSAFE_REPLICA_OF", OWNER)
    return tmp_path


@pytest.fixture
def replicas(homes: Path) -> Iterator[list[Owner]]:
    made = [Owner(Settings(home=homes / name, jobs=homes / "owner" / "jobs")) for name in ("one", "two")]
    yield made
    for replica in made:
        replica.store.close()


def shown(app: Owner) -> dict[str, str]:
    return {name: table(app.store, name, Selection()).to_json(double_precision=15) for name in SHOWN}


def plain(label: str) -> str:
    """A label as it is read."""
    return label.replace("\\", "").replace("\N{WORD JOINER}", "")


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and when it was last written."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_replicas_show_what_the_owner_shows_also_what_comes_later(
    homes: Path, replicas: list[Owner], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = homes / "owner" / "jobs"
    with monkeypatch.context() as here:
        here.delenv("CAPSAFE_REPLICA_OF")
        owner = Owner(Settings(home=homes / "owner"))
    try:
        late = max(jobs.glob("generate-made-up-harsh-*"))
        shutil.move(late, homes / "late")
        for now in ("without it", "with it"):
            for app in (owner, *replicas):
                app.look()
            first, *others = (shown(app) for app in (owner, *replicas))
            assert others == [first, first], now
            if now == "without it":
                before = first
                shutil.move(homes / "late", late)
        assert first != before
        assert "dressed" in first["rates"]
    finally:
        owner.close()


def test_a_replica_writes_nothing_and_starts_nothing_beside_the_owner(
    homes: Path, replicas: list[Owner], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(homes / "owner")
    monkeypatch.setattr("capsafe_core.jobs.supervisor.start_worker", lambda *_: pytest.fail("a job starts"))
    for replica in replicas:
        replica.look()
        with pytest.raises(NotAllowedError):
            replica.desk.hand_out(Person("Ada"), "any queue")
        with pytest.raises(NotAllowedError):
            run_graph([], homes / "owner" / "jobs", print)
        with pytest.raises(NotAllowedError):
            replica.desk.books.remark(Person("Ada"), "an output", "a cell", "star", "")
        for name, action in ACTIONS.items():
            if not action.looks:
                with pytest.raises(NotAllowedError) as refused:
                    act(replica.desk, name, Person("Ada"), {})
                assert OWNER in refused.value.hint
        act(replica.desk, "look", Person("Ada"), {})
        with pytest.raises(NotAllowedError):
            act(replica.desk, "audit", Person("Ada", "viewer"), {})
    shutil.move(homes / "owner" / "jobs", homes / "elsewhere")
    looked = replicas[0].looked
    replicas[0].look()
    assert (replicas[0].looked, len(replicas[0].problems)) == (looked, 1)
    shutil.move(homes / "elsewhere", homes / "owner" / "jobs")
    assert contents(homes / "owner") == before


def test_a_replica_has_the_pages_of_a_viewer_and_says_of_what_and_as_of_when_it_is(
    homes: Path, monkeypatch: pytest.MonkeyPatch, workspace: Settings
) -> None:
    monkeypatch.setenv("CAPSAFE_JOBS", str(homes / "owner" / "jobs"))
    router = AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=60).run()
    said = f"Read-only replica of {OWNER}, as of "
    assert not router.exception
    assert any(said in plain(caption.value) for caption in router.caption)
    assert not any(said in plain(warning.value) for warning in router.warning)
    with pytest.raises(ValueError, match="navigation page"):
        router.switch_page(str(ROOT / "pages" / "annotate.py"))
    assert not is_stale(time.time() - STALE / 2)
    monkeypatch.setattr("capsafe_core.ui.link.is_stale", lambda looked: is_stale(looked - STALE))
    router.switch_page(str(ROOT / "pages" / "overview.py")).run()
    assert any(said in plain(warning.value) for warning in router.warning)


def test_a_replica_without_job_folders_of_another_app_is_refused(tmp_path: Path) -> None:
    found = command(tmp_path, "app", "--replica-of", OWNER)
    assert found.returncode == 2
    assert "CAPSAFE_JOBS" in found.stderr
    wrong = command(tmp_path, "app", "--replica-of", "the other one")
    assert wrong.returncode == 2
    assert "replica_of" in wrong.stderr
