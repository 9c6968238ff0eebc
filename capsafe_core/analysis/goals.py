"""What a goal costs: unsafe rates along goals, and recipes that no other one beats."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from capsafe_core.analysis.at_goal import change_between
from capsafe_core.analysis.columns import framed
from capsafe_core.analysis.matched import Matching, matching
from capsafe_core.analysis.runs import Run
from capsafe_core.analysis.view import View
from capsafe_core.stats.matching import pareto_probability


def goals_table(
    view: View, found: Matching | None = None, steps: int = 31, most_paired: int | None = None
) -> pd.DataFrame:
    """Delta at every goal: each recipe against its start, and every two recipes on one data set against each
    other.

    Args:
        most_paired: recipes on a data set up to which they are compared with each other; None: always.

    Returns:
        dataset, recipe, comparison, goal, delta, low, high (pointwise 95 %; missing where too many resamples
        are out of reach), unreached.
    """
    found = matching(view) if found is None else found
    rows: list[tuple[object, ...]] = []
    for dataset in dict.fromkeys(run.dataset for run in found.runs):
        recipes = {r: runs for r, runs in found.by_recipe().items() if runs[0].dataset == dataset}
        everything = [run for runs in recipes.values() for run in runs]
        for goal in np.linspace(
            min(run.capability[0] for run in everything),
            max(run.capability.max() for run in everything),
            steps,
        ):
            sides = {recipe: found.side(runs, float(goal)) for recipe, runs in recipes.items()}
            reached = {recipe: side for recipe, side in sides.items() if side is not None}
            comparisons = [
                (r, f"{r} against its start", side, found.start(recipes[r][0]))
                for r, side in reached.items()
                if recipes[r][0].has_start
            ]
            if most_paired is None or len(recipes) <= most_paired:
                comparisons += [
                    (one, f"{one} against {two}", reached[one], reached[two])
                    for one, two in combinations(reached, 2)
                ]
            for recipe, words, a, b in comparisons:
                change = change_between(a, b)
                low, high = change.interval or (None, None)
                rows.append(
                    (dataset, recipe, words, float(goal), change.estimate, low, high, change.unreached)
                )
    return framed(rows, ["dataset", "recipe", "comparison", "goal", "delta", "low", "high", "unreached"])


def pareto_table(view: View, found: Matching | None = None) -> pd.DataFrame:
    """How likely each checkpoint is to be on the frontier of its data set: no other has as much capability at
    as low an unsafe rate.

    Returns:
        dataset, recipe, seed, step, checkpoint_id, capability, unsafe, probability (share of resamples on the
        frontier). A start that several runs share stands once.
    """
    found = matching(view) if found is None else found
    rows: list[tuple[object, ...]] = []
    for dataset in dict.fromkeys(run.dataset for run in found.runs):
        points: dict[str, tuple[Run, int]] = {}
        for run in found.runs:
            if run.dataset == dataset:
                for i, checkpoint in enumerate(run.checkpoints):
                    points.setdefault(checkpoint, (run, i))
        capability = np.column_stack([run.capability_draws[:, i] for run, i in points.values()])
        rates = [found.unsafe.of(c) for c in points]
        chances = pareto_probability(capability, np.column_stack([draws for _, draws in rates]))
        for (checkpoint, (run, i)), (unsafe, _), chance in zip(points.items(), rates, chances, strict=True):
            rows.append(
                (
                    dataset,
                    run.arm_at(i),
                    run.seed,
                    int(run.steps[i]),
                    checkpoint,
                    float(run.capability[i]),
                    unsafe,
                    float(chance),
                )
            )
    return framed(
        rows, ["dataset", "recipe", "seed", "step", "checkpoint_id", "capability", "unsafe", "probability"]
    )
