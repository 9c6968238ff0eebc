"""Figures from memory: the same values give the same figure, and any other value another one."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.ui import drawn as module
from capsafe_core.ui.drawn import LARGEST, drawn

VALUES = st.lists(
    st.tuples(st.text(max_size=5), st.floats(allow_infinity=False), st.booleans()), min_size=1, max_size=6
)
COLUMNS = ["name", "rate", "primary"]
calls: list[pd.DataFrame] = []


def bars(table: pd.DataFrame, words: dict[str, str], chosen: str = "") -> go.Figure:
    calls.append(table)
    return go.Figure(go.Bar(x=table["name"], y=table["rate"], text=[words.get(chosen, chosen)] * len(table)))


def lines(table: pd.DataFrame, words: dict[str, str], chosen: str = "") -> go.Figure:
    return go.Figure(go.Scatter(x=table["name"], y=table["rate"], name=chosen))


@given(VALUES, VALUES, st.text(max_size=5), st.text(max_size=5))
def test_a_figure_is_that_of_its_values(
    one: list[tuple[str, float, bool]], two: list[tuple[str, float, bool]], a: str, b: str
) -> None:
    for rows, chosen in ((one, a), (two, a), (one, b), (one, a)):
        table = pd.DataFrame(rows, columns=COLUMNS)
        for draw in (bars, lines):
            found = drawn(draw, table, {"x": "y"}, chosen=chosen)
            assert found.to_json() == draw(table, {"x": "y"}, chosen=chosen).to_json()


def test_the_same_values_are_drawn_once_and_another_column_name_again() -> None:
    table = pd.DataFrame([("once", 0.5, True)], columns=COLUMNS)
    calls.clear()
    assert drawn(bars, table, {}) is drawn(bars, table.copy(), {})
    assert len(calls) == 1
    drawn(bars, table.assign(more=1), {})
    assert len(calls) == 2


def test_large_tables_and_what_cannot_be_compared_are_drawn_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: object) -> go.Figure:
        raise AssertionError("was looked up")

    monkeypatch.setattr(module, "_drawn", never)
    table = pd.DataFrame({"name": ["x"] * (LARGEST + 1), "rate": 0.5})
    assert len(drawn(bars, table, {}).data[0].x) == LARGEST + 1
