"""A click on a mark that leads to another page has its effect once, and is not lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from capsafe_core.ui import screen


def script() -> None:
    """A page with two charts, on which marks were clicked; another page has none."""
    import plotly.graph_objects as go
    import streamlit as st

    from capsafe_core.ui import address, screen

    path = st.session_state.get("path", "incoherence")
    address.come_back(path)
    if path == "incoherence":
        marks = [screen.chart(go.Figure(), key, "a chart") for key in ("first", "second")]
        if mark := marks[0] or marks[1]:
            screen.open_outputs(search=mark)


def click(app: AppTest, chart: str) -> None:
    app.session_state[chart] = SimpleNamespace(
        selection=SimpleNamespace(points=[{"customdata": [f"mark of {chart}"]}])
    )


@pytest.fixture
def left_for(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that were switched to; no switch comes about, as when another event overtakes it."""
    pages: list[str] = []
    monkeypatch.setattr(screen.st, "plotly_chart", lambda *_, key, **__: st.session_state.get(key))

    def switch(page: str, query_params: dict[str, Any]) -> None:
        pages.append(query_params["search"])

    monkeypatch.setattr(screen.st, "switch_page", switch)
    return pages


def test_a_click_whose_page_change_was_overtaken_goes_there_again(left_for: list[str]) -> None:
    app = AppTest.from_function(script)
    click(app, "first")
    app.run()
    app.run()
    assert left_for == ["mark of first"] * 2


def test_a_click_that_led_to_its_page_does_not_lead_there_again(left_for: list[str]) -> None:
    app = AppTest.from_function(script)
    click(app, "first")
    app.run()
    for path in ("outputs", "incoherence"):
        app.session_state["path"] = path
        app.run()
    assert left_for == ["mark of first"]


def test_of_two_clicks_the_later_one_counts(left_for: list[str]) -> None:
    app = AppTest.from_function(script)
    click(app, "first")
    app.run()
    click(app, "second")
    app.run()
    assert left_for == ["mark of first", "mark of second"]
