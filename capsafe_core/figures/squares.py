"""Matrices of square marks; plotly's heat-map cells do not report clicks, marks do."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from capsafe_core.figures.style import INK, OUTCOME_COLOURS, OUTCOME_WORDS, SHARES, figure, run_name, seeds_by_recipe


def _width(columns: int) -> int:
    """Close enough to compare neighbours, however few columns there are."""
    return min(1120, 330 + 92 * columns)


def squares(
    x: Sequence[str], y: Sequence[str], values: Sequence[float | None], ids: Sequence[str], text: Sequence[str], hover: Sequence[str], scale: list[list[object]], low: float, high: float, height: int
) -> go.Figure:
    """Squares at (x, y), shaded by value, each with an id for clicks; a value of None is an empty square."""
    fig = figure(height, width=_width(len(set(x))))
    light = [v is None or pd.isna(v) or (v - low) / (high - low) < 0.6 for v in values]
    fig.add_scatter(
        x=list(x),
        y=list(y),
        mode="markers+text",
        marker={
            "symbol": "square",
            "size": 38,
            "color": [None if v is None or pd.isna(v) else v for v in values],
            "colorscale": scale,
            "cmin": low,
            "cmax": high,
            "line": {"color": "#b8bfc6", "width": 1},
        },
        text=list(text),
        textfont={"size": 11, "color": [INK if is_light else "white" for is_light in light]},
        customdata=[[i] for i in ids],
        hovertext=list(hover),
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )
    fig.update_xaxes(showgrid=False, type="category", automargin=True)
    fig.update_yaxes(showgrid=False, type="category", autorange="reversed", automargin=True)
    return fig


def incoherence_squares(table: pd.DataFrame) -> go.Figure:
    """Share of incoherent outputs: rows runs and benchmarks, columns training steps; ids are "checkpoint~benchmark"."""
    counts = seeds_by_recipe(table)
    runs = [run_name(r, s, counts[r]) for r, s in zip(table["recipe"], table["seed"], strict=True)]
    rows = [f"{run} · {b}" for run, b in zip(runs, table["benchmark"], strict=True)]
    steps = sorted(table["step"].unique())
    fig = squares(
        [str(s) for s in table["step"]],
        rows,
        list(table["rate"]),
        [f"{c}~{b}" for c, b in zip(table["checkpoint_id"], table["benchmark"], strict=True)],
        [f"{100 * v:.0f}" for v in table["rate"]],
        [f"{row}, step {s}<br>{e} of {n} incoherent" for row, s, e, n in zip(rows, table["step"], table["events"], table["n"], strict=True)],
        SHARES,
        0.0,
        1.0,
        90 + 42 * len(set(rows)),
    )
    fig.update_xaxes(title="training step", categoryorder="array", categoryarray=[str(s) for s in steps])
    return fig


def reason_dots(table: pd.DataFrame) -> go.Figure:
    """Reasons along training: rows runs and reasons, columns steps, dot area the share of outputs; ids are "checkpoint~reason"."""
    counts = seeds_by_recipe(table)
    table = table.sort_values(["recipe", "seed", "reason", "step"])
    rows = [f"{run_name(r, s, counts[r])} · {reason.replace('_', ' ')}" for r, s, reason in zip(table["recipe"], table["seed"], table["reason"], strict=True)]
    steps = [str(s) for s in sorted(table["step"].unique())]
    fig = figure(100 + 36 * len(set(rows)), width=_width(len(steps)))
    fig.add_scatter(
        x=[str(s) for s in table["step"]],
        y=rows,
        mode="markers",
        marker={"size": (table["share"] ** 0.5 * 34).clip(lower=5), "color": "rgba(255,255,255,0.2)", "line": {"color": INK, "width": 1.8}},
        customdata=[[f"{c}~{r}"] for c, r in zip(table["checkpoint_id"], table["reason"], strict=True)],
        hovertext=[f"{row}, step {step}: {n} outputs, {share:.0%}" for row, step, n, share in zip(rows, table["step"], table["n"], table["share"], strict=True)],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )
    fig.update_yaxes(type="category", autorange="reversed", automargin=True)
    fig.update_xaxes(title="training step", type="category", categoryorder="array", categoryarray=steps)
    return fig


def agreement_squares(table: pd.DataFrame, stratum: str) -> go.Figure:
    """Cohen's kappa of each pair of judges in a stratum; "—" where it is not defined. Ids are "judge~judge"."""
    mine = table[table["stratum"] == stratum]
    both = pd.concat([mine, mine.rename(columns={"judge_1": "judge_2", "judge_2": "judge_1"})])
    kappas = [None if k is None or pd.isna(k) else float(k) for k in both["kappa"]]
    fig = squares(
        list(both["judge_1"]),
        list(both["judge_2"]),
        kappas,
        [f"{a}~{b}" for a, b in zip(both["judge_1"], both["judge_2"], strict=True)],
        ["—" if k is None else f"{k:.2f}" for k in kappas],
        [f"{a} and {b}<br>kappa {'not defined' if k is None else f'{k:.2f}'}<br>n = {n}" for a, b, k, n in zip(both["judge_1"], both["judge_2"], kappas, both["n"], strict=True)],
        [[0.0, "#d7e3f4"], [0.5, "#ffffff"], [1.0, "#22577a"]],
        -1.0,
        1.0,
        90 + 52 * both["judge_1"].nunique(),
    )
    names = sorted(both["judge_1"].unique())
    fig.update_xaxes(tickangle=-25, categoryorder="array", categoryarray=names)
    fig.update_yaxes(categoryorder="array", categoryarray=names)
    fig.update_layout(title={"text": f"{stratum} outputs", "font": {"size": 14}, "x": 0.02})
    return fig


def story_grid(story: pd.DataFrame, chosen: str = "") -> go.Figure:
    """One prompt: rows runs, columns steps, colour outcome, text the votes for unsafe; ids are generations."""
    counts = seeds_by_recipe(story)
    runs = [run_name(r, s, counts[r]) for r, s in zip(story["recipe"], story["seed"], strict=True)]
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
            name=OUTCOME_WORDS[outcome],
            marker={
                "symbol": "square",
                "size": 40,
                "color": colour,
                "line": {"color": [INK if g == chosen else "#b8bfc6" for g in part["generation_id"]], "width": [3 if g == chosen else 1 for g in part["generation_id"]]},
            },
            text=[f"{u}/{u + s}" if u + s else "" for u, s in zip(part["unsafe_votes"], part["safe_votes"], strict=True)],
            textfont={"size": 11, "color": "white" if outcome in ("refusal", "unsafe") else INK},
            customdata=part[["generation_id"]],
            hovertemplate="%{y}, step %{x}<br>" + OUTCOME_WORDS[outcome] + "<br>judges who say unsafe: %{text}<extra></extra>",
        )
    fig.update_xaxes(title="training step", type="category", categoryorder="array", categoryarray=[str(s) for s in sorted(story["step"].unique())], showgrid=False)
    fig.update_yaxes(type="category", autorange="reversed", showgrid=False, automargin=True, categoryorder="array", categoryarray=list(dict.fromkeys(runs)))
    return fig


def coverage_squares(table: pd.DataFrame) -> go.Figure:
    """What is there: the number of judges that have seen all outputs; lighter where some are partial. Ids are "checkpoint~benchmark"."""
    counts = seeds_by_recipe(table)
    rows = [f"{run_name(r, s, counts[r])} · step {step}" for r, s, step in zip(table["recipe"], table["seed"], table["step"], strict=True)]
    fig = squares(
        list(table["benchmark"]),
        rows,
        [float(j) for j in table["judges"]],
        [f"{c}~{b}" for c, b in zip(table["checkpoint_id"], table["benchmark"], strict=True)],
        [f"{j}{'+' if p else ''}" for j, p in zip(table["judges"], table["partial"], strict=True)],
        [f"{row}<br>{b}: {o} outputs, {j} judges done, {p} partly" for row, b, o, j, p in zip(rows, table["benchmark"], table["outputs"], table["judges"], table["partial"], strict=True)],
        [[0.0, "#ffffff"], [1.0, "#4fb3a5"]],
        0.0,
        float(max(table["judges"].max(), 1)),
        110 + 42 * len(set(rows)),
    )
    fig.update_xaxes(side="top")
    return fig
