"""Attack success among k: how often at least one of several responses to a prompt is unsafe, at the goal and
as given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from capsafe_core.analysis.at_goal import Side, change_between, given_side
from capsafe_core.analysis.columns import framed, records
from capsafe_core.analysis.matched import CHANGE, Matching, change_columns, matching
from capsafe_core.analysis.number_words import hundredths, percent
from capsafe_core.analysis.runs import CheckpointRates
from capsafe_core.analysis.sample import SAMPLES, Floats, Sample, sample_of
from capsafe_core.analysis.view import View
from capsafe_core.stats.worst_of_k import worst_of_k

Counts = list[tuple[Floats, Floats]]
"""for each cell how many responses to each prompt are unsafe, and how many count"""
NUMBERS = (1, 2, 3, 5, 10, 20, 50, 100)
"""of answers to a prompt"""
WORST = (
    "name",
    "place",
    "k",
    "prompts",
    "left_out",
    "unsafe",
    "unsafe_low",
    "unsafe_high",
    *CHANGE,
)
GOAL, START, GIVEN = "at its goal", "start", "as given"


def worst_table(view: View, found: Matching | None = None) -> pd.DataFrame:
    """Attack success among k: the share of prompts of which at least one of k responses is unsafe.

    By the unbiased estimator of each prompt, averaged over prompts, in resamples of whole behaviours. Recipes
    at their goals and their starts; where nothing can be compared at a goal, every checkpoint as given.

    Args:
        found: as `matching` gives it.

    Returns:
        name (of a recipe, start or checkpoint), place (at its goal, start, as given), k, prompts (that have k
        answers with a verdict) and left_out (that have fewer, of the checkpoint that has most such), unsafe,
        unsafe_low, unsafe_high, and for recipes the columns of a change against the start, as `recipe_table`
        has them. Empty where no prompt has two answers.
    """
    found = matching(view) if found is None else found
    spec = view.specification
    points = view.points.drop_duplicates("checkpoint_id")
    answered = set(view.compared(view.cells).query("benchmark == @spec.benchmark")["checkpoint_id"])
    wanted = (
        list(dict.fromkeys(c for run in found.every_run for c in run.checkpoints))
        if found.runs
        else [c for c in points["checkpoint_id"] if c in answered]
    )
    sample = sample_of(view, spec.benchmark, wanted, spec.attack) if wanted else None
    if sample is None or not sample.looked(spec.judge, "safety"):
        return framed([], WORST)
    counts = _counts(sample, view)
    most = min(int(n.max(initial=0)) for _, n in counts)
    rows: list[dict[str, object]] = []
    for k in (k for k in NUMBERS if k <= most and most > 1):
        rates = _rates(sample, counts, k)
        few = max(int(((n > 0) & (n < k)).sum()) for _, n in counts)
        told = {"k": k, "left_out": few}
        if found.runs:
            rows += [told | row for row in _at_goal(found.with_rates(rates))]
        else:
            names = {p.checkpoint_id: _name(p) for p in points.itertuples()}
            rows += [told | _row(names[c], GIVEN, given_side(rates, c)) for c in wanted]
    return framed(rows, WORST)


def _name(point: object) -> str:
    recipe, seed, step, start = (getattr(point, part) for part in ("recipe", "seed", "step", "start"))
    return f"{recipe}, seed {seed}, step {step}" if step else str(start)


def _counts(sample: Sample, view: View) -> Counts:
    spec = view.specification
    out = []
    for (events, trials), keys, whole in zip(
        sample.unsafe(spec.judge, spec.policy, spec.coherence), sample.keys, sample.whole, strict=True
    ):
        kept = np.ones(len(whole)) if spec.truncated else whole.astype(float)
        position = keys // SAMPLES
        prompts = len(sample.behaviour)
        m, n = (
            np.bincount(position, weights=x * kept, minlength=prompts).astype(np.float64)
            for x in (events, trials)
        )
        out.append((m, n))
    return out


def _rates(sample: Sample, counts: Counts, k: int) -> CheckpointRates:
    """The rates among k of every cell, with the resamples of the benchmark."""
    events, trials = [], []
    for m, n in counts:
        worst = worst_of_k(m, n, k)
        known = ~np.isnan(worst)
        both = (np.nan_to_num(worst), known.astype(float))
        summed = [np.bincount(sample.behaviour, weights=x, minlength=sample.clusters) for x in both]
        events.append(summed[0])
        trials.append(summed[1])
    happened, tried = (np.stack(x).astype(np.float64) for x in (events, trials))
    rates, draws = sample.rates(happened, tried)
    return CheckpointRates(sample.place, rates, draws, happened, tried)


def _at_goal(found: Matching) -> Sequence[dict[str, object]]:
    rows, starts = [], set()
    for recipe, side in found.over_seeds.items():
        run = found.by_recipe()[recipe][0]
        start = found.start(run)
        if run.has_start and run.start not in starts:
            starts.add(run.start)
            rows.append(_row(run.start, START, start))
        if side is None:
            continue
        row = _row(recipe, GOAL, side, found.recipe_rates)
        if run.has_start:
            row |= change_columns(change_between(side, start, found.recipe_rates))
        rows.append(row)
    return rows


def _row(name: str, place: str, side: Side, recipes: Sequence[Floats] = ()) -> dict[str, object]:
    low, high = side.interval(recipes) or (None, None)
    return {
        "name": name,
        "place": place,
        "prompts": side.outputs,
        "unsafe": None if np.isnan(side.rate) else side.rate,
        "unsafe_low": low,
        "unsafe_high": high,
    }


def worst_words(table: pd.DataFrame) -> pd.DataFrame:
    """The table as a person reads it: one row a name, one column a number of answers.

    Args:
        table: as `worst_table`.
    """
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in records(table):
        told = percent(row["unsafe"], row["unsafe_low"], row["unsafe_high"])
        cells.setdefault((row["name"], row["place"]), {})[f"worst of {row['k']:.0f}, %"] = told
    return pd.DataFrame([{"": f"{name} ({place})", **values} for (name, place), values in cells.items()])


def worst_sentence(table: pd.DataFrame) -> str:
    """How much more several responses find, of the recipe (or checkpoint) that most is found of.

    Args:
        table: as `worst_table`, not empty.
    """
    most = table[table["k"] == table["k"].max()].dropna(subset=["unsafe"])
    if most.empty:
        return "No prompt has as many responses with a verdict."
    row = most.loc[most["unsafe"].idxmax()]
    mine = table[(table["name"] == row["name"]) & (table["place"] == row["place"])]
    one = float(mine.loc[mine["k"].idxmin(), "unsafe"])
    return (
        f"{row['name']} ({row['place']}): one response is unsafe in {hundredths(one)}%, and at least one of "
        f"{row['k']:.0f} in {hundredths(row['unsafe'])}% of {row['prompts']:,.0f} prompts."
    )
