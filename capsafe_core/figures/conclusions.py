"""Does a conclusion survive: the specification curve, and how analysis variants rank the arms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from capsafe_core.analysis.curve import Kind
from capsafe_core.analysis.number_words import hundredths
from capsafe_core.figures.squares import ids, squares
from capsafe_core.figures.style import (
    AGREEMENT,
    FAINT,
    GRID,
    INK,
    OUTCOME_COLOURS,
    TEMPLATE,
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
    ("truncated", "truncated answers "),
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
    choices = [
        (d, value, f"{prefix}{str(value).replace('_', ' ')}")
        for d, prefix in ROWS
        for value in dict.fromkeys(sorted(curve[d].astype(str)))
        if curve[d].nunique() > 1
    ]
    fig = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.03,
        row_heights=[1, max(0.35, 0.075 * len(choices))],
    )
    places = np.arange(len(curve))
    ids = [[str(i)] for i in places]
    hover = [
        f"{r['benchmark']}, {r['judge']}, incoherent "
        f"{r['policy'].replace('_', ' ')}\n{hundredths(r['estimate'], '+')} points"
        + ("" if pd.isna(r["low"]) else f" ({hundredths(r['low'], '+')} to {hundredths(r['high'], '+')})")
        + f"\n{a}: {r['a']:.0%}, {b}: {r['b']:.0%}, n = {r['n']}"
        for r in curve.to_dict("records")
    ]
    for direction, (words, colour, shape) in DIRECTIONS.items():
        mine = curve["direction"].to_numpy() == direction
        if not mine.any():
            continue
        rows = curve[mine]
        size = np.where(rows["primary"], 15, 8)
        fig.add_scatter(
            x=places[mine],
            y=rows["estimate"],
            error_y={
                "type": "data",
                "array": (rows["high"] - rows["estimate"]).fillna(0),
                "arrayminus": (rows["estimate"] - rows["low"]).fillna(0),
                "thickness": 1.2,
                "width": 0,
                "color": colour,
            },
            mode="markers",
            name={1: f"{a} {words}", -1: f"{a} {words}", 0: "interval includes zero"}[direction],
            marker={
                "size": size,
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
            customdata=[ids[i] for i in places[mine]],
            hovertext=[hover[i] for i in places[mine]],
            hovertemplate="%{hovertext}<extra></extra>",
            row=1,
            col=1,
        )
    fig.add_hline(y=0, row=1, col=1, line={"color": INK, "width": 1})
    labels = [words for _, _, words in choices]
    used = [
        (i, words)
        for d, value, words in choices
        for i in places[(curve[d].astype(str) == str(value)).to_numpy()]
    ]
    directions = [DIRECTIONS[int(one)] for one in curve["direction"]]
    if used:
        fig.add_scatter(
            x=[i for i, _ in used],
            y=[words for _, words in used],
            mode="markers",
            marker={
                "size": 6,
                "color": [directions[i][1] for i, _ in used],
                "symbol": [directions[i][2] for i, _ in used],
            },
            customdata=[ids[i] for i, _ in used],
            hovertext=[hover[i] for i, _ in used],
            hovertemplate="%{hovertext}<extra></extra>",
            showlegend=False,
            row=2,
            col=1,
        )
    fig.update_layout(template=TEMPLATE, height=380 + 21 * len(choices), margin={"t": 40, "b": 48})
    fig.update_yaxes(title="difference in unsafe rate", tickformat="+.0%", row=1, col=1)
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
    fig.update_xaxes(showticklabels=False, showgrid=False, row=1, col=1)
    fig.update_xaxes(
        title="analysis variants, by estimate\ndiamond: primary; faint: not counted",
        title_font={"size": 12, "color": FAINT},
        showticklabels=False,
        showgrid=False,
        row=2,
        col=1,
    )
    return fig


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
