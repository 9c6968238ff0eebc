"""Capability against safety for a recipe and its mitigations."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from capsafe_core.figures.style import (
    FAINT,
    INK,
    SHARES,
    dash_of,
    figure,
)

LEAST_TOP = 0.1
"""of the axis of unsafe rates, so that its whole per cents are different ones"""


def mitigated_plane(
    paths: pd.DataFrame, base: str, after: Sequence[str], goal: float | None, recipes: Sequence[str]
) -> go.Figure:
    """Right answers against unsafe rate: the unmitigated recipe's path drawn through, each mitigation's over
    its steps or strengths. Ids are checkpoints.

    Args:
        paths: as `path_table`, of these recipes.
        base: the unmitigated recipe.
        after: mitigations after training; the ends of their paths are those of the recipe's own.
        goal: at which they are compared.
        recipes: every recipe of the study.
    """
    fig = figure(430)
    known = paths.dropna(subset=["capability", "unsafe"])
    others = [name for name in dict.fromkeys(known["recipe"]) if name != base]
    for name in [base, *others]:
        mine = known[known["recipe"] == name]
        dash = dash_of(name, recipes)
        for seed, path in mine.groupby("seed"):
            path = path.sort_values("step")
            _add_path(fig, path, name, int(str(seed)), dash, name == base, name in after)
        first = mine[mine["seed"] == mine["seed"].min()].sort_values("step")
        if len(first) > 1:
            named = first.iloc[-1] if name not in after else first.iloc[len(first) // 2]
            fig.add_annotation(
                x=named["capability"],
                y=named["unsafe"],
                text=name,
                showarrow=False,
                xanchor="left",
                xshift=10,
                font={"size": 12},
            )
    if goal is not None:
        fig.add_vline(
            x=goal,
            line={"color": FAINT, "dash": "dot"},
            annotation={"text": f"goal {goal:.0%}", "font": {"size": 12, "color": FAINT}},
        )
    fig.update_xaxes(title="accuracy", tickformat=".0%", range=[-0.03, 1.12])
    top = max(1.15 * float(known["unsafe"].max()) if len(known) else 0.0, LEAST_TOP)
    fig.update_yaxes(title="unsafe rate", tickformat=".0%", range=[-0.03 * top, top])
    return fig


def _add_path(
    fig: go.Figure, path: pd.DataFrame, name: str, seed: int, dash: str, is_base: bool, is_after: bool
) -> None:
    """One seed's path; of a mitigation after training the ends carry no marks, as they are another's."""
    own = path.iloc[1:-1] if is_after and path["step"].iloc[-1] >= 1000 else path
    fig.add_scatter(
        x=path["capability"],
        y=path["unsafe"],
        mode="lines",
        line={"color": INK, "dash": dash, "width": 3 if is_base else 1.4},
        hoverinfo="skip",
        showlegend=False,
        cliponaxis=False,
    )
    kept = "% of the fine-tuning left" if is_after else "steps"
    fig.add_scatter(
        x=own["capability"],
        y=own["unsafe"],
        mode="markers",
        marker={
            "size": 12,
            "symbol": "circle" if is_base else "diamond",
            "color": own["incoherent"],
            "colorscale": SHARES,
            "cmin": 0,
            "cmax": 1,
            "line": {"color": INK, "width": 1.3},
        },
        customdata=own[["checkpoint_id"]],
        text=[
            f"{name}, seed {seed}, {step / 10 if is_after else step:.0f} {kept}\n"
            + ("coherence not checked" if pd.isna(broken) else f"{broken:.0%} incoherent")
            for step, broken in zip(own["step"], own["incoherent"], strict=True)
        ],
        hovertemplate="%{text}<br>%{x:.1%} accuracy<br>%{y:.1%} unsafe<extra></extra>",
        showlegend=False,
        cliponaxis=False,
    )
