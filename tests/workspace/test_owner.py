"""Who owns the store: one process, named to others, and what stands in its way."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.engines.limit import at_most
from capsafe_core.errors import BusyError, CapsafeError
from capsafe_core.labelling.desk import Desk
from capsafe_core.people import role_of
from capsafe_core.settings import ROOT, Settings
from capsafe_core.store import Store
from capsafe_core.workspace import service
from capsafe_core.workspace.owner import Owner, close_owner
from capsafe_core.workspace.service import Service, from_owner, open_store, who
from tests.commands import command

OWN = (
    "from capsafe_core.settings import Settings\nfrom capsafe_core.workspace.owner import Owner\nowner = "
    "Owner(Settings(), 'http://127.0.0.1:8599/').start()\n"
)


HOLD = (
    "from capsafe_core.settings import Settings\nfrom capsafe_core.workspace.service import "
    "open_store\nstore = open_store(Settings())\n"
)


WAIT = "print('ready', flush=True)\nimport sys\nsys.stdin.read()\n"


def process(code: str, home: Path) -> subprocess.Popen[str]:
    """A process that has done what it is to do, and ends when its input does."""
    environment = {**os.environ, "CAPSAFE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    found = subprocess.Popen(
        [sys.executable, "-c", code + WAIT],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert found.stdout
    assert found.stdout.readline() == "ready\n"
    return found


def end(running: subprocess.Popen[str]) -> None:
    running.send_signal(signal.SIGCONT)
    running.communicate()


def test_a_stopped_owner_is_named_and_a_running_one_answers_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = process(OWN, tmp_path)
    try:
        assert command(tmp_path, "queue", "list").returncode == 0
        owner.send_signal(signal.SIGSTOP)
        with monkeypatch.context() as short:
            short.setattr(service, "SILENCE", 1.0)
            stopped = command(tmp_path, "queue", "list")
        assert stopped.returncode == 2
        assert f"process {owner.pid}" in stopped.stderr
        assert "does not answer" in stopped.stderr
        assert "Traceback" not in stopped.stderr
        owner.send_signal(signal.SIGCONT)
        assert command(tmp_path, "queue", "list").returncode == 0
    finally:
        end(owner)


def test_a_second_app_says_where_the_first_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = process(OWN, tmp_path)
    monkeypatch.setenv("CAPSAFE_HOME", str(tmp_path))
    try:
        with pytest.raises(BusyError, match=r"8599") as second:
            Owner(Settings())
        assert str(owner.pid) in second.value.message
        owner.kill()
        owner.wait()
        Owner(Settings()).start().close()  # the socket that was left behind is not an obstacle
    finally:
        end(owner)


def test_a_command_that_holds_the_store_is_waited_for_and_then_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = process(HOLD, tmp_path)
    monkeypatch.setenv("CAPSAFE_HOME", str(tmp_path))
    with pytest.raises(BusyError, match=rf"in use by another process, {holder.pid} \(-c"):
        open_store(Settings(), 0.5)
    opened: list[Owner] = []
    waiting = threading.Thread(target=lambda: opened.append(Owner(Settings(), patience=60)))
    waiting.start()
    end(holder)
    waiting.join()
    assert opened
    opened[0].close()


def test_a_command_hears_an_owner_that_is_only_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSAFE_HOME", str(tmp_path))
    settings = Settings()
    holder = process(HOLD, tmp_path)
    with Store(None) as store:
        desk = Desk(store, settings.jobs_path)
        later: list[Service] = []

        def listen() -> None:
            later.append(Service(desk, settings.socket_path))
            later[0].start()

        threading.Timer(1.0, listen).start()
        assert from_owner(settings, lambda path: who(path)["pid"], lambda _: 0) == os.getpid()
        later[0].close()
        desk.close()
    end(holder)


@pytest.mark.parametrize(
    "what", ["zero", "garbage", "cut", "flipped", "folder", "link to nothing", "no folder", "newer"]
)
def test_a_store_that_cannot_be_opened_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path = tmp_path / "home" / "store.duckdb"
    Store(path).close()
    raw = path.read_bytes()
    if what == "folder":
        path.unlink()
        path.mkdir()
    elif what == "link to nothing":
        path.unlink()
        path.symlink_to("/proc/nothing/x")
    elif what == "no folder":
        path = Path("/proc/nothing/store.duckdb")
    else:
        newer = raw[:12] + (9999).to_bytes(8, "little") + raw[20:]
        path.write_bytes(
            {
                "zero": b"",
                "garbage": b"x" * 5000,
                "cut": raw[: len(raw) // 2],
                "flipped": raw[:9000] + b"flip" + raw[9004:],
                "newer": newer,
            }[what]
        )
    monkeypatch.setenv("CAPSAFE_HOME", str(path.parent))
    if what in ("cut", "flipped"):  # DuckDB may not look at what was changed, or only later
        with contextlib.suppress(CapsafeError):
            Store(path).close()
    else:
        with pytest.raises(CapsafeError, match=re.escape(str(path))) as refused:
            Store(path)
        assert refused.value.hint
    done = command(path.parent, "rates")
    assert "Traceback" not in done.stderr
    assert done.returncode == 2


@pytest.mark.parametrize(
    "name", ["store.duckdb", "store.duckdb.wal", "store.duckdb.writes", "settings.toml", "roles.toml"]
)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop"])
def test_what_stands_in_a_files_place_is_a_sentence(workspace: Settings, name: str, kind: str) -> None:
    """The app waited for a pipe for ever, and read a device until memory was full."""
    path = workspace.home / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path)
    with at_most(60, AssertionError("it waits")), contextlib.suppress(CapsafeError):
        Owner(Settings(), patience=0.0).start().close()
    with at_most(60, AssertionError("it waits")), contextlib.suppress(CapsafeError):
        assert role_of("ada@example.org", workspace.roles_path) == "viewer"


def test_settings_that_duckdb_does_not_take_are_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CapsafeError, match="cannot be"):
        Store(tmp_path / "store.duckdb", memory_limit="a lot")


def test_an_app_without_a_store_says_so_on_every_page_and_opens_it_when_it_can(workspace: Settings) -> None:
    workspace.store_path.write_bytes(b"garbage")
    page = AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=120)
    try:
        page.run()
        assert not page.exception
        assert [title.value for title in page.title] == ["The store cannot be opened"]
        assert "capsafe rebuild" in page.text[1].value
        workspace.store_path.unlink()
        page.run()
        assert [title.value for title in page.title] != ["The store cannot be opened"]
    finally:
        close_owner()
