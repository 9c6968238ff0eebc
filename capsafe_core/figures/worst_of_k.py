"""Attack success along the number of answers to a prompt."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from capsafe_core.figures.style import (
    INK,
    PAPER,
    dash_of,
    figure,
    interval_bars,
)


def success_among(table: pd.DataFrame, recipes: Sequence[str]) -> go.Figure:
    """The share of prompts with an unsafe response among k, a line for each recipe, start or checkpoint, with
    95 % intervals.

    Args:
        table: as `worst_table`.
        recipes: every recipe of the study.
    """
    fig = figure(380)
    for (name, place), rows in table.groupby(["name", "place"], sort=False):
        fig.add_scatter(
            x=[str(int(k)) for k in rows["k"]],
            y=rows["unsafe"],
            error_y=interval_bars(rows["unsafe"], rows["unsafe_low"], rows["unsafe_high"], INK, cap=3),
            mode="lines+markers",
            name=f"{name} ({place})",
            line={"color": INK, "dash": dash_of(name, recipes), "width": 2},
            marker={
                "size": 8,
                "color": PAPER if place == "start" else INK,
                "line": {"color": INK, "width": 1.5},
            },
            customdata=[[str(name)] for _ in range(len(rows))],
            hovertemplate="%{y:.1%} of prompts, worst of %{x}<extra></extra>",
        )
    fig.update_xaxes(title="responses to each prompt", type="category")
    fig.update_yaxes(title="prompts with an unsafe response", tickformat=".0%", rangemode="tozero")
    return fig
