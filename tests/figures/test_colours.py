"""The palette: every colour has its dark one, texts can be read, and marks differ for who sees no red or no
colour."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from capsafe_core.figures import dark, style
from capsafe_core.figures.conclusions import DIRECTIONS
from capsafe_core.figures.dark import COLOURS, on_dark
from capsafe_core.figures.overview import outcome_bars
from capsafe_core.figures.style import OUTCOME_COLOURS, PAPER, SHARES, figure, on_outcome, sealed, small
from capsafe_core.places import ROOT

FIGURES = Path(style.__file__).parent
COLOUR = re.compile(r'"(#[0-9a-fA-F]{3,8}|rgba?\([^"]*\)|white|black|red|blue|gr[ae]y|green|orange)"')
DEUTERANOPIA = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
"""on linear light, at full severity: Machado, Oliveira and Fernandes, IEEE TVCG 15(6), 2009"""
SCALES = [(s[0][1], s[-1][1]) for s in (SHARES, style.AGREEMENT, style.COVERED)] + [
    (style.AGREEMENT[1][1], style.AGREEMENT[0][1])
]


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def contrast(a: str, b: str) -> float:
    """As WCAG 2.2 defines it."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def lab(light: np.ndarray) -> np.ndarray:
    """CIELAB of linear sRGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(light, 0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("file", sorted(FIGURES.glob("*.py")), ids=lambda p: p.stem)
def test_figures_take_their_colours_from_the_palette(file: Path) -> None:
    if file.stem not in ("style", "dark"):
        assert COLOUR.findall(file.read_text(encoding="utf-8")) == []


def test_each_colour_of_the_palette_has_a_dark_one() -> None:
    colours = {one for one in COLOUR.findall((FIGURES / "style.py").read_text(encoding="utf-8"))}
    assert colours == set(COLOURS)


def test_the_paper_of_figures_is_the_page() -> None:
    theme = tomllib.loads((ROOT / ".streamlit/config.toml").read_text(encoding="utf-8"))["theme"]
    assert "base" not in theme
    assert (theme["light"]["backgroundColor"], theme["dark"]["backgroundColor"]) == (PAPER, COLOURS[PAPER])
    for mode in ("light", "dark"):
        for ground in ("backgroundColor", "secondaryBackgroundColor"):
            assert contrast(theme[mode]["textColor"], theme[mode][ground]) >= 7
            assert contrast(theme[mode]["primaryColor"], theme[mode][ground]) >= 4.5


def themed(colour: str, theme: str) -> str:
    return COLOURS[colour] if theme == "dark" else colour


def over(colour: str, ground: str, opacity: float) -> str:
    """A colour that is laid over another."""
    pairs = ((int(c[i : i + 2], 16) for c in (colour, ground)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(opacity * a + (1 - opacity) * b):02x}" for a, b in pairs)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_number_on_a_bar_can_be_read_whether_it_stands_out_or_not(theme: str) -> None:
    rows = [(recipe, outcome, 0.25, "") for recipe in ("a", "b") for outcome in OUTCOME_COLOURS]
    bars = pd.DataFrame(rows, columns=["recipe", "outcome", "share", "start"])
    drawn = outcome_bars(bars, {}, {outcome: outcome for outcome in OUTCOME_COLOURS}, "a")
    for trace in (on_dark(drawn) if theme == "dark" else drawn).data:
        for text, opacity in zip(trace.textfont.color, trace.marker.opacity, strict=True):
            ground = over(trace.marker.color, themed(PAPER, theme), opacity)
            if trace.name != "task answer":  # no bar of harmful requests has it
                assert contrast(text, ground) >= 4.5, (trace.name, opacity)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_of_figures_have_the_contrast_of_aa(theme: str) -> None:
    for ink in (style.INK, style.FAINT):
        assert contrast(themed(ink, theme), themed(PAPER, theme)) >= 4.5, ink
    for outcome, colour in OUTCOME_COLOURS.items():
        if outcome != "task answer":  # its bars carry no text
            assert contrast(themed(on_outcome(outcome), theme), themed(colour, theme)) >= 4.5, outcome
    for ends in SCALES:
        for colour in ends:
            assert contrast(themed(style.INK, theme), themed(colour, theme)) >= 4.5, colour
    for outcome in ("refusal", "unsafe", "safe"):
        if (outcome, theme) != ("safe", "light"):  # marks of it carry a shape of their own
            assert contrast(themed(OUTCOME_COLOURS[outcome], theme), themed(PAPER, theme)) >= 3, outcome


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("sight", ["deuteranopia", "grey"])
def test_outcomes_differ_for_who_sees_no_red_or_no_colour(theme: str, sight: str) -> None:
    """Incoherent bars are hatched, bars without a verdict are empty: the others differ as colours."""
    for a, b in itertools.combinations(("refusal", "safe", "unsafe"), 2):
        one, other = (linear(themed(OUTCOME_COLOURS[o], theme)) for o in (a, b))
        if sight == "grey":
            assert abs(lab(one)[0] - lab(other)[0]) >= 4, (a, b)
        else:
            assert np.linalg.norm(lab(DEUTERANOPIA @ one) - lab(DEUTERANOPIA @ other)) >= 20, (a, b)


def test_directions_of_a_conclusion_differ_in_shape_or_fill() -> None:
    assert len({shape for _, _, shape in DIRECTIONS.values()}) == len(DIRECTIONS)
    assert DIRECTIONS[0][2].endswith("-open")
    assert not any(shape.endswith("-open") for d, (_, _, shape) in DIRECTIONS.items() if d)


def test_a_dark_figure_has_the_same_data_and_texts() -> None:
    fig = figure(200)
    fig.add_bar(
        x=[1, 2],
        y=["white", f"{style.INK}\n{small('note')}"],
        name=style.INK,
        customdata=[["white"], [style.INK]],
        marker={"color": [OUTCOME_COLOURS["unsafe"], PAPER]},
    )
    light = sealed(fig)
    turned = on_dark(light)
    assert turned.data[0].name == style.INK
    assert turned.data[0].y[0] == "white"
    assert dark.COLOURS[style.FAINT] in turned.data[0].y[1]
    assert [list(c) for c in turned.data[0].customdata] == [["white"], [style.INK]]
    assert list(turned.data[0].marker.color) == [COLOURS[OUTCOME_COLOURS["unsafe"]], COLOURS[PAPER]]
    assert turned.layout.template == dark.DARK_TEMPLATE
    assert light.layout.template == go.layout.Template(style.TEMPLATE)
    assert light.data[0].marker.color[1] == PAPER
