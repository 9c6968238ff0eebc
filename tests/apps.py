"""The app's pages in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.people import Person
from capsafe_core.settings import ROOT
from capsafe_core.workspace.owner import close_owner

ROUTER = str(ROOT / "capsafe_core" / "ui" / "router.py")


@contextmanager
def app_over(home: Path, timeout: int = 60) -> Iterator[AppTest]:
    """The app over a workspace as Ada sees it, before its first run; its owner is closed at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAPSAFE_HOME", str(home))
        try:
            app = AppTest.from_file(ROUTER, default_timeout=timeout)
            app.session_state["person"] = Person("Ada")
            yield app
        finally:
            close_owner()
