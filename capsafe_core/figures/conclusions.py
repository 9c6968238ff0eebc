"""Does a conclusion survive: the specification curve, and how analysis variants rank the arms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from capsafe_core.analysis.curve import Kind
from capsafe_core.analysis.number_words import hundredths, pts
from capsafe_core.figures.squares import ids, squares
from capsafe_core.figures.style import (
    AGREEMENT,
    FAINT,
    GRID,
    INK,
    OUTCOME_COLOURS,
    PTS,
    TEMPLATE,
    interval_bars,
    panels,
)

DIRECTIONS = {
    1: ("less safe", OUTCOME_COLOURS["unsafe"], "circle"),
    -1: ("safer", OUTCOME_COLOURS["safe"], "square"),
    0: ("open", FAINT, "circle-open"),
}
"""words, colour and shape: they differ in shape or fill too, for who sees no red or green"""
ROWS = (
    ("benchmark", ""),
    ("judge", ""),
    ("cutoff", "threshold "),
    ("policy", "incoherent: "),
    ("coherence", "coherence: "),
    ("truncated", "truncated responses "),
    ("correction", "verdicts "),
    ("condition", ""),
)


def specification_curve(curve: pd.DataFrame, a: str, b: str) -> go.Figure:
    """Estimates in every specification in order, with 95 % intervals; below, dots that say which choice each
    was. Ids are places in the table.

    Args:
        curve: as `Conclusion.curve`.
        a, b: names of the arms.
    """
    choices = _varied_choices(curve)
    fig = panels(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.03,
        row_heights=[1, max(0.35, 0.075 * len(choices))],
    )
    marked = curve.reset_index(drop=True)
    marked["id"] = [str(place) for place in marked.index]
    marked["hover"] = _hover_texts(marked, a, b)
    for direction in DIRECTIONS:
        _add_estimates(fig, marked[marked["direction"] == direction], direction, a)
    fig.add_hline(y=0, row=1, col=1, line={"color": INK, "width": 1})
    _add_choice_dots(fig, marked, choices)
    fig.update_layout(template=TEMPLATE, height=380 + 21 * len(choices), margin={"t": 40, "b": 48})
    _describe_axes(fig, [words for _, _, words in choices])
    return fig


def _varied_choices(curve: pd.DataFrame) -> list[tuple[str, str, str]]:
    """(choice, value, words) of each value of each choice that varies, in order."""
    return [
        (choice, value, f"{prefix}{value.replace('_', ' ')}")
        for choice, prefix in ROWS
        for value in dict.fromkeys(sorted(curve[choice].astype(str)))
        if curve[choice].nunique() > 1
    ]


def _hover_texts(curve: pd.DataFrame, a: str, b: str) -> list[str]:
    return [
        f"{r['benchmark']}, {r['judge']}, incoherent "
        f"{r['policy'].replace('_', ' ')}\n{pts(r['estimate'], '+')}"
        + ("" if pd.isna(r["low"]) else f" ({hundredths(r['low'], '+')} to {hundredths(r['high'], '+')})")
        + f"\n{a}: {r['a']:.0%}, {b}: {r['b']:.0%}, n = {r['n']}"
        for r in curve.to_dict("records")
    ]


def _add_estimates(fig: go.Figure, rows: pd.DataFrame, direction: int, a: str) -> None:
    """The variants of one direction with their intervals; diamonds are primary."""
    if rows.empty:
        return
    words, colour, shape = DIRECTIONS[direction]
    fig.add_scatter(
        x=rows.index,
        y=rows["estimate"],
        error_y=interval_bars(rows["estimate"], rows["low"], rows["high"], colour, 1.2),
        mode="markers",
        name=f"{a} {words}" if direction else "interval includes zero",
        marker={
            "size": np.where(rows["primary"], 15, 8),
            "color": colour,
            "symbol": [
                shape.replace(shape.split("-")[0], "diamond") if p else shape for p in rows["primary"]
            ],
            "opacity": np.where(rows["kind"] == Kind.CHOICE, 1.0, 0.3),
            "line": {
                "color": INK if direction else colour,
                "width": [1.6 if p or not direction else 0 for p in rows["primary"]],
            },
        },
        customdata=rows[["id"]],
        hovertext=rows["hover"],
        hovertemplate="%{hovertext}<extra></extra>",
        row=1,
        col=1,
    )


def _add_choice_dots(fig: go.Figure, curve: pd.DataFrame, choices: list[tuple[str, str, str]]) -> None:
    """A dot below each variant at every choice it makes, coloured by its direction."""
    used = [
        (place, words)
        for choice, value, words in choices
        for place in curve.index[curve[choice].astype(str) == value]
    ]
    if not used:
        return
    rows = curve.loc[[place for place, _ in used]]
    directions = [DIRECTIONS[direction] for direction in rows["direction"]]
    fig.add_scatter(
        x=[place for place, _ in used],
        y=[words for _, words in used],
        mode="markers",
        marker={
            "size": 6,
            "color": [colour for _, colour, _ in directions],
            "symbol": [shape for _, _, shape in directions],
        },
        customdata=rows[["id"]],
        hovertext=rows["hover"],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
        row=2,
        col=1,
    )


def _describe_axes(fig: go.Figure, labels: list[str]) -> None:
    fig.update_yaxes(title="difference in unsafe rate (pts)", **PTS, row=1, col=1)
    fig.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=labels[::-1],
        automargin=True,
        gridcolor=GRID,
        tickfont={"size": 12},
        row=2,
        col=1,
    )
    fig.update_xaxes(showticklabels=False, showgrid=False)
    fig.update_xaxes(
        title="analysis variants, by estimate\ndiamond: primary; faint: not counted",
        title_font={"size": 12, "color": FAINT},
        row=2,
        col=1,
    )


def rank_squares(names: Sequence[str], tau: npt.NDArray[np.float64]) -> go.Figure:
    """Kendall's tau of the order of the arms between each two analysis variants; "—" where it is not defined.
    Ids are "way~way"."""
    rows = [(names[j], names[i], tau[i, j]) for i in range(len(names)) for j in range(len(names))]
    marks = pd.DataFrame(rows, columns=["x", "y", "value"])
    marks["id"] = ids(marks["x"], marks["y"])
    marks["text"] = ["—" if pd.isna(v) else f"{v:.1f}" for v in marks["value"]]
    marks["hover"] = [
        f"{x}\n{y}\ntau {t}" for x, y, t in zip(marks["x"], marks["y"], marks["text"], strict=True)
    ]
    fig = squares(
        marks,
        AGREEMENT,
        -1.0,
        1.0,
        150 + 44 * len(names),
    )
    fig.update_xaxes(tickangle=-35, categoryorder="array", categoryarray=list(names))
    fig.update_yaxes(categoryorder="array", categoryarray=list(names))
    return fig
