"""What became of each outcome: the same prompts before fine-tuning and after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.matched import Matching
from capsafe_core.analysis.runs import Run
from capsafe_core.analysis.sample import Sample, sample_of
from capsafe_core.analysis.view import View
from capsafe_core.outcomes import OUTCOMES
from capsafe_core.specification import Crossing
from capsafe_core.stats.paired import McNemar, paired_change
from capsafe_core.store.counts import outcome_codes

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """Checkpoints whose answers to the same prompts are compared.

    Attributes:
        whose: a recipe and its seeds, or a model, in words.
        start: the checkpoint before; `before` says in words which that is.
        goals: the checkpoints after, one of each seed; `there` says which those are.
    """

    whose: str
    start: str
    before: str
    goals: tuple[str, ...]
    there: str


@dataclass(frozen=True)
class Transitions:
    """The same prompts before fine-tuning and after, each seed's answer beside the same one before.

    Attributes:
        pair: the checkpoints.
        table: before, after (outcomes), n (prompts times seeds), share (of all of the row's `before`).
        change: the test of unsafe engagement on the same prompts, by behaviour where several responses share
            one, as those of several seeds do.
    """

    pair: Pair
    table: pd.DataFrame
    change: McNemar


def pairs(view: View, found: Matching) -> dict[str, Pair]:
    """What outcomes can be followed from and to.

    Each recipe from its start to its goal in every seed that reaches it (the first checkpoint at or above it;
    where none does, the last one of each), or to its last checkpoints as given where there is no goal; in a
    study without recipes each model from the first one.

    Returns:
        recipe or model -> its pair.
    """
    out = {recipe: _at_goal(found, runs) for recipe, runs in found.by_recipe().items()}
    tuned = view.points[view.points["recipe"].isin(view.compared_recipes) & (view.points["step"] > 0)]
    for name, points in tuned.groupby("recipe", sort=False):
        lasts = points.sort_values("step").groupby("seed").tail(1).sort_values("seed")
        starts = view.points[(view.points["start"] == points["start"].iloc[0]) & (view.points["step"] == 0)]
        if len(starts):
            there = f"{_steps(lasts['step'])}, the last checkpoint, as given"
            seeds = _seeds([int(seed) for seed in lasts["seed"]])
            start, goals = str(starts["checkpoint_id"].iloc[0]), tuple(lasts["checkpoint_id"].astype(str))
            out.setdefault(str(name), Pair(f"{name}, {seeds}", start, "the start", goals, there))
    if view.points["step"].any() or view.points.empty:
        return out
    first, *others = (row for _, row in view.points.drop_duplicates("checkpoint_id").iterrows())
    start, before = str(first["checkpoint_id"]), str(first["start"])
    return {
        name: Pair(name, start, before, (str(model["checkpoint_id"]),), f"{name}, as given")
        for model in others
        for name in [str(model["start"])]
    }


def _seeds(seeds: Sequence[int], of: int | None = None) -> str:
    """Which seeds, of how many."""
    if len(seeds) == 1 and of in (None, 1):
        return f"seed {seeds[0]}"
    return f"{len(seeds)} of {of} seeds" if of not in (None, len(seeds)) else f"{len(seeds)} seeds"


def _steps(steps: Iterable[float]) -> str:
    """Training steps, in words."""
    known = sorted({int(step) for step in steps})
    return f"step {known[0]}" if len(known) == 1 else f"steps {known[0]} to {known[-1]}"


def _at_goal(found: Matching, runs: Sequence[Run]) -> Pair:
    """From the first checkpoint that runs of a recipe share to the ones at its goal."""
    together = [run for run in runs if run.checkpoints[0] == runs[0].checkpoints[0]]
    places = {run.seed: found.unsafe.crossed(run) for run in together}
    reaching = [run for run in together if not np.isnan(places[run.seed])]
    followed = reaching or together
    ends = [int(np.ceil(places[run.seed])) if reaching else len(run.steps) - 1 for run in followed]
    rule = "at which training stopped" if runs[0].rule is Crossing.STOPPED else "at or above the goal"
    which = f"the first checkpoint {rule}" if reaching else f"the last checkpoint ({runs[0].standing.brief})"
    steps = _steps(run.steps[end] for run, end in zip(followed, ends, strict=True))
    return Pair(
        f"{runs[0].recipe}, {_seeds([run.seed for run in followed], len(runs))}",
        runs[0].checkpoints[0],
        "the start" if runs[0].has_start else f"step {runs[0].steps[0]:.0f}",
        tuple(run.checkpoints[end] for run, end in zip(followed, ends, strict=True)),
        f"{steps}, {which}",
    )


def transitions(view: View, found: Matching, whose: str = "") -> Transitions | None:
    """What became of each outcome of one checkpoint at others, on the same prompts of the view's benchmark.

    Args:
        whose: a key of `pairs`; the first where left out.

    Returns:
        None without such a pair, or where the checkpoints have not answered the same prompts.
    """
    known = pairs(view, found)
    pair = known.get(whose or next(iter(known), ""))
    if pair is None:
        return None
    every = list(dict.fromkeys([pair.start, *pair.goals]))
    sample = sample_of(view, view.specification.benchmark, every, view.specification.attack)
    if sample is None:
        return None
    start = sample.place[pair.start]
    outcomes = _outcomes(view, sample, start)
    before, after, clusters = [], [], []
    for goal in (sample.place[c] for c in pair.goals):
        _, i, j = np.intersect1d(sample.keys[start], sample.keys[goal], return_indices=True)
        if not view.specification.truncated:
            whole = sample.whole[start][i] & sample.whole[goal][j]
            i, j = i[whole], j[whole]
        before.append(outcomes[i])
        after.append(_outcomes(view, sample, goal)[j])
        clusters.append(sample.cluster[start][i])
    return _counted(pair, *(np.concatenate(parts) for parts in (before, after, clusters)))


def _counted(pair: Pair, before: Codes, after: Codes, clusters: Codes) -> Transitions | None:
    """Transitions from outcomes before and after, (answers,), and the behaviour of each."""
    if not len(before):
        return None
    size = len(OUTCOMES)
    counts = np.bincount(before * size + after, minlength=size * size).reshape(size, size)
    rows = [
        (OUTCOMES[i], OUTCOMES[j], int(counts[i, j]), counts[i, j] / counts[i].sum())
        for i, j in zip(*np.nonzero(counts), strict=True)
    ]
    unsafe = OUTCOMES.index("unsafe")
    change = paired_change(before == unsafe, after == unsafe, clusters)
    return Transitions(pair, pd.DataFrame(rows, columns=["before", "after", "n", "share"]), change)


def _outcomes(view: View, sample: Sample, i: int) -> Codes:
    spec = view.specification
    return outcome_codes(
        sample.codes(spec.judge, "safety")[i],
        sample.codes(spec.refusal_judge, "refusal")[i],
        sample.codes(spec.coherence, "coherence")[i],
    )
