"""The two figures of the first screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from capsafe_core.figures.squares import ids
from capsafe_core.figures.style import (
    BACKGROUND,
    BAND,
    FAINT,
    INK,
    OUTCOME_COLOURS,
    PAPER,
    SHARES,
    VEIL,
    dash_of,
    figure,
    hatching,
    on_outcome,
    small,
)

WEAK = 0.45
"""opacity of the bars that do not stand out; ink can be read on them"""


def outcome_bars(
    bars: pd.DataFrame, notes: Mapping[str, str], words: Mapping[str, str], chosen: str = ""
) -> go.Figure:
    """One 100% bar for each recipe at its goal, the start first; incoherent is hatched. Ids are a bar and an
    outcome.

    Args:
        bars: recipe, outcome, share, start ("" for a recipe).
        notes: where each bar was read.
        words: what each outcome is called.
        chosen: a recipe, whose bar and its start's stand out; "" for all alike.
    """
    names = list(dict.fromkeys(bars["recipe"]))
    labels = [f"{name}\n{small(notes.get(name, ''))}" for name in names]
    starts = set(bars.loc[bars["start"] != "", "recipe"])
    strong = [not chosen or name == chosen or name in starts for name in names]
    fig = figure(84 + 50 * len(names), barmode="stack", bargap=0.35)
    for outcome, colour in OUTCOME_COLOURS.items():
        shares = bars[bars["outcome"] == outcome].set_index("recipe")["share"].reindex(names)
        if shares.isna().all() or shares.max() < 0.0005:
            continue
        fig.add_bar(
            y=labels,
            x=shares,
            orientation="h",
            name=words[outcome],
            marker={
                "color": colour,
                "line": {"color": PAPER, "width": 1},
                "opacity": [1.0 if one else WEAK for one in strong],
                "pattern": hatching(outcome, colour),
            },
            text=[f"{share:.0%}" if share >= 0.06 else "" for share in shares],
            textposition="inside",
            insidetextanchor="middle",
            textfont={"color": [on_outcome(outcome) if one else INK for one in strong], "size": 13},
            customdata=[[one] for one in ids(names, [outcome] * len(names))],
            selected={
                "textfont": {"color": on_outcome(outcome)}
            },  # plotly stumbles over a click where these are not there
            unselected={"textfont": {"color": on_outcome(outcome)}, "marker": {"opacity": WEAK}},
            hovertext=names,
            hovertemplate="%{hovertext}<br>%{x:.1%} " + words[outcome] + ": click to read<extra></extra>",
        )
    fig.update_xaxes(range=[0, 1], tickformat=".0%", showgrid=False)
    fig.update_yaxes(autorange="reversed", showgrid=False, automargin=True)
    fig.update_layout(legend={"traceorder": "normal"}, margin={"t": 44, "b": 32, "r": 28})
    return fig


def gained_against_unsafe(paths: pd.DataFrame, recipes: Sequence[str], chosen: str = "") -> go.Figure:
    """Share of the goal gained against unsafe rate, a line for each seed by the judge in force; one recipe
    can be chosen, which has its range across judges, and the others are faint.

    Args:
        paths: as `path_table` gives it; rows without a capability goal are left out.
        recipes: every recipe of the study.
        chosen: a recipe; "" for all alike.
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
    frame = _Frame.around(known, chosen)
    several = list(enumerate(known.groupby("recipe", sort=False)))
    several.sort(key=lambda one: one[1][0] == chosen)  # what is chosen lies on top
    for i, (recipe, runs) in several:
        if recipe == chosen:
            _add_judges(fig, runs)
        _add_runs(fig, runs, dash_of(recipe, recipes), faint=bool(chosen) and recipe != chosen)
        last = runs[runs["seed"] == runs["seed"].min()].sort_values("step").iloc[-1]
        if recipe != chosen and not frame.has_room(last):
            continue
        fig.add_annotation(
            x=last["gained"],
            y=last["unsafe"],
            text=str(recipe),
            showarrow=False,
            xanchor="left",
            xshift=10,
            yshift=9 if i % 2 else -9,
            font={"size": 12, "color": FAINT if chosen and recipe != chosen else INK},
            bgcolor=VEIL,
        )
    fig.update_xaxes(title="share of the capability goal gained", tickformat=".0%", range=frame.across)
    fig.update_yaxes(title="unsafe rate", tickformat=".0%", range=frame.up, rangemode="tozero")
    fig.update_layout(margin={"t": 16, "b": 48, "l": 64, "r": 10})
    return fig


@dataclass(frozen=True)
class _Frame:
    """The part of the plane that is shown, and the checkpoints that names may not lie on."""

    across: list[float] | None
    up: list[float] | None
    taken: pd.DataFrame

    @classmethod
    def around(cls, known: pd.DataFrame, chosen: str) -> _Frame:
        """What the chosen recipe needs, the start and the goal with it; all recipes where none is chosen."""
        mine = known[known["recipe"] == chosen] if chosen in set(known["recipe"]) else known
        if mine.empty:
            return cls(None, None, mine)
        across = [min(-0.1, mine["gained"].min() - 0.05), max(1.15, mine["gained"].max() * 1.22)]
        top = np.nanmax([0.1, mine["unsafe"].max(), mine["judges_high"].max() if chosen else np.nan])
        return cls(across, [-0.03, 1.08 * top] if chosen else None, mine if chosen else mine.iloc[:0])

    def has_room(self, point: pd.Series) -> bool:
        """Whether a name fits beside a point: it lies inside, and on none of the checkpoints."""
        if self.across is None or self.up is None:
            return True
        x = (point["gained"] - self.across[0]) / (self.across[1] - self.across[0])
        y = (point["unsafe"] - self.up[0]) / (self.up[1] - self.up[0])
        across = (self.taken["gained"] - self.across[0]) / (self.across[1] - self.across[0]) - x
        up = (self.taken["unsafe"] - self.up[0]) / (self.up[1] - self.up[0]) - y
        return bool(
            0 <= x <= 0.85 and 0 <= y <= 1 and not (across.between(-0.05, 0.3) & (up.abs() < 0.12)).any()
        )


def _add_runs(fig: go.Figure, runs: pd.DataFrame, dash: str, faint: bool) -> None:
    """A recipe's paths; marks are checkpoints, filled by their share of incoherent responses."""
    first = runs["seed"].min()
    for seed, path in runs.groupby("seed"):
        path = path.sort_values("step")
        fig.add_scatter(
            x=path["gained"],
            y=path["unsafe"],
            mode="lines" if faint else "lines+markers",
            cliponaxis=False,
            line={"color": BACKGROUND if faint else INK, "dash": dash, "width": 2 if seed == first else 1},
            marker={
                "size": 13,
                "color": path["incoherent"],
                "colorscale": SHARES,
                "cmin": 0,
                "cmax": 1,
                "line": {"color": INK, "width": 1.4},
                "showscale": bool(seed == first) and not faint,
                "colorbar": {
                    "title": {"text": "incoherent", "side": "right", "font": {"size": 12}},
                    "tickformat": ".0%",
                    "tickfont": {"size": 11},
                    "thickness": 9,
                    "len": 0.8,
                },
            },
            customdata=path[["checkpoint_id"]],
            text=[
                f"{recipe}, step {step}" for recipe, step in zip(path["recipe"], path["step"], strict=True)
            ],
            hovertemplate="%{text}<br>%{x:.0%} of the goal gained<br>unsafe rate "
            "%{y:.1%}<br>%{marker.color:.0%} incoherent<extra></extra>",
            showlegend=False,
        )


def _add_judges(fig: go.Figure, runs: pd.DataFrame) -> None:
    """The range across judges at each share of the goal."""
    range_ = span_over(runs, "gained", "judges_low", "judges_high")
    fig.add_scatter(
        x=[*range_.index, *range_.index[::-1]],
        y=[*range_["high"], *range_["low"][::-1]],
        fill="toself",
        fillcolor=BAND,
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        mode="lines",
    )


def span_over(runs: pd.DataFrame, over: str, low: str, high: str, points: int = 60) -> pd.DataFrame:
    """The lowest `low` and the highest `high` that any path has at a value of `over`, straight between
    checkpoints; columns low and high, index the values in order. A path that turns back counts at each pass,
    so that a band drawn from this never folds.

    Args:
        runs: paths of one recipe: seed, step and the three columns.
    """
    places = np.linspace(runs[over].min(), runs[over].max(), points)
    places = np.unique(np.concatenate([places, runs[over].to_numpy(float)]))
    lows, highs = np.full(len(places), np.nan), np.full(len(places), np.nan)
    for _, path in runs.groupby("seed"):
        rows = path.sort_values("step")[[over, low, high]].dropna().to_numpy(float)
        for ends in zip(rows, [*rows[1:], rows[-1]] if len(rows) else (), strict=True):
            x, bottom, top = np.array(sorted(map(tuple, ends))).T
            inside = (places >= x[0]) & (places <= x[1])
            lows[inside] = np.fmin(lows[inside], np.interp(places[inside], x, bottom))
            highs[inside] = np.fmax(highs[inside], np.interp(places[inside], x, top))
        for place, bottom, top in rows:  # where a path goes straight up, each of its ends counts
            here = places == place
            lows[here], highs[here] = np.fmin(lows[here], bottom), np.fmax(highs[here], top)
    known = ~np.isnan(lows)
    return pd.DataFrame({"low": lows[known], "high": highs[known]}, index=places[known])
