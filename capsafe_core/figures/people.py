"""People's labels: how far they agree, and what they make of the judges' rates."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from capsafe_core.analysis.annotators import agreement_words
from capsafe_core.analysis.columns import records
from capsafe_core.figures.style import (
    EDGE,
    FAINT,
    INK,
    OUTCOME_COLOURS,
    PAPER,
    figure,
    interval_bars,
)
from capsafe_core.quoting import join_names

SHAPES = {"coherence": "square", "safety": "circle", "refusal": "triangle-up"}


def agreement(table: pd.DataFrame) -> go.Figure:
    """Krippendorff's alpha with its interval, a row for each kind of output, a mark for each question; ids
    are "dimension~stratum".

    Args:
        table: as `annotators_table`.
    """
    table = table[table["alpha"].notna()]
    strata = list(dict.fromkeys(table["stratum"]))
    fig = figure(110 + 52 * len(strata))
    for place, (dimension, symbol) in enumerate(SHAPES.items()):
        rows = table[table["dimension"] == dimension]
        if rows.empty:
            continue
        fig.add_scatter(
            x=rows["alpha"],
            y=[strata.index(s) + 0.2 * (place - 1) for s in rows["stratum"]],
            mode="markers",
            name=dimension,
            error_x=interval_bars(rows["alpha"], rows["alpha_low"], rows["alpha_high"], thickness=1.4),
            marker={"size": 12, "symbol": symbol, "color": INK},
            customdata=[[join_names((dimension, s))] for s in rows["stratum"]],
            hovertext=[
                f"{row['stratum']}, {dimension}: alpha {' ('.join(agreement_words(row))}); "
                f"the same label on {row['observed']:.0%}"
                for row in records(rows)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    fig.add_vline(x=0, line={"color": FAINT, "width": 1})
    fig.update_xaxes(
        title="Krippendorff's alpha: 1 is full agreement, 0 no better than chance",
        range=[min(-0.15, float(table["alpha_low"].min()) - 0.05) if len(table) else -0.15, 1.05],
    )
    fig.update_yaxes(
        tickvals=list(range(len(strata))), ticktext=strata, range=[len(strata) - 0.4, -0.6], automargin=True
    )
    return fig


def corrected(table: pd.DataFrame, event: str) -> go.Figure:
    """Each judge's own rate (hollow) and the rate corrected by people's labels with its interval (filled);
    ids are judges.

    Args:
        table: the rows of `correction_table` over all outputs.
        event: what the rate is of, for the axis.
    """
    rows = table[table["ppi"].notna()]
    fig = figure(120 + 46 * len(rows))
    for row in rows.itertuples():
        fig.add_scatter(
            x=[row.judge_rate, row.ppi],
            y=[row.judge, row.judge],
            mode="lines",
            line={"color": EDGE, "width": 4},
            hoverinfo="skip",
            showlegend=False,
        )
    fig.add_scatter(
        x=rows["ppi"],
        y=rows["judge"],
        mode="markers",
        name="corrected with human labels (PPI++, 95%)",
        customdata=[[j] for j in rows["judge"]],
        error_x=interval_bars(rows["ppi"], rows["ppi_low"], rows["ppi_high"], INK, 1.6, cap=5),
        marker={"size": 13, "symbol": "diamond", "color": OUTCOME_COLOURS["unsafe"]},
        hovertemplate="%{y}: %{x:.1%} corrected<extra></extra>",
    )
    fig.add_scatter(
        x=rows["judge_rate"],
        y=rows["judge"],
        mode="markers",
        name="judge alone",
        customdata=[[j] for j in rows["judge"]],
        marker={"size": 13, "color": PAPER, "line": {"color": OUTCOME_COLOURS["unsafe"], "width": 2.2}},
        hovertemplate="%{y}: %{x:.1%}, judge alone<extra></extra>",
    )
    fig.update_xaxes(title=event, tickformat=".0%", range=[-0.02, 1.02])
    fig.update_yaxes(type="category", range=[len(rows) - 0.4, -0.6], automargin=True)
    return fig
