"""Capability and safety along training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from capsafe_core.figures.style import (
    BAND,
    FAINT,
    INK,
    OUTCOME_COLOURS,
    PAPER,
    SHARES,
    dash_of,
    dataset_columns,
    figure,
    first_of,
    interval_bars,
    run_name,
    seeds_by_recipe,
)

NAME = 0.065
"""height of a run's name, as a share of the height of its panel"""


def few_recipes(paths: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The paths that a chart draws, and a sentence where these are not all.

    Args:
        paths: as `path_table`.
    """
    return first_of(paths, ["recipe"], "recipes")


def along_training(paths: pd.DataFrame, recipes: Sequence[str]) -> go.Figure:
    """Rows: capability, unsafe rate; columns: data sets; one line a run, with 95 % intervals.

    Args:
        paths: as `path_table`.
    """
    datasets = list(dict.fromkeys(paths.dropna(subset=["capability"])["dataset"]))
    fig = dataset_columns(datasets, rows=2, shared_xaxes=True, vertical_spacing=0.07)
    counts = seeds_by_recipe(paths)
    rated = paths["unsafe_high"].notna().any()
    top_rate = max(0.2, 1.1 * paths["unsafe_high"].max()) if rated else 1.0
    for column, dataset in enumerate(datasets, 1):
        mine = paths[paths["dataset"] == dataset].dropna(subset=["capability"])
        for recipe, runs in mine.groupby("recipe", sort=False):
            if counts[str(recipe)] > 1:
                for row, value in enumerate(("capability", "unsafe"), 1):
                    _add_seed_range(fig, runs, value, row, column)
            for seed, path in runs.groupby("seed"):
                name = run_name(str(recipe), int(seed), counts[str(recipe)])
                width = 2.2 if seed == runs["seed"].min() else 1.1
                for row, (value, colour) in enumerate(
                    (("capability", INK), ("unsafe", OUTCOME_COLOURS["unsafe"])), 1
                ):
                    _add_line(
                        fig,
                        path,
                        value,
                        name,
                        row,
                        column,
                        {"color": colour, "dash": dash_of(recipe, recipes), "width": width},
                    )
        for row, (value, top) in enumerate((("capability", 1.05), ("unsafe", top_rate)), 1):
            _name_runs(fig, mine, counts, value, top, row, column)
        goal = mine["goal"].iloc[0]
        if pd.notna(goal):
            fig.add_hline(
                y=goal,
                row=1,
                col=column,
                line={"color": FAINT, "dash": "dot"},
                annotation={"text": f"goal {goal:.0%}", "font": {"size": 12, "color": FAINT}},
                annotation_position="top left",
            )
    fig.update_layout(height=560, margin={"t": 40, "r": 110})
    fig.update_yaxes(tickformat=".0%", range=[-0.02, 1.05], row=1)
    fig.update_yaxes(tickformat=".0%", range=[-0.02, top_rate] if rated else None, row=2)
    fig.update_yaxes(title="accuracy", row=1, col=1)
    fig.update_yaxes(title="unsafe rate", row=2, col=1)
    fig.update_xaxes(title="training step", row=2)
    return fig


def _add_seed_range(fig: go.Figure, runs: pd.DataFrame, value: str, row: int, column: int) -> None:
    """A band from the lowest to the highest seed."""
    span = runs.groupby("step")[value].agg(["min", "max"]).dropna()
    fig.add_scatter(
        x=[*span.index, *span.index[::-1]],
        y=[*span["max"], *span["min"][::-1]],
        fill="toself",
        fillcolor=BAND,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        row=row,
        col=column,
    )


def bounds_along(table: pd.DataFrame) -> go.Figure:
    """Around each unsafe rate the range that incoherent outputs leave open (thick) and that missing verdicts
    do (thin); ids are checkpoints.

    Args:
        table: as `bounds_table`.
    """
    counts = seeds_by_recipe(table)
    fig = figure(380)
    names = [run_name(r, s, counts[r]) for r, s in zip(table["recipe"], table["seed"], strict=True)]
    where = [names, [str(s) for s in table["step"]]]
    for low, high, width, colour, words in (
        (
            "lowest",
            "highest",
            12,
            OUTCOME_COLOURS["incoherent"],
            "incoherent responses all safe, or all unsafe",
        ),
        ("missing_low", "missing_high", 4, FAINT, "missing verdicts all safe, or all unsafe"),
    ):
        x: list[list[str | None]] = [[], []]
        y: list[float | None] = []
        for a, b, bottom, top in zip(*where, table[low], table[high], strict=True):
            x[0] += [a, a, a]
            x[1] += [b, b, b]
            y += [bottom, top, None]
        fig.add_scatter(
            x=x, y=y, mode="lines", line={"width": width, "color": colour}, name=words, hoverinfo="skip"
        )
    fig.add_scatter(
        x=where,
        y=table["judged"],
        mode="markers",
        name="as judged",
        marker={"size": 10, "color": PAPER, "line": {"color": OUTCOME_COLOURS["unsafe"], "width": 2}},
        customdata=table[["checkpoint_id"]],
        hovertext=[
            f"{recipe}, step {step}\nas judged {j:.0%}; {low:.0%} to {high:.0%} by what incoherent responses "
            f"count; {m} without a verdict"
            for recipe, step, j, low, high, m in zip(
                *where, *(table[name] for name in ("judged", "lowest", "highest", "no_verdict")), strict=True
            )
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    fig.update_yaxes(title="unsafe rate", tickformat=".0%", range=[-0.03, 1.03])
    fig.update_layout(margin={"b": 64})
    return fig


def _add_line(
    fig: go.Figure, path: pd.DataFrame, value: str, name: str, row: int, column: int, line: dict[str, object]
) -> None:
    path = path.sort_values("step")
    fig.add_scatter(
        x=path["step"],
        y=path[value],
        error_y=interval_bars(path[value], path[f"{value}_low"], path[f"{value}_high"]),
        mode="lines+markers",
        line=line,
        marker={
            "size": 11,
            "color": path["incoherent"] if value == "unsafe" else PAPER,
            "colorscale": SHARES,
            "cmin": 0,
            "cmax": 1,
            "line": {"color": line["color"], "width": 1.6},
        },
        customdata=path[["checkpoint_id"]],
        text=[name] * len(path),
        hovertemplate="%{text}, step %{x}<br>%{y:.1%}<extra></extra>",
        showlegend=False,
        row=row,
        col=column,
    )


def _name_runs(
    fig: go.Figure,
    runs: pd.DataFrame,
    counts: Mapping[str, int],
    value: str,
    top: float,
    row: int,
    column: int,
) -> None:
    """The names of runs beside their last checkpoints, apart from each other and below the `top` of the axis,
    above which Plotly hides them; where there is no room for all, the last says how many are left out."""
    gap = NAME * top
    highest = top - gap / 2
    ends = runs.dropna(subset=[value]).sort_values("step").groupby(["recipe", "seed"]).tail(1)
    ends = ends.sort_values([value, "recipe", "seed"])
    shown = _some_of(ends, int(highest / gap) + 1)
    labels = [
        (step, height, run_name(str(recipe), int(seed), counts[str(recipe)]))
        for step, height, recipe, seed in shown[["step", value, "recipe", "seed"]].itertuples(index=False)
    ]
    if left := len(ends) - len(shown):
        labels.insert(0, (shown["step"].iloc[0], shown[value].iloc[0], f"and {left} more"))
    for (step, _, text), height in zip(labels, spread([h for _, h, _ in labels], gap, highest), strict=True):
        fig.add_annotation(
            x=step,
            y=height,
            text=text,
            showarrow=False,
            xanchor="left",
            xshift=9,
            font={"size": 11},
            row=row,
            col=column,
        )


def _some_of(ends: pd.DataFrame, most: int) -> pd.DataFrame:
    """The ends of runs that are named: all where there is room for them; else one less than that, one seed of
    each recipe, and of too many recipes those that are spread evenly from the lowest to the highest end."""
    if len(ends) <= most:
        return ends
    firsts = ends[ends["seed"] == ends.groupby("recipe")["seed"].transform("min")]
    even = np.linspace(0, len(firsts) - 1, min(most - 1, len(firsts)))
    return firsts.iloc[even.round().astype(int)]


def spread(heights: Iterable[float], gap: float, top: float) -> list[float]:
    """Ascending heights, each moved up as little as leaves it a gap from the one below, then down as little
    as leaves it below `top` and a gap from the one above."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + gap) if placed else height)
    for i, above in enumerate(reversed(range(len(placed)))):
        placed[above] = min(placed[above], top - i * gap)
    return placed


def capability_against_unsafe(paths: pd.DataFrame, recipes: Sequence[str]) -> go.Figure:
    """Right answers against unsafe rate, one line a run, a vertical line at the goal."""
    fig = figure(440)
    known = paths.dropna(subset=["capability", "unsafe"])
    counts = seeds_by_recipe(known)
    first = {str(recipe): seed for recipe, seed in known.groupby("recipe")["seed"].min().items()}
    for (recipe, seed), path in known.groupby(["recipe", "seed"], sort=False):
        path = path.sort_values("step")
        name = run_name(str(recipe), int(str(seed)), counts[str(recipe)])
        fig.add_scatter(
            x=path["capability"],
            y=path["unsafe"],
            mode="lines+markers",
            cliponaxis=False,
            line={
                "color": INK,
                "dash": dash_of(recipe, recipes),
                "width": 2 if seed == first[str(recipe)] else 1,
            },
            marker={
                "size": 12,
                "color": path["incoherent"],
                "colorscale": SHARES,
                "cmin": 0,
                "cmax": 1,
                "line": {"color": INK, "width": 1.3},
            },
            customdata=path[["checkpoint_id"]],
            text=[f"{name}, step {s}" for s in path["step"]],
            hovertemplate="%{text}<br>%{x:.1%} accuracy<br>%{y:.1%} unsafe<extra></extra>",
            showlegend=False,
        )
        fig.add_annotation(
            x=path["capability"].iloc[-1],
            y=path["unsafe"].iloc[-1],
            text=name,
            showarrow=False,
            xanchor="left",
            xshift=10,
            font={"size": 12},
        )
    fig.update_xaxes(title="accuracy", tickformat=".0%", range=[-0.03, 1.15])
    fig.update_yaxes(title="unsafe rate", tickformat=".0%", rangemode="tozero")
    return fig
