"""The first screen: what fine-tuning did, and how sure that is."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.arms import Arm, Claim
from capsafe_core.analysis.conclusions import Conclusion, conclusion
from capsafe_core.analysis.matched import matched_table, matching, recipe_table
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.rates import cell_rates, study_counts
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.stats.matching import at_place
from capsafe_core.store.counts import outcome_counts

Floats = npt.NDArray[np.float64]
BAR_ORDER = ("refusal", "safe", "unsafe", "incoherent", "no verdict")


@dataclass(frozen=True)
class Overview:
    """Everything the first screen shows.

    Attributes:
        recipe: the recipe that the headline is about.
        headline: the finding in counts, one or two sentences.
        chip: in how many ways of asking the direction holds.
        bars: recipe, outcome, share; the start first ("start: NAME"), then each recipe at its goal.
        notes: for each bar, where on the path it was read.
        paths: as `path_table`.
        matched: as `matched_table`.
        claim: key of the headline's claim, for the Conclusions page.
        numbers: the four numbers, name -> (value, explanation).
    """

    recipe: str
    headline: str
    chip: str
    bars: pd.DataFrame
    notes: dict[str, str]
    paths: pd.DataFrame
    matched: pd.DataFrame
    claim: str
    numbers: dict[str, tuple[str, str]]


def overview(view: View, recipe: str = "") -> Overview:
    """The first screen for one recipe; the one whose unsafe rate moved most where none is asked for.

    Raises:
        CapsafeError: no recipe of the study has outputs on a capability and a safety benchmark yet.
    """
    view = replace(view, selection=view.selection.but(recipes=()))  # every recipe stays on the screen
    counts = study_counts(view)
    paths = path_table(view, cell_rates(view, counts))
    at_goal = matching(view, paths)
    matched, recipes = matched_table(view, at_goal), recipe_table(view, at_goal)
    if matched.empty:
        raise CapsafeError(
            " ".join(
                [
                    "No recipe has both a capability and a safety benchmark answered and judged yet.",
                    *at_goal.left_out,
                ]
            ),
            "The Runs page shows what is missing.",
        )
    if not recipe:
        reached = recipes[recipes["reached"] > 0]
        moved = reached.sort_values("delta", key=abs, ascending=False) if len(reached) else recipes
        recipe = str(moved["recipe"].iloc[0])
    mine = matched[matched["recipe"] == recipe]
    if mine.empty:
        raise CapsafeError(
            f"The recipe {recipe!r} cannot be compared at a goal.",
            f"Choose one of: {', '.join(matched['recipe'].unique())}.",
        )
    row = recipes[recipes["recipe"] == recipe].iloc[0]
    bars, notes = outcome_bars(view, paths, matched)
    claim = Claim(Arm("recipe", recipe), Arm("start", view.study.recipe(recipe).start))
    found = conclusion(view, claim, at_goal.runs) if mine["reached"].any() else None
    same, total, flips = agreement_with_primary(found) if found else (0, 0, "")
    return Overview(
        recipe,
        _headline(view, row, mine),
        _chip(same, total, flips),
        bars,
        notes,
        paths,
        matched,
        claim.key,
        _numbers(view, paths, mine, bars, row, same, total),
    )


def agreement_with_primary(found: Conclusion) -> tuple[int, int, str]:
    """Ways of asking whose estimate points in the primary direction, all ways, and the choice that flips the
    sign most often; "" where none does."""
    curve = found.curve
    main = curve[curve["primary"]]
    if main.empty:  # the primary way cannot be asked, so nothing can agree with it
        return 0, 0, ""
    same = np.sign(curve["estimate"].astype(float).round(9)) == np.sign(
        round(float(main["estimate"].iloc[0]), 9)
    )
    most = next((f for f in found.flipping if f.flips), None)
    return int(same.sum()), len(curve), most.choice if most else ""


def outcome_bars(
    view: View, paths: pd.DataFrame, matched: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Outcome shares of each start and of each recipe at its goal (mean over seeds), and where each was
    read."""
    spec = view.specification
    counts = outcome_counts(view.store, spec).merge(view.compared(view.cells), on="cell_id")
    counts = counts[counts["benchmark"] == spec.benchmark]
    shares = counts.pivot_table(
        index="checkpoint_id", columns="outcome", values="n", aggfunc="sum", fill_value=0
    )
    shares = shares.div(shares.sum(axis=1), axis=0).reindex(columns=list(BAR_ORDER), fill_value=0.0)
    bars: list[tuple[str, str, float]] = []
    notes: dict[str, str] = {}

    def add(name: str, values: Floats, note: str) -> None:
        bars.extend((name, outcome, float(value)) for outcome, value in zip(BAR_ORDER, values, strict=True))
        notes[name] = note

    values, places = shares.to_numpy(), {checkpoint: i for i, checkpoint in enumerate(shares.index)}
    start_of, step_of, checkpoint_of = (paths[name].to_numpy() for name in ("start", "step", "checkpoint_id"))
    along_run = {
        run: (start_of[rows][0], step_of[rows][-1], list(checkpoint_of[rows]))
        for run, rows in paths.groupby(["recipe", "seed"], sort=False).indices.items()
    }
    runs_of: dict[str, list[dict[Hashable, Any]]] = {}
    for run in matched.to_dict("records"):
        runs_of.setdefault(str(run["recipe"]), []).append(run)
    for recipe, runs in runs_of.items():
        read, where = [], []
        reach = [run for run in runs if run["reached"]]
        for run in reach or runs:
            start, last, checkpoints = along_run[recipe, run["seed"]]
            if not set(checkpoints) <= set(places):
                continue
            along = values[[places[c] for c in checkpoints]].T
            if f"start: {start}" not in notes:
                add(f"start: {start}", along[:, 0], "before fine-tuning")
            place = run["place"] if run["reached"] else float(len(checkpoints) - 1)
            read.append(at_place(along, np.full(len(along), place)))
            where.append(
                f"step {run['step']:.0f}"
                if run["reached"]
                else f"step {last}, {'no match: plateau' if run['plateau'] else 'goal not reached'}"
            )
        if read:
            add(recipe, np.mean(read, axis=0), ", ".join(where))
    return pd.DataFrame(bars, columns=["recipe", "outcome", "share"]), notes


def of_hundred(rate: float) -> str:
    """A rate as a count of a hundred."""
    return f"{100 * rate:.0f} of 100"


def _headline(view: View, recipe: pd.Series, runs: pd.DataFrame) -> str:
    """The finding in counts, over seeds."""
    name, goal = recipe["recipe"], f"{recipe['goal']:.0%} on {view.capability_benchmark(recipe['dataset'])}"
    if runs["plateau"].all():
        return (
            f"The capability of {name} does not change measurably along its path, so its safety cannot "
            "be compared at a goal."
        )
    if not recipe["reached"]:
        return (
            f"{name} never reaches its goal of {goal}: its best checkpoint has {runs['best'].max():.0%}. "
            "No comparison at the goal is possible."
        )
    if pd.isna(recipe["unsafe"]):
        return (
            f"{name} reaches its goal of {goal}, but has no unsafe rate there: every answer of a "
            "checkpoint beside it is left out. Choose another treatment of incoherent answers."
        )
    low, high = recipe["unsafe_low"], recipe["unsafe_high"]
    span = "" if pd.isna(low) or pd.isna(high) else f" ({100 * low:.0f}–{100 * high:.0f})"
    sentence = (
        f"At its goal of {goal}, {name} answers {of_hundred(recipe['unsafe'])}{span} harmful "
        f"requests harmfully; its start, {view.study.recipe(name).start}, "
        f"{100 * recipe['start_unsafe']:.0f}."
    )
    if recipe["seeds"] > 1:
        sentence += (
            f" Seeds that reach it: {recipe['reached']} of {recipe['seeds']}, from "
            f"{100 * recipe['unsafe_min']:.0f} to {100 * recipe['unsafe_max']:.0f}."
        )
    return sentence


def _chip(same: int, total: int, flips: str) -> str:
    if not total:
        return "no other way of asking is possible yet"
    if same == total:
        return f"same direction in all {total} ways of asking"
    return f"same direction in {same} of {total} ways of asking; flips most with {flips.replace('_', ' ')}"


def _numbers(
    view: View,
    paths: pd.DataFrame,
    runs: pd.DataFrame,
    bars: pd.DataFrame,
    row: pd.Series,
    same: int,
    total: int,
) -> dict[str, tuple[str, str]]:
    spec, recipe, delta = view.specification, str(row["recipe"]), float(row["delta"])
    mine = bars[bars["recipe"] == recipe].set_index("outcome")["share"]
    path = paths[(paths["recipe"] == recipe) & (paths["seed"] == runs["seed"].iloc[0])]
    place = float(runs["place"].iloc[0]) if runs["reached"].iloc[0] else float(len(path) - 1)
    spread = at_place(path["judges_high"].to_numpy(), place) - at_place(path["judges_low"].to_numpy(), place)
    return {
        "Change in unsafe rate": (
            "not reached" if np.isnan(delta) else f"{100 * delta:+.0f} points",
            f"{recipe} at its goal against its start, judge {spec.judge}",
        ),
        "Incoherent answers": (
            f"{mine.get('incoherent', float('nan')):.0%}",
            f"share of {recipe}'s answers to {spec.benchmark}, by {spec.coherence}",
        ),
        "Spread of judges": (
            f"{100 * float(spread):.0f} points",
            "highest minus lowest unsafe rate that any judge gives for the same outputs",
        ),
        "Ways of asking that agree": (
            f"{same} of {total}",
            "benchmark × judge × cut-off × treatment of incoherent and of cut-off answers, by the sign of "
            "the estimate; not a probability",
        ),
    }
