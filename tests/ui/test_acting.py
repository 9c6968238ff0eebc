"""What is clicked is done with the role that the person has then, and stands in the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.jobs.folder import Manifest, create_job
from capsafe_core.people import Person
from capsafe_core.settings import ROOT, Settings
from capsafe_core.ui import acting, annotate, export_list, import_form
from capsafe_core.ui import audit_log as audit_page
from capsafe_core.ui.acting import actor
from capsafe_core.workspace.audit import FILE, read_audit
from capsafe_core.workspace.owner import current_owner
from tests.conftest import made_up_home
from tests.labelling.desks import queue
from tests.ui.test_login import WHOLE, secrets

__all__ = ["secrets"]
HARMLESS = ("Switch user", "Back to the primary specification", "Open", "Simulate")
"""buttons that change nothing but the page"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with made_up_home(tmp_path_factory.mktemp("acting"), 4, 3) as found:
        queue(current_owner().desk, size=4)
        create_job(found / "jobs", Manifest("generate", "waits", {"study": "made-up"}))
        yield found


def page_of(name: str, person: Person) -> AppTest:
    app = AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=60)
    app.session_state["person"] = person
    app.run()
    app.switch_page(str(ROOT / "pages" / name))
    app.query_params["open"] = "all"
    return app.run()


def files_of(home: Path) -> dict[str, bytes]:
    """What a workspace holds, without the store, which an owner touches, and the log."""
    return {
        str(path): path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and "store.duckdb" not in path.name and path.name != FILE
    }


@pytest.mark.parametrize("name", ["labels.py", "runs.py", "data.py"])
def test_a_button_does_nothing_once_the_role_was_taken_back(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    page = page_of(name, Person("Ada"))
    assert not page.exception
    buttons = [b for b in page.button if b.label not in HARMLESS and not b.disabled]
    assert buttons
    if name == "labels.py":
        changed = next(area for area in page.text_area if area.label.startswith("Guidelines"))
        page = changed.set_value(f"{changed.value}\n# changed\n").run()
        buttons = [b for b in page.button if b.label not in HARMLESS and not b.disabled]
        assert "Keep this version" in [b.label for b in buttons]
    viewer = Person("Ada", "viewer")
    for module in (acting, annotate, export_list, import_form, audit_page):
        monkeypatch.setattr(module, "actor", lambda: viewer)
    before, noted = files_of(home), len(read_audit(home / "jobs").rows)
    for label, key in [(b.label, b.key) for b in buttons]:
        page.run()  # a refusal is shown in the place of what came after the button
        page = next(b for b in page.button if (b.label, b.key) == (label, key)).click().run()
        assert not page.exception, label
        assert any("only a" in w.value for w in page.warning), label
    assert files_of(home) == before
    rows = read_audit(home / "jobs").rows[: len(read_audit(home / "jobs").rows) - noted]
    assert {row["ended"] for row in rows} <= {"refused"}
    assert len(rows) >= len(buttons) - 1  # a preview is refused before it is begun


def test_what_was_done_is_on_the_screen_with_who_did_it(home: Path) -> None:
    page = page_of("labels.py", Person("Ada Lovelace"))
    next(b for b in page.button if b.label == "Pause").click().run()
    assert not page.exception
    page = page_of("data.py", Person("Ben"))
    shown = next(frame.value for frame in page.dataframe if "ended" in frame.value.columns)
    row = shown.iloc[0]
    assert (row["who"], row["action"], row["ended"]) == ("Ada Lovelace", "queue state", "done")
    assert "state paused" in row["about"]


def test_who_acts_is_asked_at_that_moment(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets.write_text(WHOLE)
    roles = Settings().home / "roles.toml"
    claims: dict[str, Any] = {"is_logged_in": True, "email": "ada@example.org", "email_verified": True}

    class User(dict[str, Any]):
        to_dict = dict.copy

    user = User(claims)
    monkeypatch.setattr(st, "user", user)
    for role in ("researcher", "annotator", "viewer"):
        roles.write_text(f'"ada@example.org" = "{role}"\n')
        assert actor() == Person("ada@example.org", role)
    user["is_logged_in"] = False
    with pytest.raises(NotAllowedError, match="not logged in"):
        actor()
    user.update(is_logged_in=True, email_verified="true")
    with pytest.raises(NotAllowedError, match="checked the address"):
        actor()
    secrets.write_text("[auth]\n")
    with pytest.raises(CapsafeError):
        actor()


def test_labels_of_somebody_who_has_gone_stay_with_the_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    ben = Person("Ben", "annotator")
    for now, sentence in (
        (Person("Eve", "annotator"), "Somebody else"),
        (Person("Ben", "viewer"), "only an"),
    ):
        monkeypatch.setattr(annotate, "actor", lambda now=now: now)
        with pytest.raises(CapsafeError, match=sentence):
            annotate._must_still_be(ben)
    monkeypatch.setattr(annotate, "actor", lambda: ben)
    annotate._must_still_be(ben)
