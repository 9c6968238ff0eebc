"""A click on a mark that leads to another page has its effect once, and is not lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.ui import screen


def script() -> None:
    """A page with one chart, of which a mark was clicked; another page has none."""
    import plotly.graph_objects as go
    import streamlit as st

    from capsafe_core.ui import address, screen

    path = st.session_state.get("path", "incoherence")
    address.come_back(path)
    if path == "incoherence" and (mark := screen.chart(go.Figure(), "chart", "a chart")):
        screen.open_outputs(search=mark)


@pytest.fixture
def left_for(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that were switched to; no switch comes about, as when another event overtakes it."""
    pages: list[str] = []
    clicked = SimpleNamespace(selection=SimpleNamespace(points=[{"customdata": ["mark"]}]))
    monkeypatch.setattr(screen.st, "plotly_chart", lambda *_, **__: clicked)

    def switch(page: str, query_params: dict[str, Any]) -> None:
        pages.append(query_params["search"])

    monkeypatch.setattr(screen.st, "switch_page", switch)
    return pages


def test_a_click_whose_page_change_was_overtaken_goes_there_again(left_for: list[str]) -> None:
    app = AppTest.from_function(script).run()
    assert left_for == ["mark"]
    app.run()
    assert left_for == ["mark", "mark"]


def test_a_click_that_led_to_its_page_does_not_lead_there_again(left_for: list[str]) -> None:
    app = AppTest.from_function(script).run()
    for path in ("outputs", "incoherence"):
        app.session_state["path"] = path
        app.run()
    assert left_for == ["mark"]
