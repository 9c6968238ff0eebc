"""The store and its owner: who holds it, what a command hears, and what stands in the way of either."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from capsafe_core.errors import BusyError, CapsafeError, NotAllowedError
from capsafe_core.labelling.desk import Desk
from capsafe_core.people import Person
from capsafe_core.selection import Selection
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.workspace import actions, service
from capsafe_core.workspace.owner import Owner
from capsafe_core.workspace.service import Service, ask, ask_to, from_owner, who
from tests.commands import command


@pytest.fixture
def listening(workspace: Settings) -> Iterator[Settings]:
    with Store(None) as store:
        desk = Desk(store, workspace.jobs_path)
        found = Service(desk, workspace.socket_path, "http://127.0.0.1:1/")
        found.start()
        yield workspace
        found.close()
        desk.close()


def send(path: Path, raw: bytes, shut: bool = False) -> dict[str, Any]:
    """What is answered to anything at all; there always is an answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(path))
        connection.sendall(raw)
        if shut:
            connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            lines = [line for line in stream if line.strip()]
    assert len(lines) == 1
    found: dict[str, Any] = json.loads(lines[0])
    return found


REQUESTS = [
    b"",
    b"{",
    b"[]",
    b"5",
    b"null",
    b'"do"',
    b'"who"',
    b'["do"]',
    b'{"do": "look"}',
    b'{"do": 5, "person": "x", "arguments": 7}',
    b'{"table": []}',
    b'{"do": "look", "person": {}, "arguments": {"x": 1}}',
    b'{"table": "rates", "selection": 5}',
    b'{"table": "rates", "selection": {"goals": [1]}}',
    b"[" * 100_000,
    b"\xff\xfe",
    b'{"do": "export", "person": "x", "arguments": {"form": 1, "name": {}}}',
]


@pytest.mark.parametrize("request_line", REQUESTS, ids=range(len(REQUESTS)))
def test_every_request_is_answered(listening: Settings, request_line: bytes) -> None:
    assert send(listening.socket_path, request_line + b"\n")["error"]
    cut = send(listening.socket_path, request_line, shut=True)
    assert "ends before" in cut["error"]
    assert who(listening.socket_path) == {"address": "http://127.0.0.1:1/", "pid": os.getpid()}


def test_any_bytes_and_any_json_are_answered(listening: Settings) -> None:
    anything = some.recursive(
        some.none() | some.booleans() | some.floats() | some.text(),
        lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
        max_leaves=6,
    )
    words = some.sampled_from(["do", "table", "person", "arguments", "selection", *actions.ACTIONS])
    request = some.dictionaries(
        words,
        anything
        | words
        | some.dictionaries(some.sampled_from(["settings", "queue", "name", "form"]), anything),
    )

    @given(
        some.binary().map(lambda raw: raw.replace(b"\n", b"")) | request.map(lambda r: json.dumps(r).encode())
    )
    def try_one(raw: bytes) -> None:
        assert isinstance(send(listening.socket_path, raw + b"\n"), dict)

    try_one()


def test_too_long_a_request_is_answered(listening: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "LONGEST", 1000)
    assert "longer than" in send(listening.socket_path, b"x" * 300_000 + b"\n")["error"]
    assert "longer than" in send(listening.socket_path, b"x" * 1000, shut=True)["error"]
    with pytest.raises(CapsafeError, match="too much for one request"):
        ask_to(listening.socket_path, "look", Person("Ada"), {"text": "x" * 2000})


@pytest.mark.parametrize(
    "error",
    [
        BusyError("Somebody is at it.", "Wait."),
        NotAllowedError("No.", "Ask."),
        CapsafeError("So."),
        ZeroDivisionError("by zero"),
        MemoryError(),
        RecursionError("deep"),
        KeyError("x"),
        AssertionError(),
    ],
)
def test_what_goes_wrong_in_the_owner_is_heard_with_its_class(
    listening: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setitem(actions.ACTIONS, "look", actions.Action(fail))
    with pytest.raises(CapsafeError) as heard:
        ask_to(listening.socket_path, "look", Person("Ada"), {})
    if isinstance(error, CapsafeError):
        assert type(heard.value) is type(error)
        assert str(heard.value) == str(error)
    else:
        assert type(error).__name__ in heard.value.message
    monkeypatch.setitem(actions.ACTIONS, "look", actions.Action(lambda *_: {"x": object()}))
    with pytest.raises(CapsafeError, match="cannot be written down"):
        ask_to(listening.socket_path, "look", Person("Ada"), {})


def test_a_long_honest_computation_is_waited_for_and_silence_is_not(
    listening: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "BEAT", 0.05)
    monkeypatch.setattr(service, "SILENCE", 0.5)
    over = threading.Event()
    threading.Timer(1.5, over.set).start()
    monkeypatch.setitem(actions.ACTIONS, "look", actions.Action(lambda *_: {"done": over.wait(30)}))
    assert ask_to(listening.socket_path, "look", Person("Ada"), {}) == {"done": True}
    monkeypatch.setattr(service, "BEAT", 60.0)
    over.clear()
    with pytest.raises(CapsafeError, match=rf"process {os.getpid()}\) does not answer"):
        ask_to(listening.socket_path, "look", Person("Ada"), {})
    over.set()


def test_a_long_path_has_its_socket_in_a_private_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / ("long" * 20) / ("and longer" * 10) / "é"
    monkeypatch.setenv("CAPSAFE_HOME", str(home))
    settings = Settings()
    folder = settings.socket_path.parent
    assert len(os.fsencode(settings.socket_path)) < 100
    owner = Owner(settings).start()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert settings.socket_path.stat().st_mode & 0o777 == 0o600
    assert command(home, "queue", "list").returncode == 0
    assert who(settings.socket_path)["pid"] == os.getpid()
    owner.close()
    assert not settings.socket_path.exists()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAPSAFE_HOME", str(home.relative_to(tmp_path)))
    assert Settings().socket_path == settings.socket_path
    monkeypatch.setenv("CAPSAFE_HOME", str(home / "another"))
    assert Settings().socket_path != settings.socket_path


def test_a_folder_that_others_may_enter_holds_no_socket(tmp_path: Path) -> None:
    for make in (lambda p: p.mkdir(mode=0o755), lambda p: p.symlink_to(tmp_path), lambda p: p.write_text("")):
        folder = tmp_path / "capsafe-0"
        make(folder)
        with pytest.raises(CapsafeError, match="closed to others"):
            service.check_folder(folder / "x.sock")
        shutil.rmtree(folder) if folder.is_dir() and not folder.is_symlink() else folder.unlink()


@pytest.mark.parametrize("what", ["folder", "full folder", "file", "link"])
def test_what_stands_in_the_sockets_place_is_named_and_kept(workspace: Settings, what: str) -> None:
    path = workspace.socket_path
    if what == "file":
        path.write_text("mine")
    elif what == "link":
        path.symlink_to(workspace.home)
    else:
        path.mkdir()
    if what == "full folder":
        (path / "mine").write_text("mine")
    with pytest.raises(CapsafeError, match="in the place of the socket") as refused:
        Owner(workspace)
    assert refused.value.hint
    assert os.path.lexists(path)
    assert (
        command(workspace.home, "queue", "list").returncode == 0
    )  # commands do without, and the store was let go


def test_asking_where_nobody_listens(workspace: Settings) -> None:
    for make in (lambda p: None, lambda p: p.mkdir(), lambda p: p.rmdir() or p.write_text("")):
        make(workspace.socket_path)
        with pytest.raises(service.NobodyError):
            ask(workspace.socket_path, "rates", Selection())
    begun = time.monotonic()
    assert from_owner(workspace, who, lambda store: {"alone": 1}) == {"alone": 1}
    assert time.monotonic() - begun < service.PATIENCE
