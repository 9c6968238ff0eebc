"""What it takes to get to a goal: training steps, time and memory, as far as jobs recorded them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from capsafe_core.analysis.columns import records
from capsafe_core.analysis.runs import Run
from capsafe_core.analysis.view import View
from capsafe_core.store.studies import measurements
from capsafe_core.trainer_state import COST

METRICS = ("seconds", "memory")


class Costs:
    """What the jobs of a study recorded.

    Args:
        matched: as `matched_table`: where each run is at its goal.
    """

    def __init__(self, view: View, matched: pd.DataFrame) -> None:
        told = measurements(view.store)
        told = told[told["benchmark"] == COST]
        self._known = {(str(r["checkpoint_id"]), str(r["metric"])): float(r["value"]) for r in records(told)}
        self.at_goal = {(str(r["recipe"]), int(r["seed"])): r for r in records(matched) if r["reached"]}
        last = view.points.sort_values("step").groupby(["recipe", "seed"]).tail(1)
        self._ends: dict[str, list[tuple[int, str]]] = {}
        for point in records(last):
            end = int(point["step"]), str(point["checkpoint_id"])
            self._ends.setdefault(str(point["recipe"]), []).append(end)

    def of(self, checkpoints: Sequence[str], metric: str) -> float | None:
        """The mean over checkpoints, or None where one of them has no record."""
        values = [self._known.get((checkpoint, metric)) for checkpoint in checkpoints]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known and len(known) == len(values) else None

    def training(self, recipe: str) -> dict[str, float | None]:
        """What a recipe takes to its end, mean over seeds."""
        ends = self._ends.get(recipe, [])
        steps = float(np.mean([step for step, _ in ends])) if ends else None
        return {"steps": steps, **{m: self.of([c for _, c in ends], m) for m in METRICS}}

    def after_training(self, of: str, checkpoints: Sequence[str]) -> dict[str, float | None]:
        """What a mitigation after training takes: the whole training and then its own time; the larger
        memory."""
        whole = self.training(of)
        seconds, memory = (self.of(checkpoints, metric) for metric in METRICS)
        both = (whole["seconds"], seconds), (whole["memory"], memory)
        total, most = (None if None in pair else pair for pair in both)
        return {
            "steps": whole["steps"],
            "seconds": None if total is None else sum(v for v in total if v is not None),
            "memory": None if most is None else max(v for v in most if v is not None),
        }


def cost_at_goal(costs: Costs, runs: Sequence[Run], of: str | None) -> dict[str, float | None]:
    """What a recipe takes until its goal, mean over the seeds that reach it.

    A training counts up to the first checkpoint at the goal or after it; a mitigation after training takes
    the whole training of the recipe that it is `of`.
    """
    there = [
        (run, costs.at_goal[run.recipe, run.seed]) for run in runs if (run.recipe, run.seed) in costs.at_goal
    ]
    places = [(run, float(goal["place"])) for run, goal in there]
    if of:
        own = [
            run.checkpoints[i]
            for run, place in places
            for i in {int(np.floor(place)), int(np.ceil(place))}
            if 0 < i < len(run.checkpoints) - 1
        ]
        return costs.after_training(of, own)
    reached = [run.checkpoints[int(np.ceil(place))] for run, place in places]
    steps = float(np.mean([goal["step"] for _, goal in there])) if there else None
    return {"steps": steps, **{metric: costs.of(reached, metric) for metric in METRICS}}
