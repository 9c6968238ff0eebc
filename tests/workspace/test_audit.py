"""Who did what: every action needs a role, is noted before it is done, and its note is never changed."""

from __future__ import annotations

import ast
import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.labelling.desk import Desk
from capsafe_core.people import RESEARCHER, ROLES, Person
from capsafe_core.settings import ROOT, Settings
from capsafe_core.store import Store
from capsafe_core.workspace.actions import ACTIONS, act
from capsafe_core.workspace.audit import FILE, doing, read_audit
from capsafe_core.workspace.service import Service, ask_to
from tests.commands import command

SECRET = "sk-a-secret-that-nobody-may-read"


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    with Store(None) as store:
        found = Desk(store, tmp_path / "jobs")
        yield found
        found.close()


def put(patch: pytest.MonkeyPatch, name: str, do: Callable[..., Any]) -> None:
    """Something else in place of what an action does."""
    patch.setitem(ACTIONS, name, replace(ACTIONS[name], do=do))


def test_what_screens_and_commands_do_by_themselves_needs_what_the_registry_says() -> None:
    """They note their actions as those of a researcher, and as no mere looks."""
    noted = set()
    for path in (ROOT / "capsafe_core").glob("*/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name("noted" | "doing"), args=[ast.Constant(str(name)), *_]):
                    noted.add(name)
    assert len(noted) > 15
    assert len(noted & set(ACTIONS)) > 5
    mine = [ACTIONS[name] for name in noted & set(ACTIONS)]
    assert {(action.role, action.looks) for action in mine} == {(RESEARCHER, False)}


@pytest.mark.parametrize("role", ROLES)
def test_an_action_is_done_by_the_roles_that_may_and_noted_for_all(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    done: list[str] = []
    for name in ACTIONS:
        put(monkeypatch, name, lambda *_, name=name: done.append(name) or {})
        with suppress(NotAllowedError):
            act(desk, name, Person("Kim", role), {})
    assert done == [n for n in ACTIONS if ROLES.index(ACTIONS[n].role) <= ROLES.index(role)]
    rows = read_audit(desk.jobs).rows[::-1]
    assert [(row["action"], row["who"], row["role"]) for row in rows] == [(n, "Kim", role) for n in ACTIONS]
    assert [row["ended"] == "done" for row in rows] == [name in done for name in ACTIONS]
    assert {row["ended"] for row in rows} <= {"done", "refused"}


ANYTHING = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=20),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    arguments=some.dictionaries(
        some.sampled_from(["job", "study", "queue", "form", "more", "undo", "other"]), ANYTHING
    ),
    who=some.text(max_size=30),
)
def test_whatever_an_action_is_given_its_note_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, arguments: dict[str, Any], who: str
) -> None:
    jobs = tmp_path_factory.mktemp("any")
    with doing(jobs, Person(who), "export", arguments):
        pass
    found = read_audit(jobs)
    assert found.problems == []
    assert [(row["action"], row["ended"]) for row in found.rows] == [("export", "done")]


def test_no_text_and_no_key_gets_into_the_log(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    texts = ("text", "settings", "selection", "report", "provenance", "contents", "api_key", "token", "note")
    given = {**{name: SECRET for name in texts}, "study": ["x", SECRET], "form": {"key": SECRET}}
    for name in ACTIONS:

        def fail(*_: Any, **__: Any) -> None:
            raise CapsafeError(f"The line {SECRET} cannot be read.")

        put(monkeypatch, name, fail)
        with pytest.raises(CapsafeError):
            act(desk, name, Person("Kim"), given)
    text = (desk.jobs / FILE).read_text()
    assert SECRET not in text
    assert text.count('"failed"') == len(ACTIONS)
    assert (desk.jobs / FILE).stat().st_mode & 0o777 == 0o600


def lines_of(jobs: Path, count: int) -> list[bytes]:
    for number in range(count):
        with doing(jobs, Person("Kim"), "export", {"name": f"e{number}"}):
            pass
    return (jobs / FILE).read_bytes().splitlines(keepends=True)


def test_lines_are_only_added(tmp_path: Path) -> None:
    before = b"".join(lines_of(tmp_path, 3))
    after = b"".join(lines_of(tmp_path, 3))
    assert after.startswith(before)
    assert after.count(b"\n") == 12


@given(data=some.data())
def test_a_line_that_was_changed_or_taken_out_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: some.DataObject
) -> None:
    jobs = tmp_path_factory.mktemp("changed")
    lines = lines_of(jobs, 3)
    at = data.draw(some.integers(0, len(lines) - 2))
    how = data.draw(some.sampled_from(["drop", "swap", "who", "garbage", "again"]))
    changed = list(lines)
    if how == "drop":
        del changed[at]
    elif how == "swap":
        changed[at : at + 2] = changed[at : at + 2][::-1]
    elif how == "garbage":
        changed[at] = data.draw(some.binary(max_size=30)).replace(b"\n", b"") + b"\n"
    elif how == "again":
        changed.insert(at, changed[at])
    else:
        changed[at] = lines[at].replace(b'"id": "', b'"id": "0')
    (jobs / FILE).write_bytes(b"".join(changed))
    assert read_audit(jobs).problems
    (jobs / FILE).write_bytes(b"".join(lines))
    assert read_audit(jobs).problems == []


def test_a_line_that_was_cut_holds_up_nothing(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, 2)
    (tmp_path / FILE).write_bytes(b"".join(lines)[:-9])
    lines_of(tmp_path, 1)
    found = read_audit(tmp_path)
    assert [(row["about"], row["ended"]) for row in found.rows] == [
        ("name e0", "done"), ("name e1", "not finished"), ("name e0", "done"),
    ]  # fmt: skip
    assert len(found.problems) == 1
    assert "Line 4" in found.problems[0]
    assert [row["about"] for row in read_audit(tmp_path, 1).rows] == ["name e0"]


def test_many_at_once_do_not_break_the_chain(tmp_path: Path) -> None:
    threads = [threading.Thread(target=lines_of, args=(tmp_path, 5)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_audit(tmp_path)
    assert len(found.rows) == 30
    assert found.problems == []


@pytest.mark.parametrize("what", ["folder", "link", "pipe", "no folder"])
def test_what_cannot_be_noted_is_not_done_and_looking_goes_on(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path = desk.jobs / FILE
    if what == "no folder":
        desk.jobs.write_text("a file")
    else:
        desk.jobs.mkdir(exist_ok=True)
        {"folder": path.mkdir, "link": lambda: path.symlink_to("/dev/null"), "pipe": lambda: os.mkfifo(path)}[
            what
        ]()
    done: list[str] = []
    for name in ("retract", "look"):
        put(monkeypatch, name, lambda *_, name=name: done.append(name) or {})
    with pytest.raises(CapsafeError, match=r"audit.jsonl could not be"):
        act(desk, "retract", Person("Kim"), {})
    act(desk, "look", Person("Kim"), {})
    assert done == ["look"]


def test_the_socket_notes_who_asked_and_takes_no_name_that_is_none(workspace: Settings) -> None:
    with Store(None) as store:
        desk = Desk(store, workspace.jobs_path)
        service = Service(desk, workspace.socket_path)
        service.start()
        try:
            ask_to(workspace.socket_path, "list queues", Person("Ada"), {})
            for name in ("", "x" * 1000, "\n"):
                with pytest.raises(CapsafeError, match="A name has"):
                    ask_to(workspace.socket_path, "list queues", Person(name), {})
            with pytest.raises(CapsafeError, match="no action"):
                ask_to(workspace.socket_path, "drop tables", Person("Ada"), {})
        finally:
            service.close()
            desk.close()
    rows = read_audit(workspace.jobs_path).rows
    assert [(row["who"], row["action"], row["ended"]) for row in rows] == [("Ada", "list queues", "done")]


def test_the_log_is_a_command(tmp_path: Path) -> None:
    assert command(tmp_path, "allow", "server", "http://127.0.0.1:9/v1").returncode == 0
    assert command(tmp_path, "retract", "no-such-job").returncode == 2
    found = command(tmp_path, "audit", "--json")
    assert found.returncode == 0, found.stderr
    rows = json.loads(found.stdout)
    assert [(row["action"], row["ended"]) for row in rows[1:]] == [
        ("retract", "failed"),
        ("allow server", "done"),
    ]
    assert rows[-1]["about"] == "server http://127.0.0.1:9/v1"
    log = tmp_path / "jobs" / FILE
    log.write_text(log.read_text().replace("no-such-job", "another-job"))
    assert "does not follow" in command(tmp_path, "audit").stderr
