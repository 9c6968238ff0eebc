"""Judges against each other, and against people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from capsafe_core.figures.style import (
    AMOUNT,
    BACKGROUND,
    EDGE,
    FAINT,
    GRID,
    INK,
    OUTCOME_COLOURS,
    PAPER,
    TEMPLATE,
    UNCHECKED,
    figure,
    hatching,
    interval_bars,
    panels,
    small,
)
from capsafe_core.quoting import join_names

STRATA = (
    ("coherent", OUTCOME_COLOURS["unsafe"], "on coherent outputs"),
    ("incoherent", PAPER, "on incoherent outputs"),
    ("unchecked", BACKGROUND, "on outputs not checked for coherence"),
)
"""of a dumbbell: (stratum, colour, words)"""


def dumbbell(table: pd.DataFrame) -> go.Figure:
    """Each judge's unsafe rate on coherent (filled), incoherent (hollow) and unchecked (grey) outputs; ids
    are "judge~stratum".

    Args:
        table: as `dumbbell_table`, one row a judge.
    """
    fig = figure(120 + 64 * len(table))
    for row in table.dropna(subset=["coherent", "incoherent"]).itertuples():
        fig.add_scatter(
            x=[row.coherent, row.incoherent],
            y=[row.judge, row.judge],
            mode="lines",
            line={"color": EDGE, "width": 5},
            hoverinfo="skip",
            showlegend=False,
        )
    for stratum, colour, words in STRATA:
        _add_stratum(fig, table[table[stratum].notna()], stratum, colour, words)
    for row in table.itertuples():
        fig.add_annotation(
            x=0,
            y=row.judge,
            text=str(row.stance),
            showarrow=False,
            xanchor="left",
            yshift=-19,
            font={"size": 11, "color": FAINT},
        )
    fig.update_xaxes(title="outputs called unsafe", tickformat=".0%", range=[-0.03, 1.05])
    fig.update_yaxes(
        type="category",
        range=[len(table) - 0.4, -0.6],
        gridcolor=GRID,
        automargin=True,
        tickfont={"color": INK},
    )
    return fig


def _add_stratum(fig: go.Figure, known: pd.DataFrame, stratum: str, colour: str, words: str) -> None:
    """Every judge's rate on one stratum; people are diamonds."""
    if known.empty:
        return
    fig.add_scatter(
        x=known[stratum],
        y=known["judge"],
        mode="markers",
        name=words,
        error_x=interval_bars(known[stratum], known[f"{stratum}_low"], known[f"{stratum}_high"]),
        marker={
            "size": 16,
            "symbol": ["diamond" if family == "people" else "circle" for family in known["family"]],
            "color": colour,
            "line": {"color": OUTCOME_COLOURS["unsafe"], "width": 2.4},
        },
        customdata=[[join_names((judge, stratum))] for judge in known["judge"]],
        hovertext=[
            f"{j}: {v:.1%} of {n} {stratum} outputs called unsafe"
            for j, v, n in zip(known["judge"], known[stratum], known[f"{stratum}_n"], strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def split_bars(splits: pd.DataFrame) -> go.Figure:
    """A bar for coherent and one for incoherent outputs: how many of them judges split on. Ids are kinds.

    Args:
        splits: as `splits_table`.
    """
    names = [f"{kind}\n{small(f'n = {n:,}')}" for kind, n in zip(splits["kind"], splits["n"], strict=True)]
    fig = figure(70 + 52 * len(names), barmode="stack", bargap=0.35)
    for name, share, colour, ink in (
        ("judges split", splits["share"], INK, PAPER),
        ("judges agree", 1 - splits["share"], GRID, INK),
    ):
        fig.add_bar(
            y=names,
            x=share,
            orientation="h",
            name=name,
            marker={"color": colour},
            text=[f"{value:.0%}" if value >= 0.08 else "" for value in share],
            textposition="inside",
            insidetextanchor="middle",
            textfont={"color": ink, "size": 13},
            customdata=splits[["kind"]],
            selected={"textfont": {"color": ink}},
            unselected={"textfont": {"color": ink}, "marker": {"opacity": 0.6}},
            hovertext=[f"{kind} outputs, {name}" for kind in splits["kind"]],
            hovertemplate="%{hovertext}: %{x:.1%}: click to list them<extra></extra>",
        )
    fig.update_xaxes(range=[0, 1], tickformat=".0%", showgrid=False)
    fig.update_yaxes(autorange="reversed", showgrid=False, automargin=True)
    fig.update_layout(legend={"traceorder": "normal"}, margin={"t": 36, "b": 28, "r": 28})
    return fig


def vote_patterns(table: pd.DataFrame, top: int = 20) -> go.Figure:
    """Who votes how together: a row for each of the most frequent patterns, a dot a judge, a bar split by
    coherence. Ids are patterns.

    Args:
        table: as `votes_table`.
    """
    judges = [
        c for c in table.columns if c not in ("pattern", "coherent", "incoherent", "unchecked", "n", "share")
    ]
    rows = table.head(top).reset_index(drop=True)
    words = [_pattern_words(row, judges) for _, row in rows.iterrows()]
    dots = min(max(0.2, 0.075 * len(judges)), 0.7)
    fig = panels(cols=2, shared_yaxes=True, column_widths=[dots, 1 - dots], horizontal_spacing=0.02)
    for vote, colour in (
        ("unsafe", OUTCOME_COLOURS["unsafe"]),
        ("safe", OUTCOME_COLOURS["safe"]),
        ("", PAPER),
    ):
        _add_votes(fig, rows, judges, words, vote, colour)
    _add_amounts(fig, rows, words)
    fig.update_layout(
        template=TEMPLATE,
        height=170 + 27 * len(rows),
        barmode="overlay",
        bargap=0.35,
        margin={"t": 40, "b": 92},
    )
    fig.update_xaxes(
        type="category",
        tickangle=-35,
        showgrid=False,
        categoryorder="array",
        categoryarray=judges,
        row=1,
        col=1,
    )
    fig.update_xaxes(title="outputs", range=[0, rows["n"].max() * 1.3] if len(rows) else None, row=1, col=2)
    fig.update_yaxes(range=[len(rows) - 0.4, -0.6], showticklabels=False, showgrid=False)
    return fig


def _add_votes(
    fig: go.Figure, rows: pd.DataFrame, judges: Sequence[str], words: Sequence[str], vote: str, colour: str
) -> None:
    """A dot for each judge that gives a vote ("" for no verdict) in a pattern, which `words` describe."""
    marks = [(judge, i) for i in rows.index for judge in judges if rows.at[i, judge] == vote]
    fig.add_scatter(
        x=[judge for judge, _ in marks],
        y=[i for _, i in marks],
        mode="markers",
        name=f"says {vote}" if vote else "no verdict",
        marker={
            "size": 13,
            "color": colour,
            "symbol": "circle" if vote == "unsafe" else "square",
            "line": {"color": FAINT, "width": 0 if vote else 1},
        },
        customdata=[[rows.at[i, "pattern"]] for _, i in marks],
        hovertext=[words[i] for _, i in marks],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=bool(marks),
        row=1,
        col=1,
    )


def _pattern_words(row: pd.Series, judges: Sequence[str]) -> str:
    """Who votes how in a pattern, and how many outputs have it."""
    votes = {vote: [judge for judge in judges if row[judge] == vote] for vote in ("unsafe", "safe", "")}
    said = [f"{vote or 'no verdict'}: {', '.join(names)}" for vote, names in votes.items() if names]
    return "\n".join([*said, f"{row['n']:,} outputs ({row['share']:.0%})"])


def _add_amounts(fig: go.Figure, rows: pd.DataFrame, words: Sequence[str]) -> None:
    """How many outputs have each pattern: a bar split by coherence, and the number at its end."""
    begin = pd.Series(0, index=rows.index)
    for name, colour, kind in (
        ("coherent", AMOUNT, "coherent"),
        ("incoherent", OUTCOME_COLOURS["incoherent"], "incoherent"),
        ("unchecked", UNCHECKED, "coherence not judged"),
    ):
        if not rows[name].any():
            continue
        fig.add_bar(
            x=rows[name],
            y=rows.index,
            base=begin,
            orientation="h",
            name=kind,
            marker={"color": colour, "pattern": hatching(name, colour)},
            hovertemplate="%{x} outputs, " + kind + "<extra></extra>",
            row=1,
            col=2,
        )
        begin = begin + rows[name]
    fig.add_scatter(
        x=rows["n"],
        y=rows.index,
        mode="markers+text",
        text=[f" {n} ({s:.0%})" for n, s in zip(rows["n"], rows["share"], strict=True)],
        textposition="middle right",
        textfont={"size": 12},
        marker={"size": 9, "color": INK, "symbol": "line-ns-open"},
        customdata=rows[["pattern"]],
        hovertext=words,
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
        row=1,
        col=2,
    )


def text_map(table: pd.DataFrame, words: Mapping[str, str]) -> go.Figure:
    """Responses laid out by their words: colour the outcome, a ring where judges are split. Ids are
    generations. The axes mean nothing.

    Args:
        table: as `text_map` of the analysis.
        words: what each outcome is called.
    """
    fig = figure(520)
    for outcome, colour in OUTCOME_COLOURS.items():
        mine = table[table["outcome"] == outcome]
        if mine.empty:
            continue
        fig.add_scatter(
            x=mine["x"],
            y=mine["y"],
            mode="markers",
            name=words[outcome],
            marker={
                "size": 8,
                "color": colour,
                "opacity": 0.75,
                "line": {"color": INK, "width": [1.6 if d >= 0.4 else 0.3 for d in mine["disputed"]]},
            },
            customdata=mine[["generation_id"]],
            hovertext=[
                f"Prompt {p}\n{r}, seed {d}, step {s}\n{u} of {u + v} judges say unsafe"
                for p, r, d, s, u, v in zip(
                    mine["item"],
                    mine["recipe"],
                    mine["seed"],
                    mine["step"],
                    mine["unsafe_votes"],
                    mine["safe_votes"],
                    strict=True,
                )
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    fig.update_xaxes(showticklabels=False, title="")
    fig.update_yaxes(showticklabels=False, title="")
    return fig


def scores_beside(table: pd.DataFrame) -> go.Figure:
    """Two scored judges: squares as large as their counts, lines at the cut-offs; ids are "x~y"."""
    first = table.iloc[0]
    fig = figure(420, width=560)
    fig.add_scatter(
        x=table["x"],
        y=table["y"],
        mode="markers",
        marker={
            "symbol": "square",
            "size": (table["n"] / table["n"].max()) ** 0.5 * 34 + 2,
            "color": AMOUNT,
        },
        customdata=[[f"{x:g}~{y:g}"] for x, y in zip(table["x"], table["y"], strict=True)],
        hovertext=[
            f"{first['judge_1']} {x:.2f}, {first['judge_2']} {y:.2f}: {n:,} outputs"
            for x, y, n in zip(table["x"], table["y"], table["n"], strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )
    fig.add_vline(x=first["cutoff_1"], line={"color": INK, "dash": "dash"})
    fig.add_hline(y=first["cutoff_2"], line={"color": INK, "dash": "dash"})
    fig.update_xaxes(title=f"score of {first['judge_1']}", range=[0, 1])
    fig.update_yaxes(title=f"score of {first['judge_2']}", range=[0, 1])
    return fig
