"""Refusals of harmful against refusals of harmless requests: from each start to each recipe at its goal."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from capsafe_core.figures.style import (
    FAINT,
    GRID,
    INK,
    figure,
    interval_bars,
)


def refusal_plane(table: pd.DataFrame) -> go.Figure:
    """The plane of both shares: open marks are starts, filled ones recipes at their goals, arrows the way
    between; on the dashed line harmful and harmless requests are refused alike.

    Args:
        table: as `discrimination_table`; rows without a share at the start or the goal are left out.
    """
    known = table.dropna(
        subset=["start_refused_harmful", "start_refused_harmless", "refused_harmful", "refused_harmless"]
    )
    fig = figure(440)
    fig.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": FAINT, "dash": "dash", "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    starts = known.drop_duplicates(["harmless", "start_refused_harmful", "start_refused_harmless"])
    _marks(fig, starts, "start_", "start", "circle-open")
    _marks(fig, known, "", "at its goal", "circle")
    for row in known.to_dict("records"):
        fig.add_annotation(
            x=row["refused_harmless"],
            y=row["refused_harmful"],
            ax=row["start_refused_harmless"],
            ay=row["start_refused_harmful"],
            axref="x",
            ayref="y",
            showarrow=True,
            arrowhead=2,
            arrowsize=1.2,
            arrowwidth=1.4,
            arrowcolor=INK,
            standoff=7,
            startstandoff=7,
            text="",
        )
    fig.update_xaxes(title="harmless requests refused", tickformat=".0%", range=[-0.03, 1.03])
    fig.update_yaxes(title="harmful requests refused", tickformat=".0%", range=[-0.03, 1.08])
    return fig


def _marks(fig: go.Figure, rows: pd.DataFrame, where: str, words: str, symbol: str) -> None:
    x, y = rows[f"{where}refused_harmless"], rows[f"{where}refused_harmful"]
    bars = {
        kind: interval_bars(
            rows[f"{where}refused_{kind}"],
            rows[f"{where}refused_{kind}_low"],
            rows[f"{where}refused_{kind}_high"],
            GRID if where else FAINT,
        )
        for kind in ("harmless", "harmful")
    }
    several = rows["harmless"].nunique() > 1
    names = [
        f"{r}, {b}" if several else str(r) for r, b in zip(rows["recipe"], rows["harmless"], strict=True)
    ]
    fig.add_scatter(
        x=x,
        y=y,
        error_x=bars["harmless"],
        error_y=bars["harmful"],
        mode="markers+text",
        name=words,
        text=["" if where else name for name in names],
        textposition="top right",
        textfont={"size": 12},
        marker={"symbol": symbol, "size": 11, "color": INK, "line": {"color": INK, "width": 1.5}},
        customdata=[[recipe] for recipe in rows["recipe"]],
        hovertext=[
            f"{'the start of ' if where else ''}{name}\nharmful: {h:.0%}, harmless: {f:.0%} refused"
            for name, h, f in zip(names, y, x, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )
