"""The names at the ends of lines do not lie on each other."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.figures.training import NAME, along_training, spread

LAST = {("sums", 0): (0.5, 0.16), ("sums", 1): (0.5, 0.10), ("hot", 0): (0.5, 0.145)}


def drawn(ends: Mapping[tuple[str, int], tuple[float, float]]) -> go.Figure:
    """Runs of two checkpoints that end at an accuracy and an unsafe rate."""
    rows = [
        {"recipe": recipe, "seed": seed, "step": step, "dataset": "sums", "goal": 0.6, "incoherent": 0.0}
        | {"checkpoint_id": f"{recipe}{seed}{step}"}
        | around("capability", accuracy)
        | around("unsafe", unsafe)
        for (recipe, seed), end in ends.items()
        for step, (accuracy, unsafe) in ((0, (0.1, 0.06)), (100, end))
    ]
    return along_training(pd.DataFrame(rows), list(dict.fromkeys(recipe for recipe, _ in ends)))


def around(name: str, rate: float) -> dict[str, float]:
    return {name: rate, f"{name}_low": max(0.0, rate - 0.05), f"{name}_high": min(1.0, rate + 0.05)}


def names(fig: go.Figure, axis: str) -> dict[str, float]:
    return {a.text: a.y for a in fig.layout.annotations if a.yref == axis and a.xshift}


def assert_apart_and_in_range(fig: go.Figure) -> None:
    for axis, of in (("y", fig.layout.yaxis), ("y2", fig.layout.yaxis2)):
        low, top = of.range
        heights = sorted(names(fig, axis).values())
        assert all(b - a >= NAME * top - 1e-9 for a, b in pairwise(heights))
        assert low <= heights[0]
        assert heights[-1] <= top


def test_runs_that_end_at_one_height_have_their_names_apart() -> None:
    fig = drawn(LAST)
    assert_apart_and_in_range(fig)
    heights = names(fig, "y2")
    assert heights["sums · seed 1"] == 0.10, "the lowest stays at its line"
    assert sorted(heights, key=heights.__getitem__) == ["sums · seed 1", "hot", "sums · seed 0"]


@pytest.mark.parametrize("end", [0.0, 0.95, 1.0])
def test_every_name_of_a_dozen_runs_is_in_its_panel(end: float) -> None:
    fig = drawn({(f"recipe-{i}", 0): (end, end) for i in range(12)})
    assert_apart_and_in_range(fig)
    assert len(names(fig, "y")) == len(names(fig, "y2")) == 12


def test_more_runs_than_there_is_room_for_are_counted() -> None:
    """A run of each recipe has its name; of too many recipes those from the lowest to the highest end."""
    fig = drawn({(f"recipe-{i}", s): (0.95 + s / 100, 0.9 - s / 100) for i in range(12) for s in range(3)})
    assert_apart_and_in_range(fig)
    assert set(names(fig, "y")) == {*(f"recipe-{i} · seed 0" for i in range(12)), "and 24 more"}
    many = drawn({(f"recipe-{i}", 0): (0.5, i / 40) for i in range(41)})
    assert_apart_and_in_range(many)
    heights = names(many, "y2")
    shown = sorted(heights, key=heights.__getitem__)
    assert shown[:2] == ["and 27 more", "recipe-0"]
    assert shown[-1] == "recipe-40"
    assert len(shown) == 15


@given(st.lists(st.floats(0, 1), max_size=8).map(sorted), st.floats(0, 0.12))
def test_names_are_moved_only_as_far_as_they_must(heights: list[float], gap: float) -> None:
    placed = spread(heights, gap, 1.0)
    assert all(b - a >= gap - 1e-9 for a, b in pairwise(placed))
    assert all(-1e-9 <= height <= 1.0 for height in placed)
    if all(b - a >= gap for a, b in pairwise(heights)):
        assert placed == pytest.approx(heights)
