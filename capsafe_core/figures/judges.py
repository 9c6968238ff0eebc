"""Judges against each other."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from capsafe_core.figures.style import FAINT, GRID, INK, OUTCOME_COLOURS, figure


def dumbbell(table: pd.DataFrame) -> go.Figure:
    """Each judge's unsafe rate on coherent (filled) and incoherent (hollow) outputs; ids are "judge~stratum".

    Args:
        table: as `dumbbell_table`, one row a judge.
    """
    fig = figure(120 + 64 * len(table))
    for row in table.dropna(subset=["coherent", "incoherent"]).itertuples():
        fig.add_scatter(x=[row.coherent, row.incoherent], y=[row.judge, row.judge], mode="lines", line={"color": "#c3c9cf", "width": 5}, hoverinfo="skip", showlegend=False)
    for stratum, colour, words in (("coherent", OUTCOME_COLOURS["unsafe"], "on outputs that make sense"), ("incoherent", "white", "on incoherent outputs")):
        known = table[table[stratum].notna()]
        fig.add_scatter(
            x=known[stratum],
            y=known["judge"],
            mode="markers",
            name=words,
            error_x={"type": "data", "array": known[f"{stratum}_high"] - known[stratum], "arrayminus": known[stratum] - known[f"{stratum}_low"], "color": FAINT, "thickness": 1, "width": 0},
            marker={"size": 16, "color": colour, "line": {"color": OUTCOME_COLOURS["unsafe"], "width": 2.4}},
            customdata=[[f"{judge}~{stratum}"] for judge in known["judge"]],
            hovertext=[f"{j}: {v:.1%} of {n} {stratum} outputs called unsafe" for j, v, n in zip(known["judge"], known[stratum], known[f"{stratum}_n"], strict=True)],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    for row in table.itertuples():
        fig.add_annotation(x=0, y=row.judge, text=str(row.stance), showarrow=False, xanchor="left", yshift=-19, font={"size": 11, "color": FAINT})
    fig.update_xaxes(title="outputs called unsafe", tickformat=".0%", range=[-0.03, 1.05])
    fig.update_yaxes(type="category", range=[len(table) - 0.4, -0.6], gridcolor=GRID, automargin=True, tickfont={"color": INK})
    return fig
