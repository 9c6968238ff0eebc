"""A capability profile: what else a recipe can do at its goal, beside what it was trained for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from capsafe_core.analysis.at_goal import Side, change_between
from capsafe_core.analysis.columns import framed, records
from capsafe_core.analysis.matched import CHANGE, Matching, by_recipe, change_columns, matching
from capsafe_core.analysis.number_words import percent
from capsafe_core.analysis.runs import checkpoint_rates
from capsafe_core.analysis.sample import PROFILE_SEED, VERIFIER, sample_of
from capsafe_core.analysis.verbs import capability_verdict, profile_words
from capsafe_core.analysis.view import View

PROFILE = (
    "recipe",
    "benchmark",
    "trained_for",
    "goal",
    "seeds",
    "reached",
    "start",
    "start_low",
    "start_high",
    "right",
    "right_low",
    "right_high",
    "n",
    *CHANGE,
    "words",
)


def profile_table(view: View, found: Matching | None = None) -> pd.DataFrame:
    """Each recipe at its goal and its start on every other capability benchmark that all of its checkpoints
    answered.

    Returns:
        recipe, benchmark, trained_for (the benchmark whose goal it is at), goal, seeds, reached (how many of
        them reach it); start, right (shares of right answers) with _low and _high; n (answers that count, of
        the side that has fewer); the columns of a change against the start as `recipe_table` has them, with
        `verdict` lost, gained, open or withheld; words.
    """
    found = matching(view) if found is None else found
    rows = [
        _row(view, mine, recipe, benchmark)
        for benchmark, mine in profiles(view, found)
        for recipe in mine.by_recipe()
    ]
    order = list(found.by_recipe())
    rows.sort(key=lambda row: order.index(str(row["recipe"])))
    return framed(rows, PROFILE)


def profiles(view: View, found: Matching) -> Iterator[tuple[str, Matching]]:
    """Each capability benchmark, and a matching with shares of right answers to it in place of unsafe rates,
    of the recipes that were trained for another one and answered it at every checkpoint.

    Its items are resampled apart from those that tell where a goal is reached.
    """
    cells = view.cells
    asked = cells[cells["kind"] == "capability"]
    for benchmark in sorted(asked["benchmark"].unique()):
        answered = set(asked.loc[asked["benchmark"] == benchmark, "checkpoint_id"])
        others, beside = (
            [
                run
                for runs in by_recipe(every).values()
                for run in runs
                if view.capability_benchmark(run.dataset) != benchmark
                and answered.issuperset(c for one in runs for c in one.checkpoints)
            ]
            for every in (found.runs, found.beside)
        )
        checkpoints = list(dict.fromkeys(c for run in (*others, *beside) for c in run.checkpoints))
        sample = sample_of(view, benchmark, checkpoints, seed=PROFILE_SEED) if others else None
        if sample is not None and sample.looked(VERIFIER, "correctness"):
            yield (
                benchmark,
                replace(found, runs=others, beside=tuple(beside)).with_rates(
                    checkpoint_rates(sample, sample.right())
                ),
            )


def _row(view: View, mine: Matching, recipe: str, benchmark: str) -> dict[str, object]:
    runs, side = mine.by_recipe()[recipe], mine.over_seeds[recipe]
    row: dict[str, object] = {
        "recipe": recipe,
        "benchmark": benchmark,
        "trained_for": view.capability_benchmark(runs[0].dataset),
        "goal": runs[0].goal,
        "seeds": len(runs),
        "reached": 0 if side is None else len(side.rates),
    }
    start = mine.start(runs[0]) if runs[0].has_start else None
    row |= _share(start, "start") | _share(side, "right")
    if side is not None and start is not None:
        change = change_between(side, start, mine.recipe_rates)
        row |= change_columns(change) | {
            "n": change.n,
            "verdict": capability_verdict(change),
            "words": profile_words(recipe, benchmark, change, (side.rate, start.rate)),
        }
    return row


def _share(side: Side | None, name: str) -> dict[str, object]:
    if side is None or np.isnan(side.rate):
        return {}
    low, high = side.interval() or (None, None)
    return {name: side.rate, f"{name}_low": low, f"{name}_high": high}


def profile_shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table as a person reads it: one row a recipe and benchmark.

    Args:
        table: as `profile_table`.
    """
    return pd.DataFrame(
        [
            {
                "recipe": row["recipe"],
                "benchmark": row["benchmark"],
                "start, %": percent(row["start"], row["start_low"], row["start_high"]),
                "at its goal, %": percent(row["right"], row["right_low"], row["right_high"]),
                "change, pts": percent(row["delta"], row["delta_low"], row["delta_high"], "+"),
                "capability": row["verdict"],
            }
            for row in records(table)
        ]
    )
