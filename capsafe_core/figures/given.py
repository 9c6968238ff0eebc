"""Checkpoints as they are given, side by side without a goal."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from capsafe_core.figures.style import (
    BAND,
    INK,
    OUTCOME_COLOURS,
    PAPER,
    SHARES,
    TEMPLATE,
    interval_bars,
    panels,
)


def rates_as_given(table: pd.DataFrame) -> go.Figure:
    """One row a checkpoint: capability and unsafe rate with 95 % intervals, each where it is known; band:
    lowest to highest judge; fill: incoherent share. Ids are checkpoints.

    Args:
        table: as `given_table`.
    """
    measures = [
        (value, words, colour)
        for value, words, colour in (
            ("capability", "accuracy", INK),
            ("unsafe", "unsafe rate", OUTCOME_COLOURS["unsafe"]),
        )
        if table[value].notna().any()
    ]
    fig = panels(rows=1, cols=len(measures), shared_yaxes=True, horizontal_spacing=0.12)
    for column, (value, words, colour) in enumerate(measures, 1):
        if value == "unsafe":
            _add_judges(fig, table, column)
        _add_rates(fig, table, value, colour, column)
        fig.update_xaxes(title=words, tickformat=".0%", range=[-0.03, 1.03], row=1, col=column)
    fig.update_yaxes(
        categoryorder="array", categoryarray=list(table["name"]), autorange="reversed", automargin=True
    )
    fig.update_layout(
        template=TEMPLATE, height=110 + 34 * max(len(table), 1), showlegend=False, margin={"t": 16, "b": 52}
    )
    return fig


def _add_judges(fig: go.Figure, table: pd.DataFrame, column: int) -> None:
    known = table.dropna(subset=["judges_low", "judges_high"]).to_dict("records")
    fig.add_scatter(
        x=[x for row in known for x in (row["judges_low"], row["judges_high"], None)],
        y=[row["name"] for row in known for _ in range(3)],
        mode="lines",
        line={"width": 13, "color": BAND},
        hoverinfo="skip",
        row=1,
        col=column,
    )


def _add_rates(fig: go.Figure, table: pd.DataFrame, value: str, colour: str, column: int) -> None:
    known = table.dropna(subset=[value])
    fig.add_scatter(
        x=known[value],
        y=known["name"],
        error_x=interval_bars(known[value], known[f"{value}_low"], known[f"{value}_high"]),
        mode="markers",
        cliponaxis=False,
        marker={
            "size": 12,
            "color": known["incoherent"] if value == "unsafe" else PAPER,
            "colorscale": SHARES,
            "cmin": 0,
            "cmax": 1,
            "line": {"color": colour, "width": 1.8},
        },
        customdata=known[["checkpoint_id"]],
        hovertemplate="%{y}<br>%{x:.1%}<extra></extra>",
        row=1,
        col=column,
    )
