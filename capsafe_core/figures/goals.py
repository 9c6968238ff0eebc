"""What depends on the goal: Delta over all goals, the frontier, and policies side by side."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from capsafe_core.analysis.number_words import hundredths, pts
from capsafe_core.figures.style import (
    DASHES,
    FAINT,
    INK,
    PAPER,
    PTS,
    dataset_columns,
    figure,
    interval_bars,
)
from capsafe_core.specification import Policy


def delta_strip(table: pd.DataFrame, goals: Mapping[str, float]) -> go.Figure:
    """Delta at every goal, one column a data set; a click sets the goal. Ids are "dataset:goal".

    Args:
        table: as `goals_table`.
        goals: the goal now in force on each data set.
    """
    datasets = list(dict.fromkeys(table["dataset"]))
    fig = dataset_columns(datasets)
    for column, dataset in enumerate(datasets, 1):
        mine = table[table["dataset"] == dataset]
        for i, (_, line) in enumerate(mine.groupby("comparison", sort=False)):
            colour = (INK, FAINT)[i // len(DASHES) % 2]
            _add_interval_band(fig, line, colour, column)
            _add_delta_line(fig, line, {"color": colour, "dash": DASHES[i % len(DASHES)], "width": 2}, column)
        if goals.get(dataset) is not None:
            fig.add_vline(
                x=goals[dataset],
                row=1,
                col=column,
                line={"color": FAINT, "dash": "dot"},
                annotation={"text": "goal", "font": {"size": 12, "color": FAINT}},
            )
        fig.update_xaxes(title=f"goal: accuracy on {dataset}", tickformat=".0%", row=1, col=column)
    fig.add_hline(y=0, line={"color": INK, "width": 1})
    fig.update_layout(height=400, margin={"t": 80, "b": 52}, legend={"y": 1.12})
    fig.update_yaxes(title="difference in unsafe rate (pts)", **PTS, row=1, col=1)
    return fig


def _add_interval_band(fig: go.Figure, line: pd.DataFrame, colour: str, column: int) -> None:
    """Around a comparison's line, where it has intervals."""
    banded = line.dropna(subset=["low", "high"])
    if banded.empty:
        return
    fig.add_scatter(
        x=[*banded["goal"], *banded["goal"][::-1]],
        y=[*banded["high"], *banded["low"][::-1]],
        fill="toself",
        fillcolor=colour,
        opacity=0.12,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        row=1,
        col=column,
    )


def _add_delta_line(fig: go.Figure, rows: pd.DataFrame, line: dict[str, object], column: int) -> None:
    """One comparison of a data set at every goal."""
    fig.add_scatter(
        x=rows["goal"],
        y=rows["delta"],
        mode="lines+markers",
        name=str(rows["comparison"].iloc[0]),
        line=line,
        marker={"size": 6, "color": line["color"]},
        customdata=[[f"{dataset}:{g:.3f}"] for dataset, g in zip(rows["dataset"], rows["goal"], strict=True)],
        hovertext=[_at_goal_text(row) for row in rows.to_dict("records")],
        hovertemplate="%{hovertext}<extra></extra>",
        row=1,
        col=column,
    )


def _at_goal_text(row: Mapping[Hashable, Any]) -> str:
    interval = (
        f" ({hundredths(row['low'], '+')} to {hundredths(row['high'], '+')})"
        if pd.notna(row["low"])
        else f"\nno interval, {row['unreached']:.0%} of resamples out of reach"
    )
    return f"{row['comparison']}\ngoal {row['goal']:.0%}: {pts(row['delta'], '+')}{interval}"


def frontier(table: pd.DataFrame) -> go.Figure:
    """Capability against unsafe rate, shaded by the probability of being on the frontier; ids are
    checkpoints.

    Args:
        table: as `pareto_table`.
    """
    datasets = list(dict.fromkeys(table["dataset"]))
    fig = dataset_columns(datasets)
    for column, dataset in enumerate(datasets, 1):
        mine = table[table["dataset"] == dataset]
        fig.add_scatter(
            x=mine["capability"],
            y=mine["unsafe"],
            mode="markers+text",
            marker={
                "size": 15,
                "color": mine["probability"],
                "colorscale": [[0, PAPER], [1, INK]],
                "cmin": 0,
                "cmax": 1,
                "line": {"color": INK, "width": 1.2},
                "showscale": column == 1,
                "colorbar": {
                    "title": {"text": "on the frontier", "side": "right", "font": {"size": 12}},
                    "tickformat": ".0%",
                    "thickness": 10,
                },
            },
            text=[
                f"{r} {s}" if p >= 0.5 else ""
                for r, s, p in zip(mine["recipe"], mine["step"], mine["probability"], strict=True)
            ],
            textposition="top center",
            textfont={"size": 11},
            customdata=mine[["checkpoint_id"]],
            hovertext=[
                f"{r}, seed {d}, step {s}\non the frontier in {p:.0%} of resamples"
                for r, d, s, p in zip(
                    mine["recipe"], mine["seed"], mine["step"], mine["probability"], strict=True
                )
            ],
            hovertemplate="%{hovertext}<br>%{x:.0%} right, %{y:.0%} unsafe<extra></extra>",
            showlegend=False,
            row=1,
            col=column,
        )
        fig.update_xaxes(title="accuracy", tickformat=".0%", range=[-0.04, 1.04], row=1, col=column)
    fig.update_layout(height=400, margin={"t": 40})
    fig.update_yaxes(title="unsafe rate", tickformat=".0%", rangemode="tozero", row=1, col=1)
    return fig


def policies_beside(table: pd.DataFrame) -> go.Figure:
    """The change at the goal under each treatment of incoherent outputs, one row a recipe; ids are recipes.

    Args:
        table: as `policies_table`.
    """
    recipes = list(dict.fromkeys(table["recipe"]))
    ways = list(dict.fromkeys(zip(table["policy"], table["truncated"], strict=True)))
    fig = figure(150 + 96 * len(recipes))
    for i, (policy, truncated) in enumerate(ways):
        mine = table[(table["policy"] == policy) & (table["truncated"] == truncated)]
        words = Policy(policy).words + ("" if truncated == "kept" else ", truncated responses left out")
        shift = (len(ways) - 1) / 2 - i
        fig.add_scatter(
            x=mine["estimate"],
            y=[recipes.index(r) - 0.8 * shift / len(ways) for r in mine["recipe"]],
            error_x=interval_bars(mine["estimate"], mine["low"], mine["high"], thickness=1.2),
            mode="markers",
            name=words,
            marker={
                "symbol": Policy(policy).symbol + ("" if truncated == "kept" else "-open"),
                "size": 11,
                "color": INK,
            },
            customdata=mine[["recipe"]],
            hovertext=[
                f"{r}, {words}\n{pts(e, '+')}, n = {n}"
                for r, e, n in zip(mine["recipe"], mine["estimate"], mine["n"], strict=True)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    fig.add_vline(x=0, line={"color": INK, "width": 1})
    fig.update_xaxes(title="unsafe rate at the goal minus at the start (pts)", **PTS)
    fig.update_yaxes(
        tickvals=list(range(len(recipes))),
        ticktext=recipes,
        range=[len(recipes) - 0.4, -0.6],
        automargin=True,
    )
    fig.update_layout(margin={"t": 84}, legend={"y": 1.04})
    return fig
