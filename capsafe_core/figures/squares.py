"""Matrices of square marks; plotly's heat-map cells do not report clicks, marks do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from capsafe_core.analysis.judge_agreement import DIFFERENCE
from capsafe_core.figures.style import (
    AGREEMENT,
    COVERED,
    EDGE,
    INK,
    OUTCOME_COLOURS,
    PAPER,
    SHARES,
    SOLID,
    figure,
    on_outcome,
    run_name,
    seeds_by_recipe,
)
from capsafe_core.quoting import join_names


def _width(columns: int) -> int:
    """Close enough to compare neighbours, however few columns there are."""
    return min(1120, 330 + 92 * columns)


def ids(*columns: Iterable[str]) -> list[str]:
    """What a click on a mark brings: its values of several columns, as `quoting.split_names` takes them
    apart."""
    return [join_names(values) for values in zip(*columns, strict=True)]


def squares(
    marks: pd.DataFrame,
    scale: list[list[object]],
    low: float,
    high: float,
    height: int,
    size: int = 38,
) -> go.Figure:
    """Squares shaded by value, each with an id for clicks.

    Args:
        marks: x, y, value (missing for an empty square), id, text, hover.
        scale: plotly colour scale from `low` to `high`.
        size: of a square, in pixels.
    """
    fig = figure(height, width=_width(marks["x"].nunique()))
    fig.add_scatter(
        x=marks["x"],
        y=marks["y"],
        mode="markers+text",
        marker={
            "symbol": "square",
            "size": size,
            "color": marks["value"].astype(float),
            "colorscale": scale,
            "cmin": low,
            "cmax": high,
            "line": {"color": EDGE, "width": 1},
        },
        text=marks["text"],
        textfont={"size": 11, "color": INK},
        customdata=marks[["id"]],
        hovertext=marks["hover"],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )
    fig.update_xaxes(showgrid=False, type="category", automargin=True)
    fig.update_yaxes(showgrid=False, type="category", autorange="reversed", automargin=True)
    return fig


def _runs(table: pd.DataFrame) -> pd.Series:
    """The name of each row's run."""
    counts = seeds_by_recipe(table)
    return pd.Series(
        [run_name(r, s, counts[r]) for r, s in zip(table["recipe"], table["seed"], strict=True)],
        index=table.index,
        dtype=object,
    )


def incoherence_squares(table: pd.DataFrame) -> go.Figure:
    """Share of incoherent outputs: rows runs and benchmarks, columns training steps; ids are
    "checkpoint~benchmark"."""
    rows = _runs(table) + " · " + table["benchmark"]
    marks = pd.DataFrame(
        {
            "x": table["step"].astype(str),
            "y": rows,
            "value": table["rate"],
            "id": ids(table["checkpoint_id"], table["benchmark"]),
            "text": [f"{100 * v:.0f}" for v in table["rate"]],
            "hover": [
                f"{row}, step {s}\n{e} of {n} incoherent"
                for row, s, e, n in zip(rows, table["step"], table["events"], table["n"], strict=True)
            ],
        }
    )
    fig = squares(marks, SHARES, 0.0, 1.0, 110 + 42 * rows.nunique())
    fig.update_xaxes(
        title="training step" if table["step"].any() else "as given",
        categoryorder="array",
        categoryarray=[str(s) for s in sorted(table["step"].unique())],
        showticklabels=bool(table["step"].any()),
    )
    return fig


def reason_dots(table: pd.DataFrame) -> go.Figure:
    """Reasons along training: rows runs and reasons, columns steps, dot area the share of outputs, hollow by
    the detector and filled by people; ids are "checkpoint~reason"."""
    table = table.sort_values(["recipe", "seed", "reason", "step"]).reset_index(drop=True)
    rows = _runs(table) + " · " + table["reason"].str.replace("_", " ")
    steps = [str(s) for s in sorted(table["step"].unique())]
    fig = figure(100 + 36 * rows.nunique(), width=_width(len(steps)))
    for by, colour in (("detector", PAPER), ("people", SOLID)):
        mine = table[table["by"] == by]
        if mine.empty:
            continue
        fig.add_scatter(
            x=[str(s) for s in mine["step"]],
            y=rows[mine.index],
            mode="markers",
            name=f"says the {by}" if by == "detector" else "say people",
            marker={
                "size": (mine["share"] ** 0.5 * 34).clip(lower=5),
                "color": colour,
                "line": {"color": INK, "width": 1.8 if by == "detector" else 0},
            },
            customdata=[[mark] for mark in ids(mine["checkpoint_id"], mine["reason"])],
            hovertext=[
                f"{row}, step {step}, by {by}: {n} of {of} outputs, {share:.0%}"
                for row, step, n, of, share in zip(
                    rows[mine.index], mine["step"], mine["n"], mine["of"], mine["share"], strict=True
                )
            ],
            hovertemplate="%{hovertext}<extra></extra>",
            showlegend=bool((table["by"] == "people").any()),
        )
    fig.update_yaxes(type="category", autorange="reversed", automargin=True)
    fig.update_xaxes(title="training step", type="category", categoryorder="array", categoryarray=steps)
    return fig


def agreement_squares(table: pd.DataFrame, stratum: str, name: str) -> go.Figure:
    """A coefficient of each pair of judges in a stratum; "—" where it is not defined. Ids are "judge~judge".

    Args:
        table: as `agreement_intervals`.
        name: of the coefficient, for the title.
    """
    mine = table[table["stratum"] == stratum]
    both = pd.concat(
        [mine, mine.rename(columns={"judge_1": "judge_2", "judge_2": "judge_1"})], ignore_index=True
    )
    words = ["—" if pd.isna(k) else f"{round(k, 2) + 0:.2f}" for k in both["value"]]
    spans = [
        "no interval" if pd.isna(low) else f"{low:.2f} to {high:.2f}"
        for low, high in zip(both["low"], both["high"], strict=True)
    ]
    marks = pd.DataFrame(
        {
            "x": both["judge_1"],
            "y": both["judge_2"],
            "value": both["value"],
            "id": ids(both["judge_1"], both["judge_2"]),
            "text": words,
            "hover": [
                f"{a} and {b}\n{name} {'not defined' if k == '—' else k} ({span})\nn = {n}"
                for a, b, k, span, n in zip(
                    both["judge_1"], both["judge_2"], words, spans, both["n"], strict=True
                )
            ],
        }
    )
    fig = squares(
        marks,
        AGREEMENT,
        -1.0,
        1.0,
        130 + 52 * both["judge_1"].nunique(),
    )
    names = sorted(both["judge_1"].unique())
    fig.update_xaxes(tickangle=-25, categoryorder="array", categoryarray=names)
    fig.update_yaxes(categoryorder="array", categoryarray=names)
    fig.update_layout(
        title={
            "text": stratum if stratum == DIFFERENCE else f"{stratum} outputs",
            "font": {"size": 14},
            "x": 0.02,
        },
        width=None,
    )
    return fig


def transition_squares(
    table: pd.DataFrame, order: Sequence[str], here: str, there: str, words: Mapping[str, str]
) -> go.Figure:
    """The same prompts before and after: rows outcome at one checkpoint, columns at another. Ids are
    "before~after".

    Args:
        table: before, after, n, share, as `Transitions.table`.
        order: outcomes in the order in which they stand.
        here, there: which checkpoints the rows and the columns are.
        words: what each outcome is called.
    """
    totals = table.groupby("before")["n"].sum()
    marks = pd.DataFrame(
        {
            "x": [words[a] for a in table["after"]],
            "y": [f"{words[b]} ({totals[b]})" for b in table["before"]],
            "value": table["share"],
            "id": ids(table["before"], table["after"]),
            "text": table["n"].astype(str),
            "hover": [
                f"{words[b]} before, {words[a]} after\n{n} prompts, {s:.0%} of the row"
                for b, a, n, s in zip(
                    table["before"], table["after"], table["n"], table["share"], strict=True
                )
            ],
        }
    )
    rows = [o for o in order if o in set(table["before"])]
    fig = squares(marks, SHARES, 0.0, 1.0, 120 + 48 * len(rows))
    fig.update_xaxes(
        title=f"at {there}",
        side="bottom",
        categoryorder="array",
        categoryarray=[words[o] for o in order if o in set(table["after"])],
    )
    fig.update_yaxes(
        title=f"at {here}",
        categoryorder="array",
        categoryarray=[f"{words[o]} ({totals[o]})" for o in rows],
    )
    return fig


def story_grid(story: pd.DataFrame, words: Mapping[str, str], chosen: str = "") -> go.Figure:
    """One prompt: rows runs, columns steps, colour outcome, text the votes for unsafe; ids are
    generations.

    Args:
        words: what each outcome is called.
    """
    runs = list(_runs(story))
    fig = figure(110 + 46 * len(set(runs)), width=_width(story["step"].nunique()))
    for outcome, colour in OUTCOME_COLOURS.items():
        picked = [i for i, o in enumerate(story["outcome"]) if o == outcome]
        if not picked:
            continue
        part = story.iloc[picked]
        fig.add_scatter(
            x=[str(s) for s in part["step"]],
            y=[runs[i] for i in picked],
            mode="markers+text",
            name=words[outcome],
            marker={
                "symbol": "square",
                "size": 40,
                "color": colour,
                "line": {
                    "color": [INK if g == chosen else EDGE for g in part["generation_id"]],
                    "width": [3 if g == chosen else 1 for g in part["generation_id"]],
                },
            },
            text=[
                f"{u}/{u + s}" if u + s else ""
                for u, s in zip(part["unsafe_votes"], part["safe_votes"], strict=True)
            ],
            textfont={"size": 11, "color": on_outcome(outcome)},
            customdata=part[["generation_id"]],
            hovertemplate="%{y}, step %{x}<br>"
            + words[outcome]
            + "<br>judges who say unsafe: %{text}<extra></extra>",
        )
    fig.update_xaxes(
        title="training step",
        type="category",
        categoryorder="array",
        categoryarray=[str(s) for s in sorted(story["step"].unique())],
        showgrid=False,
    )
    fig.update_yaxes(
        type="category",
        autorange="reversed",
        showgrid=False,
        automargin=True,
        categoryorder="array",
        categoryarray=list(dict.fromkeys(runs)),
    )
    return fig


def coverage_squares(table: pd.DataFrame) -> go.Figure:
    """What is there, on one benchmark: rows checkpoints, columns judges, shade the share of outputs seen.

    Ids are "checkpoint~benchmark".
    """
    rows = _runs(table) + " · step " + table["step"].astype(str)
    words = {"present": "", "missing": "0", "no outputs": "–"}
    marks = pd.DataFrame(
        {
            "x": table["judge"],
            "y": rows,
            "value": (table["seen"] / table["outputs"].where(table["outputs"] > 0)).fillna(0.0),
            "id": ids(table["checkpoint_id"], table["benchmark"]),
            "text": [
                words.get(state, f"{seen}/{outputs}")
                for state, seen, outputs in zip(table["state"], table["seen"], table["outputs"], strict=True)
            ],
            "hover": [
                f"{row}\n{judge}: {seen} of {outputs} outputs seen"
                for row, judge, seen, outputs in zip(
                    rows, table["judge"], table["seen"], table["outputs"], strict=True
                )
            ],
        }
    )
    fig = squares(
        marks,
        COVERED,
        0.0,
        1.0,
        130 + 26 * rows.nunique(),
        size=22,
    )
    fig.update_xaxes(side="top", tickangle=-25)
    return fig
