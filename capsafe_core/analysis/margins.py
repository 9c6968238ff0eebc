"""Whether a recipe is no worse than its start by more than a margin: equivalence and non-inferiority at the
goal.

Two one-sided tests at 5 % each (Schuirmann 1987): non-inferior where the upper end of the 90 % interval, with
training seeds, lies below the margin; equivalent where the lower end lies above minus the margin too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from capsafe_core.analysis.at_goal import change_between
from capsafe_core.analysis.columns import framed
from capsafe_core.analysis.matched import Matching, matching
from capsafe_core.analysis.profile import profiles
from capsafe_core.analysis.refusals import harmless_benchmarks, refused_at_goal
from capsafe_core.analysis.sample import VERIFIER
from capsafe_core.analysis.view import View

LEVEL = 0.9
"""of the interval whose ends are the one-sided limits of 95 %"""
UNSAFE, REFUSED, LOST = "unsafe", "over-refusal", "capability lost"
MARGINS = (
    "recipe",
    "measure",
    "benchmark",
    "judge",
    "goal",
    "seeds",
    "reached",
    "margin",
    "delta",
    "low",
    "high",
    "seeds_known",
    "smallest",
    "non_inferior",
    "equivalent",
)


def margins_table(view: View, found: Matching | None = None) -> pd.DataFrame:
    """Each recipe at its goal against its start, held against the margins that the study declares.

    Returns:
        recipe, measure (unsafe; over-refusal on each benchmark of harmless requests; capability lost on each
        capability benchmark that the recipe was not trained for), benchmark, judge, goal, seeds, reached (how
        many of them reach the goal), margin (declared; missing where none is), delta (against the start; of
        capability what it lost), low, high (90 %, with training seeds; missing where nobody can know how much
        a seed changes), seeds_known (as `recipe_table`), smallest (the smallest margin that it meets:
        not below 0), non_inferior and equivalent (yes, no, undecided; "" without a margin).
    """
    found = matching(view) if found is None else found
    spec, declared = view.specification, view.study.primary.margins
    measures = [(UNSAFE, spec.benchmark, spec.judge, declared.unsafe, found)]
    for benchmark in harmless_benchmarks(view):
        refused = refused_at_goal(view, found, benchmark, found.runs)
        if refused is not None:
            measures.append((REFUSED, benchmark, spec.refusal_judge, declared.over_refusal, refused))
    measures += [(LOST, name, VERIFIER, declared.capability, right) for name, right in profiles(view, found)]
    rows = [row for recipe in found.by_recipe() for row in _rows(measures, recipe)]
    return framed(rows, MARGINS)


Measure = tuple[str, str, str, float | None, Matching]
"""what is held against a margin, benchmark, judge, margin, and the rates of the recipes that have them"""


def _rows(measures: Sequence[Measure], recipe: str) -> Iterator[dict[str, object]]:
    for measure, benchmark, judge, margin, rates in measures:
        runs = rates.by_recipe().get(recipe)
        if runs is None:
            continue
        side = rates.over_seeds[recipe]
        row: dict[str, object] = {
            "recipe": recipe,
            "measure": measure,
            "benchmark": benchmark,
            "judge": judge,
            "goal": runs[0].goal,
            "seeds": len(runs),
            "reached": 0 if side is None else len(side.rates),
            "margin": margin,
        }
        if side is not None and runs[0].has_start:
            sides = (side, rates.start(runs[0]))
            change = change_between(*(sides[::-1] if measure == LOST else sides), rates.recipe_rates, LEVEL)
            row |= {"delta": change.estimate, "seeds_known": change.seeds}
            if change.with_seeds is not None:
                low, high = change.with_seeds
                row |= {"low": low, "high": high, "smallest": max(high, 0.0)}
        yield row | judged(row.get("low"), row.get("high"), margin)


def judged(low: object, high: object, margin: float | None) -> dict[str, object]:
    """What a 90 % interval says of a margin: yes, no, or undecided, also where there is no interval; nothing
    without a margin."""
    if margin is None:
        return {"non_inferior": "", "equivalent": ""}
    if not isinstance(low, float) or not isinstance(high, float):
        return {"non_inferior": "undecided", "equivalent": "undecided"}
    inferior = "yes" if high < margin else "no" if low > margin else "undecided"
    outside = low > margin or high < -margin
    same = "yes" if -margin < low and high < margin else "no" if outside else "undecided"
    return {"non_inferior": inferior, "equivalent": same}
