"""The names at the ends of lines do not lie on each other."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.figures.training import NAME, along_training, spread

LAST = {("sums", 0): 0.16, ("sums", 1): 0.10, ("hot", 0): 0.145}


def test_runs_that_end_at_one_height_have_their_names_apart() -> None:
    rows = [
        {
            "recipe": recipe,
            "seed": seed,
            "step": step,
            "dataset": "sums",
            "checkpoint_id": f"{recipe}{seed}{step}",
        }
        | {"goal": 0.6, "capability": 0.5, "capability_low": 0.4, "capability_high": 0.6, "incoherent": 0.0}
        | {"unsafe": rate, "unsafe_low": rate - 0.05, "unsafe_high": rate + 0.05}
        for (recipe, seed), end in LAST.items()
        for step, rate in ((0, 0.06), (100, end))
    ]
    fig = along_training(pd.DataFrame(rows), ["sums", "hot"])
    for axis, top in (("y", 1.05), ("y2", 1.1 * 0.21)):
        heights = {a.text: a.y for a in fig.layout.annotations if a.yref == axis and a.xshift}
        assert len(heights) == 3
        assert all(b - a >= NAME * top - 1e-9 for a, b in pairwise(sorted(heights.values())))
    assert heights["sums · seed 1"] == 0.10, "the lowest stays at its line"
    assert sorted(heights, key=heights.__getitem__) == ["sums · seed 1", "hot", "sums · seed 0"]


@given(st.lists(st.floats(0, 1), max_size=8).map(sorted), st.floats(0, 0.2))
def test_what_is_apart_already_stays(heights: list[float], gap: float) -> None:
    placed = spread(heights, gap)
    assert all(b - a >= gap - 1e-9 for a, b in pairwise(placed))
    assert all(new >= old for new, old in zip(placed, heights, strict=True))
    if all(b - a >= gap for a, b in pairwise(heights)):
        assert placed == heights
