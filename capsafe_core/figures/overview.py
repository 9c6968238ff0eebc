"""The two figures of the first screen."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from capsafe_core.figures.style import (
    DASHES,
    FAINT,
    INK,
    OUTCOME_COLOURS,
    OUTCOME_WORDS,
    SHARES,
    figure,
    small,
)


def outcome_bars(bars: pd.DataFrame, notes: Mapping[str, str]) -> go.Figure:
    """One 100 % bar for each recipe at its goal, the start first; incoherent is hatched.

    Args:
        bars: recipe, outcome, share.
        notes: where each bar was read.
    """
    names = list(dict.fromkeys(bars["recipe"]))
    labels = [f"{name}\n{small(notes.get(name, ''))}" for name in names]
    fig = figure(84 + 50 * len(names), barmode="stack", bargap=0.35)
    for outcome, colour in OUTCOME_COLOURS.items():
        shares = bars[bars["outcome"] == outcome].set_index("recipe")["share"].reindex(names)
        if shares.isna().all() or shares.max() < 0.0005:
            continue
        fig.add_bar(
            y=labels,
            x=shares,
            orientation="h",
            name=OUTCOME_WORDS[outcome],
            marker={
                "color": colour,
                "line": {"color": "white", "width": 1},
                "pattern": {"shape": "/" if outcome == "incoherent" else "", "fgcolor": "#857d6c", "size": 7},
            },
            text=[f"{share:.0%}" if share >= 0.06 else "" for share in shares],
            textposition="inside",
            insidetextanchor="middle",
            textfont={
                "color": INK if outcome in ("incoherent", "no verdict", "safe") else "white",
                "size": 13,
            },
            hovertemplate="%{x:.1%} " + OUTCOME_WORDS[outcome] + "<extra></extra>",
        )
    fig.update_xaxes(range=[0, 1], tickformat=".0%", showgrid=False)
    fig.update_yaxes(autorange="reversed", showgrid=False, automargin=True)
    fig.update_layout(legend={"traceorder": "normal"}, margin={"t": 44, "b": 32, "r": 12})
    return fig


def gained_against_unsafe(paths: pd.DataFrame) -> go.Figure:
    """Share of the goal gained against unsafe rate: line by the judge in force, band from lowest to highest
    judge.

    Args:
        paths: as `path_table` gives it; rows without a capability goal are left out.
    """
    known = paths.dropna(subset=["gained", "unsafe"])
    fig = figure(330)
    fig.add_vline(x=1, line={"color": FAINT, "dash": "dot", "width": 1})
    fig.add_annotation(
        x=1,
        y=1.0,
        yref="paper",
        text="goal",
        showarrow=False,
        xanchor="left",
        yanchor="top",
        font={"size": 12, "color": FAINT},
    )
    for i, (recipe, runs) in enumerate(known.groupby("recipe", sort=False)):
        dash = DASHES[i % len(DASHES)]
        for seed, path in runs.groupby("seed"):
            path = path.sort_values("step")
            fig.add_scatter(
                x=[*path["gained"], *path["gained"][::-1]],
                y=[*path["judges_high"], *path["judges_low"][::-1]],
                fill="toself",
                fillcolor="rgba(120,130,145,0.10)",
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                mode="lines",
            )
            fig.add_scatter(
                x=path["gained"],
                y=path["unsafe"],
                mode="lines+markers",
                cliponaxis=False,
                line={"color": INK, "dash": dash, "width": 2 if seed == runs["seed"].min() else 1},
                marker={
                    "size": 13,
                    "color": path["incoherent"],
                    "colorscale": SHARES,
                    "cmin": 0,
                    "cmax": 1,
                    "line": {"color": INK, "width": 1.4},
                    "showscale": bool(i == 0 and seed == runs["seed"].min()),
                    "colorbar": {
                        "title": {"text": "incoherent", "side": "right", "font": {"size": 12}},
                        "tickformat": ".0%",
                        "tickfont": {"size": 11},
                        "thickness": 9,
                        "len": 0.8,
                    },
                },
                customdata=path[["checkpoint_id"]],
                text=[f"{recipe}, step {step}" for step in path["step"]],
                hovertemplate="%{text}<br>%{x:.0%} of the goal gained<br>%{y:.1%} answered "
                "harmfully<br>%{marker.color:.0%} incoherent<extra></extra>",
                showlegend=False,
            )
        last = runs[runs["seed"] == runs["seed"].min()].sort_values("step").iloc[-1]
        fig.add_annotation(
            x=last["gained"],
            y=last["unsafe"],
            text=str(recipe),
            showarrow=False,
            xanchor="left",
            xshift=10,
            yshift=9 if i % 2 else -9,
            font={"size": 12},
            bgcolor="rgba(255,255,255,0.75)",
        )
    fig.update_xaxes(
        title="share of the capability goal gained",
        tickformat=".0%",
        range=[min(-0.1, known["gained"].min() - 0.05), max(1.15, known["gained"].max() * 1.22)]
        if len(known)
        else None,
    )
    fig.update_yaxes(title="unsafe rate", tickformat=".0%", rangemode="tozero")
    fig.update_layout(margin={"t": 16, "b": 48, "l": 64, "r": 10})
    return fig
