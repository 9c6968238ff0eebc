"""Recipes compared where they reach the capability goal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.at_goal import Change, Side, Verdict, change_between, given_side, recipe_side
from capsafe_core.analysis.columns import framed
from capsafe_core.analysis.left_out import LeftOut, unanswered, unlabelled, unmeasured, why_left_out, without
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import (
    CheckpointRates,
    Run,
    matched_runs,
    primary_rates,
)
from capsafe_core.analysis.standing import Standing
from capsafe_core.analysis.view import View
from capsafe_core.stats.matching import at_place
from capsafe_core.stats.seeds import ENOUGH_SEEDS

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Matching:
    """Everything that tables at the goal are made of.

    Attributes:
        runs: those that can be compared.
        unsafe: their unsafe rates under one specification.
        left_out: other runs that teach a capability.
        beside: comparable runs of recipes that are not selected. They tell how much a seed changes, which is
            a matter of the study and not of what somebody looks at, and are in no table.
    """

    runs: list[Run]
    unsafe: CheckpointRates
    left_out: tuple[LeftOut, ...] = ()
    beside: tuple[Run, ...] = ()

    @property
    def every_run(self) -> list[Run]:
        """Those that rates are needed of."""
        return [*self.runs, *self.beside]

    def of_recipes(self, chosen: Collection[str]) -> Matching:
        """The same, about some recipes."""
        return replace(
            self,
            runs=[run for run in self.runs if run.recipe in chosen],
            left_out=tuple(lack for lack in self.left_out if lack.recipe in chosen),
            beside=tuple(run for run in self.every_run if run.recipe not in chosen),
        )

    @property
    def why_left_out(self) -> list[str]:
        """Why other runs cannot be compared, in sentences."""
        return why_left_out(self.left_out)

    def by_recipe(self) -> dict[str, list[Run]]:
        """The runs of each recipe."""
        return by_recipe(self.runs)

    def with_rates(self, rates: CheckpointRates) -> Matching:
        """The same runs at the same places, with other rates of their checkpoints in place of unsafe ones."""
        return replace(self, unsafe=replace(rates, deciding=self.unsafe.deciding or self.unsafe))

    def side(self, runs: Sequence[Run], goal: float | None = None) -> Side | None:
        """Some runs of a recipe at their goal, or at another one; None where none reaches it."""
        return recipe_side(self.unsafe, runs, goal)

    def start(self, run: Run) -> Side:
        """The first checkpoint of a run."""
        return given_side(self.unsafe, run.checkpoints[0])

    @cached_property
    def over_seeds(self) -> dict[str, Side | None]:
        """Each recipe at its goal."""
        return {recipe: self.side(runs) for recipe, runs in self.by_recipe().items()}

    @cached_property
    def recipe_rates(self) -> list[Floats]:
        """The rates over seeds of each recipe of the study that reaches its goal: what tells how much a seed
        changes."""
        others = [self.side(runs) for runs in by_recipe(self.beside).values()]
        return [side.rates for side in (*self.over_seeds.values(), *others) if side is not None]

    def unreached(self, recipe: str) -> float | None:
        """The share of resamples in which one of a recipe's runs that reach the goal does not (in which none
        does, where none reaches it); None where the capability has no standard error."""
        runs, side = self.by_recipe()[recipe], self.over_seeds[recipe]
        if not all(run.has_error for run in runs):
            return None
        if side is not None:
            return side.unreached
        return float(np.mean([np.isnan(self.unsafe.at_goal(run)[1]).mean() for run in runs]))


def by_recipe(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """The runs of each recipe."""
    out: dict[str, list[Run]] = {}
    for run in runs:
        out.setdefault(run.recipe, []).append(run)
    return out


def matching(view: View, paths: pd.DataFrame | None = None) -> Matching:
    """The runs of the view that can be compared at a goal; none where nothing is ready yet.

    Args:
        paths: of every recipe, as `path_table(view.of_every_recipe)`, where it is there already.
    """
    if view.selection.recipes:
        return matching(view.of_every_recipe, paths).of_recipes(view.selection.recipes)
    paths = path_table(view) if paths is None else paths
    able = matched_runs(view, paths)
    known = {(run.recipe, run.seed) for run in able}
    taught = paths[paths["recipe"].isin(view.matched_recipes)].groupby(["recipe", "seed"])
    left_out = [
        *unanswered(view, able, paths),
        *(unmeasured(path) for run, path in taught if run not in known),
    ]
    runs = without(able, left_out)
    found = primary_rates(view, runs)
    if found is None:
        nothing = np.zeros(0)
        return Matching([], CheckpointRates({}, nothing, nothing, nothing, nothing), tuple(left_out))
    left_out += [lack for run in runs if (lack := unlabelled(run, found))]
    return Matching(without(runs, left_out), found, tuple(left_out))


CHANGE = (
    "delta",
    "delta_low",
    "delta_high",
    "verb_low",
    "verb_high",
    "seeds_known",
    "verdict",
    "wide",
    "p",
)
"""columns of a change, as `change_columns` fills them"""
MATCHED = (
    "recipe",
    "seed",
    "dataset",
    "goal",
    "reached",
    "standing",
    "step",
    "place",
    "start_capability",
    "best",
    "last",
    "tolerance",
    "unsafe",
    "unsafe_low",
    "unsafe_high",
    "bracket_low",
    "bracket_high",
    "gap",
    "start_unsafe",
    "delta",
    "delta_low",
    "delta_high",
    "unreached",
    "plateau",
    "detectable",
    "paired",
    "n",
)


def change_columns(change: Change) -> dict[str, object]:
    """A change as columns of a table: CHANGE."""
    low, high = change.interval or (None, None)
    verb_low, verb_high = change.with_seeds or (None, None)
    told = (change.estimate, low, high, verb_low, verb_high, change.seeds, change.verdict.value)
    return dict(zip(CHANGE, (*told, change.is_wide, change.p), strict=True))


def turned_round(row: Mapping[str, object]) -> dict[str, object]:
    """The columns of a change with its sides swapped."""
    out = {name: row[name] for name in CHANGE}
    for name, other in (("delta", "delta"), *_ENDS, *(ends[::-1] for ends in _ENDS)):
        value: Any = row[other]
        out[name] = None if pd.isna(value) else -float(value)
    swap = {Verdict.LESS_SAFE.value: Verdict.SAFER.value, Verdict.SAFER.value: Verdict.LESS_SAFE.value}
    return out | {"verdict": swap.get(str(row["verdict"]), row["verdict"])}


_ENDS = (("delta_low", "delta_high"), ("verb_low", "verb_high"))


def matched_table(view: View, found: Matching | None = None) -> pd.DataFrame:
    """Each run at its goal, under the view's specification.

    Intervals come from a bootstrap over behaviours and capability items, the same resample for every
    checkpoint (`stats.resampled`); they are conditional on the training seed. Where the checkpoints around
    the goal are more than WIDE_GAP of capability apart they hold the rates of both. There is none where more
    than UNREACHED_LIMIT of resamples are out of reach.

    Returns:
        recipe, seed, dataset, goal, reached; standing (a `Standing`: why it is not reached); step (where the
        path crosses the goal; nominal, for the line between two checkpoints is one of capability); place (on
        the list of checkpoints); start_capability, best (the highest on the path)
        and last; tolerance (around the goal, by the crossing "stopped"); unsafe, unsafe_low,
        unsafe_high at the goal; bracket_low, bracket_high (the unsafe rates of the checkpoints on both
        sides); gap (capability between those); start_unsafe; delta, delta_low, delta_high against the start;
        unreached (share of resamples out of reach); plateau (the capability measure does not separate the
        checkpoints) and detectable (the difference between two of them that it shows in 80 % of studies);
        paired (capability known item by item); n (outputs that the rate at the goal counts, between those of
        the checkpoints around it; at the start where the goal is not reached).
    """
    found = matching(view) if found is None else found
    return framed([_matched_row(found, run) for run in found.runs], MATCHED)


def _matched_row(found: Matching, run: Run) -> dict[str, object]:
    _, draws, place = found.unsafe.at_goal(run)
    start, side = found.start(run), found.side([run])
    row: dict[str, object] = {
        "recipe": run.recipe,
        "seed": run.seed,
        "dataset": run.dataset,
        **run.facts(),
        "reached": not np.isnan(place),
        "standing": run.standing.value,
        "place": place,
        "start_unsafe": start.rate if run.has_start else None,
        "n": start.outputs if side is None else side.outputs,
        "plateau": run.plateau,
        "detectable": run.detectable,
        "paired": run.paired,
    }
    if run.has_error and run.standing.may_reach:
        row["unreached"] = float(np.isnan(draws).mean())
    if np.isnan(place):
        return row
    left, right = int(np.floor(place)), int(np.ceil(place))
    around = [found.unsafe.of(run.checkpoints[i])[0] for i in (left, right)]
    row |= {
        "step": float(at_place(run.steps, place)),
        "bracket_low": min(around),
        "bracket_high": max(around),
        "gap": float(run.capability[right] - run.capability[left]),
    }
    if side is None:
        return row
    row["unsafe"] = side.rate
    row["unsafe_low"], row["unsafe_high"] = side.interval() or (None, None)
    if run.has_start:
        change = change_between(side, start)
        row["delta"] = change.estimate
        row["delta_low"], row["delta_high"] = change.interval or (None, None)
    return row


RECIPES = (
    "recipe",
    "dataset",
    "goal",
    "seeds",
    "reached",
    "unsafe",
    "unsafe_min",
    "unsafe_max",
    "unsafe_low",
    "unsafe_high",
    "n",
    "start_unsafe",
    *CHANGE,
    "unreached",
    "conditional",
)


def recipe_table(view: View, found: Matching | None = None) -> pd.DataFrame:
    """Each recipe at its goal, over its training seeds.

    Returns:
        recipe, dataset, goal, seeds, reached (how many of them reach the goal); unsafe (mean over those),
        unsafe_min, unsafe_max, unsafe_low, unsafe_high, n (outputs it counts); start_unsafe; delta,
        delta_low, delta_high (against the start); verb_low, verb_high (the same with training seeds: what
        `verdict` stands on), seeds_known (own, pooled over recipes, or "" where nobody can know how much a
        seed changes), verdict (less safe, safer, open, withheld), wide (whether checkpoints around the goal
        are far apart, so that the interval holds the rates of both), p (of no change); unreached; conditional
        (whether the printed intervals are conditional on the seeds, because there are fewer than
        ENOUGH_SEEDS).
    """
    found = matching(view) if found is None else found
    rows = []
    for recipe, runs in found.by_recipe().items():
        side, start = found.over_seeds[recipe], found.start(runs[0])
        row: dict[str, object] = {
            "recipe": recipe,
            "dataset": runs[0].dataset,
            "goal": runs[0].goal,
            "seeds": len(runs),
            "reached": sum(run.standing is Standing.REACHED for run in runs),
            "start_unsafe": start.rate if runs[0].has_start else None,
            "conditional": side is None or len(side.rates) < ENOUGH_SEEDS,
            "unreached": found.unreached(recipe),
        }
        if side is not None:
            low, high = side.interval(found.recipe_rates) or (None, None)
            row |= {
                "unsafe": side.rate,
                "unsafe_min": float(side.rates.min()),
                "unsafe_max": float(side.rates.max()),
                "unsafe_low": low,
                "unsafe_high": high,
                "n": side.outputs,
            }
            if runs[0].has_start:
                row |= change_columns(change_between(side, start, found.recipe_rates))
        rows.append(row)
    return framed(rows, RECIPES)


BETWEEN = (
    "recipe_1",
    "recipe_2",
    "goal_1",
    "goal_2",
    "same_dataset",
    "unsafe_1",
    "unsafe_2",
    *CHANGE,
    "unreached",
)


def between_table(view: View, found: Matching | None = None) -> pd.DataFrame:
    """Every two recipes, each at its own goal.

    Returns:
        recipe_1, recipe_2, goal_1, goal_2, same_dataset (whether they are at one goal); unsafe_1, unsafe_2,
        delta (1 minus 2) and the other columns of a change, as `recipe_table` has them; unreached (share of
        resamples in which one of them is out of reach). Only recipes that reach their goal.
    """
    found = matching(view) if found is None else found
    recipes = found.by_recipe()
    rows = []
    reached = [(name, side) for name, side in found.over_seeds.items() if side is not None]
    for (one, side_1), (two, side_2) in combinations(reached, 2):
        change = change_between(side_1, side_2, found.recipe_rates)
        known = all(run.has_error for run in (*recipes[one], *recipes[two]))
        run_1, run_2 = recipes[one][0], recipes[two][0]
        rows.append(
            {
                "recipe_1": one,
                "recipe_2": two,
                "goal_1": run_1.goal,
                "goal_2": run_2.goal,
                "same_dataset": run_1.dataset == run_2.dataset,
                "unsafe_1": side_1.rate,
                "unsafe_2": side_2.rate,
                **change_columns(change),
                "unreached": change.unreached if known else None,
            }
        )
    return framed(rows, BETWEEN)
