"""Other capabilities at the goal: from each start to each recipe, one column a benchmark."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from capsafe_core.figures.style import (
    FAINT,
    INK,
    TEMPLATE,
    interval_bars,
    panels,
)
from capsafe_core.quoting import join_names


def capability_profile(table: pd.DataFrame) -> go.Figure:
    """A row a recipe, a column a benchmark: an open mark at the start's share of right answers, a filled one
    at the goal's with its 95 % interval, and a line between. Ids are recipe and benchmark.

    Args:
        table: as `profile_table`; rows without a share at the goal are left out.
    """
    known = table.dropna(subset=["right"])
    recipes, benchmarks = (list(dict.fromkeys(known[name])) for name in ("recipe", "benchmark"))
    fig = panels(
        rows=1,
        cols=len(benchmarks),
        shared_yaxes=True,
        column_titles=benchmarks,
        horizontal_spacing=0.04,
    )
    for column, benchmark in enumerate(benchmarks, 1):
        mine = known[known["benchmark"] == benchmark]
        for row in mine.dropna(subset=["start"]).to_dict("records"):
            fig.add_scatter(
                x=[row["start"], row["right"]],
                y=[row["recipe"]] * 2,
                mode="lines",
                line={"color": FAINT, "width": 2},
                hoverinfo="skip",
                showlegend=False,
                row=1,
                col=column,
            )
        for name, words in (("start", "start"), ("right", "at its goal")):
            _marks(fig, mine.dropna(subset=[name]), name, words, column)
        fig.update_xaxes(title="right answers", tickformat=".0%", range=[-0.03, 1.03], row=1, col=column)
    height = 150 + 30 * max(len(recipes), 2)
    fig.update_layout(
        template=TEMPLATE, height=height, margin={"t": 70, "b": 52}, legend={"y": 1 + 45 / height}
    )
    fig.update_yaxes(autorange="reversed", automargin=True, row=1, col=1)
    return fig


def _marks(fig: go.Figure, rows: pd.DataFrame, name: str, words: str, column: int) -> None:
    fig.add_scatter(
        x=rows[name],
        y=rows["recipe"],
        error_x=None
        if name == "start"
        else interval_bars(rows[name], rows[f"{name}_low"], rows[f"{name}_high"], INK, cap=3),
        mode="markers",
        name=words,
        showlegend=column == 1,
        legendgroup=words,
        marker={
            "symbol": "circle-open" if name == "start" else "circle",
            "size": 10,
            "color": INK,
            "line": {"color": INK, "width": 1.5},
        },
        customdata=[[join_names(names)] for names in zip(rows["recipe"], rows["benchmark"], strict=True)],
        hovertext=[
            f"{recipe}, {words}: {value:.0%} right on {benchmark}"
            for recipe, benchmark, value in zip(rows["recipe"], rows["benchmark"], rows[name], strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        row=1,
        col=column,
    )
