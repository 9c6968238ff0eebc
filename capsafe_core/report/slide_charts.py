"""The charts of findings as slides draw them, from the same tables as their figures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from capsafe_core.analysis.columns import records
from capsafe_core.figures.conclusions import DIRECTIONS
from capsafe_core.figures.style import FAINT, HATCH, INK, OUTCOME_COLOURS, run_name, seeds_by_recipe
from capsafe_core.report.finding import Series, Slide

_POINTS = "+0;−0;0"
"""number format of a difference in points"""
Interval = tuple[float, float] | None


def outcomes_chart(bars: pd.DataFrame, words: Mapping[str, str]) -> Slide:
    """Shares of outcomes of each recipe at its goal, its start first.

    Args:
        bars: recipe, outcome, share, start ("" for a recipe).
        words: what each outcome is called.
    """
    starts = dict(zip(bars["recipe"], bars["start"], strict=True))
    names = list(starts)
    shares = bars.pivot_table(index="recipe", columns="outcome", values="share").reindex(names)
    return Slide(
        "stacked",
        [
            Series(
                words[outcome],
                [float(share) for share in shares[outcome]],
                colour=colour,
                look="hatched" if outcome == "incoherent" else "fill",
            )
            for outcome, colour in OUTCOME_COLOURS.items()
            if outcome in shares
        ],
        [f"{start} (start)" if start else name for name, start in starts.items()],
        ("Responses, %", ""),
        ("0%", ""),
    )


def plane_chart(paths: pd.DataFrame, at_goal: pd.DataFrame, unsafe: str) -> Slide:
    """Capability against unsafe rate: each run's path, and each recipe at its goal with its interval.

    Args:
        paths: recipe, seed, dataset, step, goal, capability, unsafe.
        at_goal: recipe, goal, unsafe, unsafe_low, unsafe_high; rows without a rate are left out.
        unsafe: what an unsafe verdict is called, in the plural.
    """
    known = paths.dropna(subset=["capability", "unsafe"])
    read = records(at_goal.dropna(subset=["unsafe"]))
    highest = [*known["unsafe"], *at_goal["unsafe_high"].dropna(), 0.05]
    top = min(1.0, float(np.ceil(11 * max(highest)) / 10))
    counts = seeds_by_recipe(known) if len(known) else {}
    series = [
        Series(
            run_name(str(recipe), int(str(seed)), counts[str(recipe)]),
            [float(v) for v in run["unsafe"]],
            [float(v) for v in run["capability"]],
            colour=INK,
            look="path",
        )
        for (recipe, seed), run in known.sort_values("step").groupby(["recipe", "seed"], sort=False)
    ]
    goals = dict(paths.dropna(subset=["goal"])[["dataset", "goal"]].itertuples(index=False, name=None))
    for dataset, goal in goals.items():
        name = f"goal, {goal:.0%}" if len(goals) == 1 else f"goal on {dataset}, {goal:.0%}"
        series.append(Series(name, [0.0, top], [float(goal)] * 2, colour=FAINT, look="line"))
    at = Series(
        "at the goal, 95% interval",
        [float(row["unsafe"]) for row in read],
        [float(row["goal"]) for row in read],
        [_interval(row["unsafe_low"], row["unsafe_high"]) for row in read],
        OUTCOME_COLOURS["unsafe"],
        "primary",
    )
    axes = ("Accuracy, %", f"{unsafe.capitalize()}, %")
    return Slide("points", [*series, at], axes=axes, top=(1.0, top))


def curve_chart(curve: pd.DataFrame, a: str) -> Slide:
    """The specification curve in points, by direction; the primary variant is the diamond.

    Args:
        curve: as `Conclusion.curve`.
        a: what the differences are of.
    """
    places = np.arange(1, len(curve) + 1)
    primary = curve["primary"].to_numpy(dtype=bool)
    named = {1: f"{a} less safe", -1: f"{a} safer", 0: "interval includes zero"}
    parts = [
        (named[d], (curve["direction"].to_numpy() == d) & ~primary, colour, "marks")
        for d, (_, colour, _shape) in DIRECTIONS.items()
    ]
    colour = DIRECTIONS[int(curve["direction"].to_numpy()[primary][0])][1] if primary.any() else INK
    parts.append(("primary variant", primary, colour, "primary"))
    return Slide(
        "points",
        [
            Series(
                name,
                [100 * float(v) for v in curve["estimate"][chosen]],
                [float(place) for place in places[chosen]],
                _intervals(100 * curve["low"][chosen], 100 * curve["high"][chosen]),
                colour,
                look,
            )
            for name, chosen, colour, look in parts
        ],
        axes=("Analysis variants, by estimate", "Difference in unsafe rate, points"),
        formats=("", _POINTS),
        top=(float(len(curve) + 1), None),
    )


def judges_chart(table: pd.DataFrame) -> Slide:
    """Each judge's unsafe rate on coherent and on incoherent responses.

    Args:
        table: as `dumbbell_table`.
    """
    return Slide(
        "clustered",
        [
            Series(
                f"{kind} responses",
                [None if pd.isna(v) else float(v) for v in table[kind]],
                intervals=_intervals(table[f"{kind}_low"], table[f"{kind}_high"]),
                colour=OUTCOME_COLOURS["unsafe"],
                look=look,
            )
            for kind, look in (("coherent", "fill"), ("incoherent", "hatched"))
        ],
        [str(judge) for judge in table["judge"]],
        ("Responses called unsafe, %", ""),
        ("0%", ""),
        (1.0, None),
    )


def incoherence_chart(table: pd.DataFrame, benchmark: str) -> Slide:
    """The share of incoherent responses of each run along training, on one benchmark.

    Args:
        table: as `incoherence_table`.
        benchmark: which, where it is in the table; else the first that is.
    """
    known = table.dropna(subset=["rate"]).sort_values("step")
    present = list(dict.fromkeys(known["benchmark"]))
    chosen = benchmark if benchmark in present else next(iter(present), "")
    known = known[known["benchmark"] == chosen]
    counts = seeds_by_recipe(known) if len(known) else {}
    return Slide(
        "points",
        [
            Series(
                run_name(str(recipe), int(str(seed)), counts[str(recipe)]),
                [float(v) for v in run["rate"]],
                [float(v) for v in run["step"]],
                _intervals(run["low"], run["high"]),
                HATCH,
                "path",
            )
            for (recipe, seed), run in known.groupby(["recipe", "seed"], sort=False)
        ],
        axes=("Training step", f"Incoherent responses to {chosen}, %"),
        formats=("#,##0", "0%"),
        top=(None, 1.0),
    )


def _intervals(low: pd.Series, high: pd.Series) -> list[Interval]:
    return [_interval(a, b) for a, b in zip(low, high, strict=True)]


def _interval(low: float, high: float) -> Interval:
    return None if pd.isna(low) or pd.isna(high) else (float(low), float(high))
