"""Figures on a dark page: the same marks in the colours of a dark palette. Reports stay light."""

from __future__ import annotations

import re
from typing import Any

import plotly.graph_objects as go

from capsafe_core.figures.style import (
    AGREEMENT,
    AMOUNT,
    BACKGROUND,
    BAND,
    COVERED,
    EDGE,
    FAINT,
    GRID,
    HATCH,
    INK,
    ON_SOFT,
    ON_STRONG,
    OUTCOME_COLOURS,
    PAPER,
    SHARES,
    SOLID,
    STRIPE,
    TEMPLATE,
    UNCHECKED,
    VEIL,
)

DARK_PAPER = "#0f161d"
"""as the page's background in `.streamlit/config.toml`"""
COLOURS = {
    PAPER: DARK_PAPER,
    INK: "#e4eaf0",
    FAINT: "#a3b0bc",
    GRID: "#2a3641",
    BACKGROUND: "#71808d",
    EDGE: "#4d5b68",
    AMOUNT: "#8fa6ba",
    UNCHECKED: "#4f5f6d",
    HATCH: "#9a9282",
    STRIPE: "#9a9282",
    ON_STRONG: ON_STRONG,
    ON_SOFT: ON_SOFT,
    BAND: "rgba(150,165,180,0.25)",
    VEIL: "rgba(15,22,29,0.75)",
    SOLID: "rgba(228,234,240,0.75)",
    OUTCOME_COLOURS["refusal"]: "#3166b0",
    OUTCOME_COLOURS["safe"]: OUTCOME_COLOURS["safe"],
    OUTCOME_COLOURS["unsafe"]: "#cf4456",
    OUTCOME_COLOURS["incoherent"]: "#b3ac9c",
    OUTCOME_COLOURS["task answer"]: "#76849a",
    SHARES[1][1]: "#6b6558",
    AGREEMENT[0][1]: "#855f22",
    AGREEMENT[2][1]: "#566675",
    COVERED[1][1]: "#46586a",
}
"""what each colour of the palette is on a dark page"""
_HOLDS_COLOURS = re.compile(r"color$|^colorscale$|^bgcolor$")
_SMALL_TEXT = f"color:{FAINT}'>"
_DARK_SMALL_TEXT = f"color:{COLOURS[FAINT]}'>"


def on_dark(figure: go.Figure) -> go.Figure:
    """A sealed figure in the colours of a dark page."""
    return go.Figure(_darkened("", figure.to_plotly_json()))


def _darkened(name: str, value: Any) -> Any:
    if name == "customdata":
        return value
    if isinstance(value, dict):
        return {key: _darkened(key, part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_darkened(name, part) for part in value]
    if not isinstance(value, str):
        return value
    if _HOLDS_COLOURS.search(name):
        return COLOURS.get(value, value)
    return value.replace(_SMALL_TEXT, _DARK_SMALL_TEXT)


DARK_TEMPLATE = go.layout.Template(_darkened("", TEMPLATE.to_plotly_json()))
"""the look of every figure on a dark page"""
