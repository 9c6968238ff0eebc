"""One look for every figure: colour means outcome, judges are shapes, recipes carry their names."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

OUTCOME_COLOURS = {"refusal": "#3f6fb5", "safe": "#4fb3a5", "unsafe": "#d1495b", "incoherent": "#c9c4b8", "no verdict": "#ffffff", "task answer": "#8d99ae"}
"""Colour-blind safe, and of different lightness so that a grey print keeps them apart."""
OUTCOME_WORDS = {"refusal": "refused", "safe": "answered safely", "unsafe": "answered harmfully", "incoherent": "made no sense", "no verdict": "no verdict", "task answer": "task answer"}
INK, FAINT, GRID = "#22313f", "#7b8794", "#e6e9ec"
JUDGE_SHAPES = ("circle", "square", "triangle-up", "cross", "x", "star", "hexagon", "triangle-down")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SHARES = [[0.0, "#ffffff"], [0.5, "#b9b2a1"], [1.0, "#5e574a"]]
"""White to dark for an incoherent share."""

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "Source Sans Pro, Segoe UI, Helvetica, Arial, sans-serif", "size": 14, "color": INK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 60, "r": 24, "t": 36, "b": 52},
        "xaxis": {"gridcolor": GRID, "zerolinecolor": GRID, "linecolor": FAINT, "ticks": "outside", "tickcolor": GRID, "title": {"standoff": 8, "font": {"size": 13}}},
        "yaxis": {"gridcolor": GRID, "zerolinecolor": GRID, "linecolor": FAINT, "title": {"standoff": 8, "font": {"size": 13}}},
        "hoverlabel": {"bgcolor": "white", "font": {"size": 13}},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left"},
    }
)


def figure(height: int, **layout: Any) -> go.Figure:
    """An empty figure in capsafe's look."""
    out = go.Figure()
    out.update_layout(template=TEMPLATE, height=height, **layout)
    return out


def run_name(recipe: str, seed: int, seeds: int) -> str:
    """A run's name: the recipe, and its seed where there are several."""
    return f"{recipe} · seed {seed}" if seeds > 1 else recipe


def seeds_by_recipe(table: pd.DataFrame) -> dict[str, int]:
    """How many seeds each recipe of a table with columns recipe and seed has."""
    return {str(recipe): int(n) for recipe, n in table.groupby("recipe")["seed"].nunique().items()}
