"""One look for every figure: colour means outcome, judges are shapes, recipes carry their names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from capsafe_core.text import visible

OUTCOME_COLOURS = {
    "refusal": "#2f5c9e",
    "safe": "#4fb3a5",
    "unsafe": "#cc4155",
    "incoherent": "#c9c4b8",
    "no verdict": "#ffffff",
    "task answer": "#8d99ae",
}
"""Colour-blind safe, and of different lightness so that a grey print keeps them apart. Red and blue mean
outcomes, and nothing else."""
HATCH = "#857d6c"
"""of incoherent responses, where their colour is too light for a line"""
PAPER, INK, FAINT, GRID = "#ffffff", "#22313f", "#5c6874", "#e6e9ec"
ON_STRONG, ON_SOFT = "#fffffe", "#22313e"
"""texts on marks: on refusals and unsafe responses; on the other outcomes. Each has its own value, since a
dark page turns paper and ink and leaves these."""
BACKGROUND = "#8b96a1"
"""of what is there for comparison only, or open"""
STRIPE = "#a89f8e"
"""of incoherent responses: the lines on a bar of their colour, on which a text can be read"""
EDGE = "#b8bfc6"
"""around squares, and between two marks of a row"""
AMOUNT, UNCHECKED = "#5b7083", "#aeb9c4"
"""of counts; of outputs whose coherence was not judged"""
COVERED = [[0.0, PAPER], [1.0, "#a9b8c4"]]
BAND, VEIL, SOLID = "rgba(120,130,145,0.18)", "rgba(255,255,255,0.75)", "rgba(34,49,63,0.75)"
"""ranges behind a line; behind a text on a line; a mark that others may be seen through"""
JUDGE_SHAPES = ("circle", "square", "triangle-up", "cross", "x", "star", "hexagon", "triangle-down")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SHARES = [[0.0, PAPER], [1.0, "#a39b8a"]]
"""For an incoherent share; ink can be read on all of a scale."""
AGREEMENT = [[0.0, "#d3a560"], [0.5, PAPER], [1.0, "#93a5b5"]]
"""of coefficients from -1 to 1"""

PTS: dict[str, Any] = {
    "tickformat": "+.0%",
    "labelalias": {
        f"{minus}{n}%": f"{sign}{n}"
        for minus, sign in (("+", "+"), ("-", "\N{MINUS SIGN}"), ("\N{MINUS SIGN}", "\N{MINUS SIGN}"))
        for n in range(1, 101)
    }
    | {"+0%": "0"},
}
"""of an axis of differences, whose title says the unit: plotly multiplies by 100 in per cent only"""

TEMPLATE = go.layout.Template(
    layout={
        "font": {
            "family": "Source Sans Pro, Segoe UI, Helvetica, Arial, sans-serif",
            "size": 14,
            "color": INK,
        },
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "margin": {"l": 60, "r": 24, "t": 36, "b": 52},
        "xaxis": {
            "gridcolor": GRID,
            "zerolinecolor": GRID,
            "linecolor": FAINT,
            "ticks": "outside",
            "tickcolor": GRID,
            "title": {"standoff": 8, "font": {"size": 13}},
        },
        "yaxis": {
            "gridcolor": GRID,
            "zerolinecolor": GRID,
            "linecolor": FAINT,
            "title": {"standoff": 8, "font": {"size": 13}},
        },
        "hoverlabel": {"bgcolor": PAPER, "font": {"size": 13, "color": INK}},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left"},
    }
)


def on_outcome(outcome: str) -> str:
    """The colour of a text on a mark in the colour of an outcome."""
    return ON_STRONG if outcome in ("refusal", "unsafe") else INK if outcome == "no verdict" else ON_SOFT


def hatching(outcome: str, colour: str) -> dict[str, Any]:
    """The pattern of a bar in the colour of an outcome: incoherent responses are hatched."""
    shape = "/" if outcome == "incoherent" else ""
    return {"shape": shape, "fgcolor": STRIPE, "bgcolor": colour, "size": 7}


def figure(height: int, **layout: Any) -> go.Figure:
    """An empty figure in capsafe's look."""
    out = go.Figure()
    out.update_layout(template=TEMPLATE, height=height, **layout)
    return out


MOST_PATHS = 12
"""recipes, or runs, that a chart of paths draws at most: more cannot be told apart"""


def first_of(table: pd.DataFrame, by: list[str], what: str) -> tuple[pd.DataFrame, str]:
    """The rows of the first recipes, or runs, that a chart draws, and a sentence where these are not all.

    Args:
        by: the columns that tell them apart.
        what: they are, in the plural.
    """
    places = table.groupby(by, sort=False).ngroup()
    if places.nunique() <= MOST_PATHS:
        return table, ""
    return table[places < MOST_PATHS], f"Drawn: the first {MOST_PATHS} of {places.nunique()} {what}. "


def panels(
    rows: int = 1,
    cols: int = 1,
    horizontal_spacing: float = 0.05,
    vertical_spacing: float = 0.05,
    **layout: Any,
) -> go.Figure:
    """An empty figure of panels, however many: the gaps between them take at most a third of the room.

    Args:
        rows, cols: a figure without any has one.
        horizontal_spacing, vertical_spacing: shares of the room, between two panels, where there are few.
    """
    rows, cols = max(rows, 1), max(cols, 1)
    return make_subplots(
        rows=rows,
        cols=cols,
        horizontal_spacing=min(horizontal_spacing, 1 / (3 * cols)),
        vertical_spacing=min(vertical_spacing, 1 / (3 * rows)),
        **layout,
    )


def dataset_columns(datasets: Sequence[str], **layout: Any) -> go.Figure:
    """An empty figure with a column for each data set that was fine-tuned on; one where there is none."""
    out = panels(
        cols=len(datasets),
        shared_yaxes=True,
        column_titles=[f"fine-tuned on {name}" for name in datasets],
        **layout,
    )
    out.update_layout(template=TEMPLATE)
    return out


def interval_bars(
    values: pd.Series,
    low: pd.Series,
    high: pd.Series,
    colour: str = FAINT,
    thickness: float = 1,
    cap: int = 0,
) -> dict[str, Any]:
    """Error bars over the intervals of estimates; what has no interval has no bar.

    Args:
        values: the estimates, between `low` and `high`.
        cap: width of the ends, in pixels.
    """
    return {
        "type": "data",
        "array": high.astype(float) - values,
        "arrayminus": values - low.astype(float),
        "color": colour,
        "thickness": thickness,
        "width": cap,
    }


_SMALL = {"\ufdd0": f"<span style='font-size:11px;color:{FAINT}'>", "\ufdd1": "</span>"}
_OWN = re.compile(r"(<br>|<extra></extra>)")
"""the markup of hover templates, which hold no data"""
PHONE = 640
"""pixels: screens up to this width are a phone's"""
LONGEST_LINE = 60
"""characters of a note in a figure that a phone has room for"""
LONGEST_DRAWN = 2000
"""characters of a text in a figure; a browser that draws a million of them stands still"""
_KEPT = ("customdata", "template")
"""what is never drawn: the ids of marks, and the look"""


def small(text: str) -> str:
    """A text that is drawn small; `sealed` makes it so."""
    return f"\ufdd0{text}\ufdd1"


def sealed(figure: go.Figure) -> go.Figure:
    """The figure in which every text is text: plotly reads tags and entities wherever it draws words.

    Every figure passes here on its way to a screen, a report or a file. A line break in a text is one in the
    figure.
    """
    return go.Figure(_sealed("", figure.to_plotly_json()))


def _sealed(name: str, value: Any) -> Any:
    if name in _KEPT:
        return value
    if isinstance(value, dict):
        return {key: _sealed(key, part) for key, part in value.items()}
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype.kind in "OU"):
        return [_sealed(name, part) for part in value]
    if not isinstance(value, str):
        return value
    if name in ("hovertemplate", "texttemplate"):
        return "".join(part if _OWN.fullmatch(part) else _inert(part) for part in _OWN.split(value))
    return _inert(value)


def _inert(text: str) -> str:
    """A text as plotly draws it letter by letter; > alone begins nothing. Of one that is too long to be drawn
    the beginning is, told apart from others that begin alike."""
    if len(text) > LONGEST_DRAWN:
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=3).hexdigest()
        text = f"{text[:LONGEST_DRAWN]} … ({len(text):,} characters, {digest})"
    parts = re.split("([\ufdd0\ufdd1])", text)
    words = (
        _SMALL[p] if p in _SMALL else visible(p).replace("&", "&amp;").replace("<", "&lt;") for p in parts
    )
    return "".join(words).replace("\n", "<br>")


def run_name(recipe: str, seed: int, seeds: int) -> str:
    """A run's name: the recipe, and its seed where there are several."""
    return f"{recipe} · seed {seed}" if seeds > 1 else recipe


def is_wide(figure: go.Figure) -> bool:
    """Whether a figure stands side by side in columns, or asks for more room than a phone has, also by a
    line of its notes."""
    columns = {axis.domain[0] for axis in figure.select_xaxes() if axis.domain}
    lines = [line for note in figure.layout.annotations for line in str(note.text or "").split("<br>")]
    is_long = any(len(line) > LONGEST_LINE for line in lines)
    return len(columns) > 1 or (figure.layout.width or 0) > PHONE or is_long


def dash_of(recipe: object, recipes: Sequence[str]) -> str:
    """The line style of a recipe, the same on every page; what is not a recipe is solid.

    Args:
        recipes: every recipe of the study, in its order; after six the styles begin again.
    """
    return DASHES[list(recipes).index(str(recipe)) % len(DASHES)] if recipe in recipes else "solid"


def seeds_by_recipe(table: pd.DataFrame) -> dict[str, int]:
    """How many seeds each recipe of a table with columns recipe and seed has."""
    return {str(recipe): int(n) for recipe, n in table.groupby("recipe")["seed"].nunique().items()}
