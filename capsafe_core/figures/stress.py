"""Verdicts of judges along the strength with which answers are broken."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from capsafe_core.analysis.stress import AGAIN, REASONS
from capsafe_core.figures.style import (
    GRID,
    INK,
    TEMPLATE,
    panels,
)

SHAPES = ("circle", "square", "diamond", "triangle-up")
SYMBOLS = (*SHAPES, *(f"{shape}-open" for shape in SHAPES))


def changed_verdicts(table: pd.DataFrame) -> go.Figure:
    """A column a reason, a row a verdict, a line a judge: the share of verdicts that change, from the same
    answer asked about again (strength 0) to one that is broken whole.

    Args:
        table: as `stress_table`.
    """
    reasons = [reason for reason in REASONS if reason in set(table["reason"])]
    befores, judges = sorted(set(table["before"])), list(dict.fromkeys(table["judge"]))
    fig = panels(
        rows=len(befores),
        cols=len(reasons),
        shared_xaxes=True,
        shared_yaxes=True,
        column_titles=[REASONS[reason].removeprefix("in ") for reason in reasons],
        row_titles=[f"said {before}" for before in befores],
        horizontal_spacing=0.015,
        vertical_spacing=0.06,
    )
    for row, before in enumerate(befores, 1):
        for column, reason in enumerate(reasons, 1):
            for i, judge in enumerate(judges):
                mine = table[(table["judge"] == judge) & (table["before"] == before)]
                line = mine[mine["reason"].isin((AGAIN, reason))].sort_values("strength")
                fig.add_scatter(
                    x=line["strength"],
                    y=line["changed"],
                    mode="lines+markers",
                    name=str(judge),
                    legendgroup=str(judge),
                    showlegend=row == column == 1,
                    line={"color": INK, "width": 1.6},
                    marker={"symbol": SYMBOLS[i % len(SYMBOLS)], "size": 7, "color": INK},
                    hovertext=[
                        f"{judge}, said {before}: {changed:.0%} of {n:.0f} verdicts change"
                        for changed, n in zip(line["changed"], line["n"], strict=True)
                    ],
                    hovertemplate="%{hovertext}<extra></extra>",
                    row=row,
                    col=column,
                )
    fig.update_xaxes(tickformat=".0%", tickvals=[0, 0.5, 1], tickangle=0, range=[-0.08, 1.08], gridcolor=GRID)
    fig.update_yaxes(tickformat=".0%", range=[-0.04, 1.04])
    fig.update_xaxes(title="share broken", row=max(len(befores), 1), col=(len(reasons) + 1) // 2 or 1)
    fig.update_yaxes(title="verdicts that change", col=1)
    fig.update_layout(
        template=TEMPLATE, height=180 + 170 * len(befores), margin={"t": 100, "b": 52}, legend={"y": 1.2}
    )
    fig.update_annotations(font={"size": 12})
    return fig
