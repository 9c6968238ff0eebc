"""Mitigations beside what they mitigate, and beside what costs nothing, at the same capability."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from capsafe_core.analysis.at_goal import Change, Side, change_between, given_side
from capsafe_core.analysis.columns import framed, records
from capsafe_core.analysis.matched import (
    CHANGE,
    Matching,
    between_table,
    change_columns,
    matched_table,
    matching,
    recipe_table,
    turned_round,
)
from capsafe_core.analysis.mitigation_costs import Costs, cost_at_goal
from capsafe_core.analysis.overview import outcome_bars
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import Run
from capsafe_core.analysis.sample import Floats
from capsafe_core.analysis.view import View
from capsafe_core.stats.paired import holm
from capsafe_core.study import RecipeSettings

STOPPED, HALVED, MITIGATION = "stopping earlier", "halving the adapter", "mitigation"
"""what a row is: the two that cost nothing, and what is to be better than both"""
HALF = 500
"""the step of a recipe that scales an adapter at which half of it is left"""
COLUMNS = [
    "recipe",
    "of",
    "mitigation",
    "kind",
    "goal",
    "seeds",
    "reached",
    "why_not",
    "n",
    "unsafe",
    "unsafe_low",
    "unsafe_high",
    "unsafe_of",
    *CHANGE,
    "p_holm",
    "half_delta",
    "half_low",
    "half_high",
    "half_verdict",
    "incoherent",
    "incoherent_of",
    "steps",
    "seconds",
    "memory",
]


@dataclass(frozen=True)
class Family:
    """A recipe and those that mitigate it, in the study's order."""

    base: str
    mitigations: tuple[RecipeSettings, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (self.base, *(r.name for r in self.mitigations))

    @property
    def halving(self) -> RecipeSettings | None:
        """The one that scales the adapter after training, of whose path the half is a baseline."""
        return next((r for r in self.mitigations if r.of and r.mitigation == "scale"), None)


def families(view: View) -> list[Family]:
    """Every recipe of the study that others mitigate, with those."""
    found: dict[str, list[RecipeSettings]] = {}
    for recipe in view.study.recipes:
        if recipe.mitigated:
            found.setdefault(recipe.mitigated, []).append(recipe)
    return [Family(base, tuple(others)) for base, others in found.items()]


def mitigations_table(
    view: View, found: Matching | None = None, paths: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Each mitigation at the goal, beside the recipe that it mitigates, with the two baselines that cost
    nothing.

    Returns:
        recipe, of, mitigation (the method; "training" where its training differs), kind (`STOPPED`: the
        unmitigated recipe, which is stopped at the goal; `HALVED`; `MITIGATION`), goal, seeds, reached (how
        many of them reach the goal), why_not (why none
        does), n (requests of each seed);
        unsafe, unsafe_low, unsafe_high, unsafe_of (of the unmitigated recipe), delta (the first minus the
        second) and the other columns of a change, as `recipe_table` has them, p_holm (adjusted for all rows);
        half_delta, half_low, half_high, half_verdict: unsafe rate against the halved adapter, where the
        recipe has its capability; incoherent, incoherent_of: shares at the goal; steps, seconds, memory
        (bytes): what it takes to get there, missing where no job recorded it. A halved adapter is one
        checkpoint: its goal is its own capability, at which the unmitigated recipe is read too; reached
        counts the seeds in which it keeps the goal of the others.
    """
    known = families(view)
    if not known:
        return framed([], COLUMNS)
    view = view.of_every_recipe  # each is read beside what it mitigates, whichever are selected
    paths = path_table(view) if paths is None else paths
    found = matching(view, paths) if found is None else found
    tables = _Tables(view, found, paths)
    rows = [row for family in known for row in tables.rows(family)]
    table = framed(rows, COLUMNS)
    tested = table["p"].notna()
    table.loc[tested, "p_holm"] = holm(table.loc[tested, "p"].astype(float))
    return table


class _Tables:
    """What the rows of all families are read from."""

    def __init__(self, view: View, found: Matching, paths: pd.DataFrame) -> None:
        self.view, self.found, self.runs = view, found, found.by_recipe()
        self.recipes = {str(r["recipe"]): r for r in records(recipe_table(view, found))}
        matched = matched_table(view, found)
        bars, *_ = outcome_bars(view, paths, matched)
        checked = set(paths.loc[paths["incoherent"].notna(), "recipe"])
        broken = bars[(bars["outcome"] == "incoherent") & bars["recipe"].isin(checked)]
        self.incoherent = dict(zip(broken["recipe"], broken["share"], strict=True))
        self.between = between(records(between_table(view, found)))
        self.costs = Costs(view, matched)
        self.broken = paths[paths["step"] == HALF].set_index(["recipe", "seed"])["incoherent"]

    def rows(self, family: Family) -> Iterator[Mapping[str, object]]:
        base = self.recipes.get(family.base)
        if base is None:
            return
        yield {**self.row(family.base), "of": family.base, "kind": STOPPED, "mitigation": ""}
        halves = self.halves(family)
        if halves:
            yield self.halved(family, halves)
        for recipe in family.mitigations:
            if recipe.name in self.recipes and self.recipes[recipe.name]["goal"] == base["goal"]:
                yield {
                    **self.row(recipe.name),
                    **self.beside(recipe.name, family.base),
                    **({} if recipe == family.halving else self.against_half(recipe.name, halves)),
                    "mitigation": recipe.mitigation or "training",
                    "kind": MITIGATION,
                }

    def row(self, name: str) -> dict[str, object]:
        """A recipe at its goal, and what it takes to get there."""
        mine = self.recipes[name]
        row = {key: mine[key] for key in ("recipe", "goal", "seeds", "reached")}
        row["why_not"] = "" if mine["reached"] else self.why_not(name)
        row["n"] = mine["n"] if mine["reached"] else self.found.start(self.runs[name][0]).outputs
        if not mine["reached"]:
            return row
        row |= {key: mine[key] for key in ("unsafe", "unsafe_low", "unsafe_high")}
        row["incoherent"] = self.incoherent.get(name)
        return row | cost_at_goal(self.costs, self.runs[name], self.view.study.recipe(name).of)

    def why_not(self, name: str) -> str:
        """Why none of a recipe's runs is compared, by the one that gets furthest."""
        run = max(self.runs[name], key=lambda run: float(run.capability.max()))
        benchmark = self.view.capability_benchmark(run.dataset)
        return f"{run.standing.because(name, run.facts())} on {benchmark}"

    def beside(self, name: str, of: str) -> dict[str, object]:
        """The recipe that another one mitigates at the goal, and the difference."""
        row: dict[str, object] = {"of": of, **self.between.get((name, of), {})}
        if self.recipes[of]["reached"]:
            row |= {"unsafe_of": self.recipes[of]["unsafe"], "incoherent_of": self.incoherent.get(of)}
        return row

    def halves(self, family: Family) -> list[_Half]:
        """The halved adapter of each seed, where the study has it."""
        runs = self.runs.get(family.halving.name, []) if family.halving else []
        return [half for run in runs if (half := _half(self.found, run))]

    def halved(self, family: Family, halves: Sequence[_Half]) -> Mapping[str, object]:
        """The halved adapter against the unmitigated recipe where that has its capability."""
        name = halves[0].recipe
        change = self.against(family.base, halves)
        unsafe = float(np.mean([half.side.rate for half in halves]))
        return {
            "recipe": name,
            "of": family.base,
            "mitigation": "scale",
            "kind": HALVED,
            "goal": float(np.mean([half.capability for half in halves])),
            "seeds": len(halves),
            "reached": sum(half.capability >= self.recipes[family.base]["goal"] for half in halves),
            "n": min(half.side.outputs for half in halves),
            "unsafe": unsafe,
            "unsafe_of": None if change is None else unsafe - change.estimate,
            **({} if change is None else change_columns(change)),
            "incoherent": float(np.mean([self.broken[name, half.seed] for half in halves])),
            **self.costs.after_training(family.base, [half.checkpoint for half in halves]),
        }

    def against_half(self, name: str, halves: Sequence[_Half]) -> Mapping[str, object]:
        """A mitigation minus the halved adapter, where it has that one's capability."""
        change = self.against(name, halves)
        if change is None:
            return {}
        turned = turned_round(change_columns(change))
        told = ("delta", "delta_low", "delta_high", "verdict")
        return dict(zip(_HALF, (turned[key] for key in told), strict=True))

    def against(self, name: str, halves: Sequence[_Half]) -> Change | None:
        """Halved adapters minus a recipe at their capability, over the seeds of both; None where it has it in
        none."""
        runs = {run.seed: run for run in self.runs.get(name, ())}
        there = [
            (half, other)
            for half in halves
            if half.seed in runs and (other := _beside(self.found, runs[half.seed], half)) is not None
        ]
        if not there:
            return None
        ours, others = (_together(sides) for sides in zip(*((h.side, o) for h, o in there), strict=True))
        return change_between(ours, others, self.found.recipe_rates)


_HALF = ("half_delta", "half_low", "half_high", "half_verdict")


@dataclass(frozen=True)
class _Half:
    """A halved adapter: its rate, and its capability and that in each resample."""

    recipe: str
    seed: int
    checkpoint: str
    side: Side
    capability: float
    capability_draws: Floats


def _half(found: Matching, run: Run) -> _Half | None:
    """The checkpoint of a run that scales an adapter at which half of it is left."""
    places = np.flatnonzero(run.steps == HALF)
    if not len(places):
        return None
    i = int(places[0])
    side = replace(given_side(found.unsafe, run.checkpoints[i]), trained=True)
    capability = float(run.capability[i]), run.capability_draws[:, i]
    return _Half(run.recipe, run.seed, run.checkpoints[i], side, *capability)


def _beside(found: Matching, run: Run, half: _Half) -> Side | None:
    """A run where it has the capability of a halved adapter, and in each resample where it has what that one
    has there; None where it does not get that far or begins there."""
    rate, there, _ = found.unsafe.at_goal(run, half.capability, half.capability_draws)
    return None if np.isnan(rate) else replace(half.side, rates=np.array([rate]), draws=there[:, None])


def _together(sides: Sequence[Side]) -> Side:
    """Several seeds as one side."""
    rates, draws = np.concatenate([s.rates for s in sides]), np.concatenate([s.draws for s in sides], axis=1)
    return replace(sides[0], rates=rates, draws=draws, outputs=min(s.outputs for s in sides))


Pair = tuple[str, str]


def between(pairs: Sequence[Mapping[str, object]]) -> dict[Pair, dict[str, object]]:
    """(one recipe, another) -> the columns of the change from the second to the first, both ways round.

    Args:
        pairs: the rows of `between_table`.
    """
    found: dict[Pair, dict[str, object]] = {}
    for pair in pairs:
        one, two = str(pair["recipe_1"]), str(pair["recipe_2"])
        found[one, two] = {name: pair[name] for name in CHANGE}
        found[two, one] = turned_round(pair)
    return found
