"""A line style means one recipe in every figure, whichever recipes a figure shows and in what order."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.figures.mitigations import mitigated_plane
from capsafe_core.figures.overview import gained_against_unsafe
from capsafe_core.figures.style import DASHES, dash_of
from capsafe_core.figures.training import along_training, capability_against_unsafe
from capsafe_core.figures.worst_of_k import success_among

RECIPES = [f"recipe-{letter}" for letter in "abcdef"]


def paths(shown: list[str]) -> pd.DataFrame:
    """Two seeds of each recipe; a checkpoint's id begins with its recipe."""
    rows = [
        {"recipe": r, "seed": seed, "step": step, "checkpoint_id": f"{r} {seed} {step}", "dataset": "sums"}
        for r in shown
        for seed in (0, 1)
        for step in (0, 10)
    ]
    rates = ["capability", "unsafe", "incoherent", "gained", "judges_low", "judges_high", "goal"]
    rates += [f"{rate}_{end}" for rate in ("capability", "unsafe") for end in ("low", "high")]
    return pd.DataFrame(rows).assign(**dict.fromkeys(rates, 0.5))


def worst(shown: list[str]) -> pd.DataFrame:
    rows = [{"name": r, "place": "goal", "k": k, "unsafe": 0.5} for r in shown for k in (1, 2)]
    return pd.DataFrame(rows).assign(unsafe_low=0.4, unsafe_high=0.6)


FIGURES: dict[str, Callable[[list[str]], go.Figure]] = {
    "along": lambda shown: along_training(paths(shown), RECIPES),
    "plane": lambda shown: capability_against_unsafe(paths(shown), RECIPES),
    "gained": lambda shown: gained_against_unsafe(paths(shown), RECIPES, shown[0]),
    "mitigated": lambda shown: mitigated_plane(paths(shown), shown[0], [], 0.5, RECIPES),
    "worst": lambda shown: success_among(worst(shown), RECIPES),
}


@pytest.mark.parametrize("name", FIGURES)
@given(shown=st.lists(st.sampled_from(RECIPES), min_size=1, max_size=6, unique=True))
def test_a_recipe_has_one_line_style(name: str, shown: list[str]) -> None:
    lines = [t for t in FIGURES[name](shown).data if t.line.dash is not None]
    drawn = {r for t in lines for r in shown if t.line.dash == dash_of(r, RECIPES)}
    assert drawn == set(shown)
    for trace in lines:
        ids = [str(row[0]).split()[0] for row in trace.customdata] if trace.customdata is not None else []
        assert all(trace.line.dash == dash_of(recipe, RECIPES) for recipe in ids)


def test_styles_differ_and_what_is_not_a_recipe_is_solid() -> None:
    assert [dash_of(r, RECIPES) for r in RECIPES] == list(DASHES)
    assert dash_of("a checkpoint", RECIPES) == "solid"
