"""The list of a figure's marks says what hovering says, and gives back what a click gives back."""

from __future__ import annotations

import plotly.graph_objects as go
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.figures.marks import marks_of
from capsafe_core.text import visible

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)


@given(st.lists(st.tuples(NAMES, st.floats(0, 1)), min_size=1, max_size=6))
def test_every_mark_is_found_by_its_own_text(marks: list[tuple[str, float]]) -> None:
    ids = [f"id-{place}" for place in range(len(marks))]
    fig = go.Figure()
    fig.add_scatter(
        x=[value for _, value in marks],
        hovertext=[name for name, _ in marks],
        customdata=[[one] for one in ids],
        hovertemplate="%{hovertext}<br>%{x:.1%} unsafe: click to read<extra>more</extra>",
    )
    listed = marks_of(fig, 9)
    assert sorted(listed.values()) == sorted(ids)
    for text, mark in listed.items():
        assert f"{marks[ids.index(mark)][1]:.1%} unsafe" in text
        assert "click" not in text
        assert "<" not in text.removeprefix(visible(marks[ids.index(mark)][0].strip()))


def test_of_more_marks_than_are_listed_there_is_no_list() -> None:
    fig = go.Figure()
    fig.add_scatter(x=[1, 2, 2], y=[1, 1, 1], customdata=[["a"], ["b"], ["b"]])
    assert marks_of(fig, 2) == {"1, 1": "a", "2, 1": "b"}
    assert marks_of(fig, 1) == {}


def test_what_opens_nothing_is_not_listed() -> None:
    fig = go.Figure()
    fig.add_scatter(x=[1, 2], y=[1, 2])
    fig.add_scatter(x=[1], y=[1], customdata=[["a"]], hoverinfo="skip")
    assert marks_of(fig, 9) == {}


def test_a_text_alone_and_a_value_of_the_marker_are_read() -> None:
    fig = go.Figure()
    fig.add_scatter(
        x=[1, 2],
        y=[0.25, 0.5],
        text="sums",
        marker={"color": [0.0, 1.0]},
        customdata=[["a"], ["b"]],
        hovertemplate="%{text}, step %{x}<br>%{y:.0%}<br>%{marker.color:.0%} incoherent",
    )
    assert marks_of(fig, 9) == {
        "sums, step 1, 25%, 0% incoherent": "a",
        "sums, step 2, 50%, 100% incoherent": "b",
    }
