"""Recipes compared where they reach the capability goal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.columns import framed
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import CheckpointRates, Run, Standing, matched_runs, primary_rates
from capsafe_core.analysis.sample import RESAMPLES
from capsafe_core.analysis.view import View
from capsafe_core.specification import POLICIES
from capsafe_core.stats.bootstrap import cluster_weights, percentile_intervals, percentile_p, seed_average
from capsafe_core.stats.intervals import newcombe
from capsafe_core.stats.matching import at_place

UNREACHED_LIMIT = 0.05
"""Above this share of resamples out of reach no interval of a difference is given."""
ENOUGH_SEEDS = 5
"""From so many training seeds on, seeds are resampled too; below, intervals are conditional on the seeds."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Matching:
    """Everything that tables at the goal are made of.

    Attributes:
        rule: which crossing counts.
        runs: those that can be compared.
        unsafe: their unsafe rates under one specification.
        left_out: why other runs that teach a capability cannot be compared, in sentences.
    """

    rule: str
    runs: list[Run]
    unsafe: CheckpointRates
    left_out: tuple[str, ...] = ()

    def by_recipe(self) -> dict[str, list[Run]]:
        """The runs of each recipe."""
        out: dict[str, list[Run]] = {}
        for run in self.runs:
            out.setdefault(run.recipe, []).append(run)
        return out

    def trials(self, run: Run) -> int:
        """How many outputs the rate of a run's first checkpoint counts."""
        return int(self.unsafe.trials[self.unsafe.place[run.checkpoints[0]]].sum())


def matching(view: View, paths: pd.DataFrame | None = None) -> Matching:
    """The runs of the view that can be compared at a goal; none where nothing is ready yet."""
    paths = path_table(view) if paths is None else paths
    spec = view.specification
    answered = view.compared(view.cells)
    cells = answered[answered["benchmark"] == spec.benchmark].set_index("checkpoint_id")["benchmark_id"]
    usual = cells.mode().iloc[0] if len(cells) else ""
    runs, left_out = [], []
    seen = set(paths.loc[paths["cell_id"].notna(), "checkpoint_id"])
    checked = set(paths.loc[paths["incoherent"].notna(), "checkpoint_id"])
    able = matched_runs(view, paths)
    for run in able:
        missing = [step for step, c in zip(run.steps, run.checkpoints, strict=True) if c not in seen]
        name = f"{run.recipe} (seed {run.seed}) is left out"
        if unanswered := [s for s, c in zip(run.steps, run.checkpoints, strict=True) if c not in cells.index]:
            left_out.append(
                f"{name}: it has no answers to {spec.benchmark} at step {unanswered[0]:.0f}. Import them, or "
                "run what is missing on the Runs page."
            )
        elif missing:
            left_out.append(
                f"{name}: {spec.judge} has not seen its answers to {spec.benchmark} at step "
                f"{missing[0]:.0f}. "
                "Let it judge them on the Runs page, or import its verdicts."
            )
        elif any(cells[c] != usual for c in run.checkpoints):
            left_out.append(
                f"{name}: it answered another version of {spec.benchmark}. Import answers to the same one."
            )
        elif spec.policy != POLICIES[0] and not checked.issuperset(run.checkpoints):
            left_out.append(
                f"{name}: {spec.coherence} has not looked at all of its checkpoints, so incoherent answers "
                f"cannot be {spec.policy.words}. Let it look on the Runs page, or choose “as judged”."
            )
        else:
            runs.append(run)
    known = {(run.recipe, run.seed) for run in able}
    taught = paths[paths["recipe"].isin(view.matched_recipes)]
    left_out += [_unmeasured(path) for run, path in taught.groupby(["recipe", "seed"]) if run not in known]
    found = primary_rates(view, runs)
    return (
        Matching(spec.crossing, [], CheckpointRates({}, *[np.zeros(0)] * 4), tuple(left_out))
        if found is None
        else Matching(spec.crossing, runs, found, tuple(left_out))
    )


def _unmeasured(path: pd.DataFrame) -> str:
    """Why a path that teaches a capability cannot be compared: what of it is not there."""
    first = path.iloc[0]
    name, benchmark = f"{first['recipe']} (seed {first['seed']})", first["capability_benchmark"]
    gaps = path.loc[path["capability"].isna(), "step"]
    if len(gaps) < len(path) and len(path) == 1:
        lacks = (
            "its start is the only checkpoint" if first["step"] == 0 else "it has one checkpoint and no start"
        )
        return f"{name} is left out: {lacks} that has results here. Import or run the others."
    steps = ", ".join("its start" if step == 0 else f"step {step}" for step in gaps[:5])
    return (
        f"{name} is left out: its capability on {benchmark} is not known at {steps}. Import those results, "
        "or run what is missing on the Runs page."
    )


MATCHED = [
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
    "paired",
    "n",
]


def matched_table(view: View, found: Matching | None = None) -> pd.DataFrame:
    """Each run at its goal, under the view's specification.

    Intervals are percentiles of a bootstrap over behaviours and capability items, the same resample for every
    checkpoint; they are conditional on the training seed.

    Returns:
        recipe, seed, dataset, goal, reached; standing (a `Standing`: why it is not reached); step (where the
        path crosses the goal); place (on the list of checkpoints); start_capability and best (the highest on
        the path); unsafe, unsafe_low, unsafe_high at the goal;
        bracket_low, bracket_high (the unsafe rates of the checkpoints on both sides); gap (capability between
        those); start_unsafe; delta, delta_low, delta_high against the start; unreached (share of resamples
        out of reach); plateau (the capability measure does not separate the checkpoints); paired (capability
        known item by item); n (unsafe trials at the start).
    """
    found = matching(view) if found is None else found
    return framed([_matched_row(found, run) for run in found.runs], MATCHED)


def _matched_row(found: Matching, run: Run) -> dict[str, object]:
    rates, draws = found.unsafe.along(run)
    unsafe, unsafe_draws, place = found.unsafe.at_goal(run, found.rule)
    row: dict[str, object] = {
        "recipe": run.recipe,
        "seed": run.seed,
        "dataset": run.dataset,
        "goal": run.goal,
        "reached": not np.isnan(place),
        "standing": run.standing.value,
        "place": place,
        "start_capability": float(run.capability[0]),
        "best": float(run.capability.max()),
        "start_unsafe": float(rates[0]) if run.has_start else None,
        "n": found.trials(run),
        "plateau": run.plateau,
        "paired": run.paired,
    }
    unmatched = run.standing in (Standing.PLATEAU, Standing.AT_START)
    if not (unmatched or np.isnan(run.capability_draws).all()):  # without a standard error nobody knows
        row["unreached"] = float(np.isnan(unsafe_draws).mean())
    if np.isnan(place):
        return row
    left, right = int(np.floor(place)), int(np.ceil(place))
    row |= {
        "step": float(at_place(run.steps, place)),
        "unsafe": unsafe,
        "bracket_low": float(min(rates[left], rates[right])),
        "bracket_high": float(max(rates[left], rates[right])),
        "gap": float(run.capability[right] - run.capability[left]),
    }
    row["unsafe_low"], row["unsafe_high"] = percentile_intervals(unsafe_draws[:, None])[0] or (None, None)
    if not run.has_start:
        return row
    row["delta"] = unsafe - float(rates[0])
    row["delta_low"], row["delta_high"] = difference_interval(
        unsafe_draws - draws[:, 0], unsafe, float(rates[0]), found.trials(run)
    ) or (None, None)
    return row


def difference_interval(draws: Floats, a: float, b: float, n: int) -> tuple[float, float] | None:
    """The interval of a difference of two rates: percentiles over resamples; Newcombe's where both rates are
    0 or 1, which resampling cannot vary.

    Args:
        draws: (resamples,) differences.
        a, b: the two rates.
        n: outputs that each of them counts, for Newcombe's interval.

    Returns:
        None where too many resamples are out of reach.
    """
    if np.isnan(draws).mean() > UNREACHED_LIMIT:
        return None
    if a in (0, 1) and b in (0, 1):
        return newcombe(round(a * n), n, round(b * n), n)
    return percentile_intervals(draws[:, None])[0]


def over_seeds(
    found: Matching, runs: Sequence[Run], goal: float | None = None
) -> tuple[list[float], Floats, float | None]:
    """A recipe at its goal over its training seeds.

    With ENOUGH_SEEDS runs that reach the goal the seeds are resampled too.

    Args:
        goal: instead of the runs' own.

    Returns:
        The rates of those runs that reach it, (resamples,) of their mean, and the share of resamples out of
        reach (over all runs where none reaches it; None where the capability has no standard error).
    """
    each = [found.unsafe.at_goal(run, found.rule, goal) for run in runs]
    reached = [e for e in each if not np.isnan(e[0])]
    unknown = any(np.isnan(run.capability_draws).all() for run in runs)
    if not reached:
        return (
            [],
            np.full(RESAMPLES, np.nan),
            None if unknown else float(np.mean([np.isnan(e[1]).mean() for e in each])),
        )
    weights = cluster_weights(len(reached), RESAMPLES, 3) if len(reached) >= ENOUGH_SEEDS else None
    draws = seed_average(np.column_stack([e[1] for e in reached]), weights)
    return [e[0] for e in reached], draws, None if unknown else float(np.isnan(draws).mean())


def recipe_table(view: View, found: Matching | None = None) -> pd.DataFrame:
    """Each recipe at its goal, over its training seeds.

    Returns:
        recipe, dataset, goal, seeds, reached (how many of them reach the goal); unsafe (mean over those),
        unsafe_min, unsafe_max, unsafe_low, unsafe_high; start_unsafe, delta, delta_low, delta_high (against
        the start), unreached; conditional (whether intervals are conditional on the seeds, because there are
        too few to resample).
    """
    found = matching(view) if found is None else found
    rows = []
    for recipe, runs in found.by_recipe().items():
        values, draws, unreached = over_seeds(found, runs)
        rates, start_draws = found.unsafe.along(runs[0])
        row: dict[str, object] = {
            "recipe": recipe,
            "dataset": runs[0].dataset,
            "goal": runs[0].goal,
            "seeds": len(runs),
            "reached": sum(not np.isnan(found.unsafe.at_goal(run, found.rule)[2]) for run in runs),
            "start_unsafe": float(rates[0]) if runs[0].has_start else None,
            "conditional": len(values) < ENOUGH_SEEDS,
        }
        row["unreached"] = unreached
        if values:
            row |= {
                "unsafe": float(np.mean(values)),
                "unsafe_min": min(values),
                "unsafe_max": max(values),
            }
            [interval] = percentile_intervals(draws[:, None])
            row["unsafe_low"], row["unsafe_high"] = interval or (None, None)
        if values and runs[0].has_start:
            row["delta"] = float(np.mean(values)) - float(rates[0])
            row["delta_low"], row["delta_high"] = difference_interval(
                draws - start_draws[:, 0], float(np.mean(values)), float(rates[0]), found.trials(runs[0])
            ) or (None, None)
        rows.append(row)
    columns = [
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
        "start_unsafe",
        "delta",
        "delta_low",
        "delta_high",
        "unreached",
        "conditional",
    ]
    return framed(rows, columns)


def between_table(view: View, found: Matching | None = None) -> pd.DataFrame:
    """Every two recipes, each at its own goal.

    Returns:
        recipe_1, recipe_2, goal_1, goal_2, same_dataset (whether they are at one goal); unsafe_1, unsafe_2,
        delta (1 minus 2), delta_low, delta_high, p (two-sided, of the same resamples), unreached (share of
        resamples in which one of them is out of reach). Only recipes that reach their goal.
    """
    found = matching(view) if found is None else found
    at_goal = {recipe: (runs[0], *over_seeds(found, runs)) for recipe, runs in found.by_recipe().items()}
    rows = []
    for one, two in combinations([r for r, (_, values, _, _) in at_goal.items() if values], 2):
        (run_1, values_1, draws_1, known_1), (run_2, values_2, draws_2, known_2) = at_goal[one], at_goal[two]
        a, b = float(np.mean(values_1)), float(np.mean(values_2))
        low, high = difference_interval(
            draws_1 - draws_2, a, b, min(found.trials(run_1), found.trials(run_2))
        ) or (None, None)
        rows.append(
            (
                one,
                two,
                run_1.goal,
                run_2.goal,
                run_1.dataset == run_2.dataset,
                a,
                b,
                a - b,
                low,
                high,
                None if low is None else percentile_p(draws_1 - draws_2),
                None if known_1 is None or known_2 is None else float(np.isnan(draws_1 - draws_2).mean()),
            )
        )
    return framed(
        rows,
        [
            "recipe_1",
            "recipe_2",
            "goal_1",
            "goal_2",
            "same_dataset",
            "unsafe_1",
            "unsafe_2",
            "delta",
            "delta_low",
            "delta_high",
            "p",
            "unreached",
        ],
    )
