"""Judges along training."""

from __future__ import annotations

from itertools import cycle

import pandas as pd
import plotly.graph_objects as go

from capsafe_core.figures.style import (
    EDGE,
    INK,
    JUDGE_SHAPES,
    OUTCOME_COLOURS,
    PAPER,
    SHARES,
    TEMPLATE,
    panels,
    run_name,
    seeds_by_recipe,
)
from capsafe_core.quoting import join_names


def judges_along(table: pd.DataFrame) -> go.Figure:
    """Each judge's unsafe rate along training, a column a run, with the incoherent share in a strip below;
    ids are "checkpoint~judge".

    Args:
        table: as `judges_along_table`.
    """
    runs = list(dict.fromkeys(zip(table["recipe"], table["seed"], strict=True)))
    counts = seeds_by_recipe(table)
    names = [run_name(str(recipe), seed, counts[str(recipe)]) for recipe, seed in runs]
    fig = panels(
        rows=2,
        cols=len(runs),
        shared_xaxes=True,
        shared_yaxes="rows",
        column_titles=names,
        row_heights=[0.8, 0.2],
        vertical_spacing=0.05,
        horizontal_spacing=0.03,
    )
    for column, ((recipe, seed), run) in enumerate(zip(runs, names, strict=True), 1):
        mine = table[(table["recipe"] == recipe) & (table["seed"] == seed)]
        for shape, (_, line) in zip(cycle(JUDGE_SHAPES), mine.groupby("judge"), strict=False):
            _add_judge(fig, line, shape, column, run)
        _add_incoherent_strip(fig, mine.drop_duplicates("step"), column, run)
    fig.update_layout(template=TEMPLATE, height=440, margin={"t": 90, "b": 52, "l": 92}, legend={"y": 1.12})
    fig.update_yaxes(tickformat=".0%", range=[-0.03, 1.03], row=1)
    fig.update_yaxes(title="called unsafe", row=1, col=1)
    fig.update_yaxes(showgrid=False, row=2)
    fig.update_xaxes(type="category", row=1)
    fig.update_xaxes(type="category", title="training step", row=2)
    return fig


def _add_judge(fig: go.Figure, line: pd.DataFrame, shape: str, column: int, run: str) -> None:
    """One judge along one run."""
    judge = str(line["judge"].iloc[0])
    fig.add_scatter(
        x=line["step"].astype(str),
        y=line["rate"],
        mode="lines+markers",
        name=judge,
        legendgroup=judge,
        showlegend=column == 1,
        line={"color": INK, "width": 1.1},
        marker={
            "symbol": shape,
            "size": 9,
            "color": PAPER,
            "line": {"color": OUTCOME_COLOURS["unsafe"], "width": 1.7},
        },
        customdata=[[join_names((c, judge))] for c in line["checkpoint_id"]],
        hovertext=[
            f"{judge}, {run}, step {s}: {v:.0%} ({low:.0%} to {high:.0%}) unsafe"
            for s, v, low, high in zip(line["step"], line["rate"], line["low"], line["high"], strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        row=1,
        col=column,
    )


def _add_incoherent_strip(fig: go.Figure, steps: pd.DataFrame, column: int, run: str) -> None:
    """The incoherent share of one run, a square a step whose coherence was judged."""
    steps = steps.dropna(subset=["incoherent"])
    fig.add_scatter(
        x=steps["step"].astype(str),
        y=["incoherent"] * len(steps),
        mode="markers+text",
        text=[f"{100 * v:.0f}" for v in steps["incoherent"]],
        textfont={"size": 10},
        marker={
            "symbol": "square",
            "size": 24,
            "color": steps["incoherent"],
            "colorscale": SHARES,
            "cmin": 0,
            "cmax": 1,
            "line": {"color": EDGE, "width": 1},
        },
        customdata=[[join_names((c, ""))] for c in steps["checkpoint_id"]],
        hovertext=[run] * len(steps),
        hovertemplate="%{hovertext}, step %{x}: %{text}% incoherent<extra></extra>",
        showlegend=False,
        row=2,
        col=column,
    )
