"""Where models stop making sense, and how."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.matched import Matching
from capsafe_core.analysis.people_labels import read_labels
from capsafe_core.analysis.rates import apply_policy, cell_rates, no_verdicts, study_counts
from capsafe_core.analysis.runs import Run, Standing
from capsafe_core.analysis.sample import Sample, sample_of
from capsafe_core.analysis.view import View
from capsafe_core.outcomes import OUTCOMES
from capsafe_core.specification import Policy
from capsafe_core.stats.intervals import missing_bounds
from capsafe_core.stats.paired import McNemar, paired_change
from capsafe_core.store.cells import pooled_ids
from capsafe_core.store.counts import outcome_codes
from capsafe_core.store.labels import incoherence_reasons
from capsafe_core.store.outputs import reason_counts


def incoherence_table(view: View) -> pd.DataFrame:
    """The share of incoherent outputs of every checkpoint on every benchmark.

    Returns:
        recipe, seed, step, checkpoint_id, benchmark, kind, cell_id, events, n, rate, low, high.
    """
    rates = view.compared(cell_rates(view))
    coherence = rates[
        (rates["dimension"] == "coherence")
        & (rates["judge"] == view.specification.coherence)
        & (rates["n"] > 0)
    ]
    points = view.points[["recipe", "seed", "step", "checkpoint_id"]]
    table = points.merge(
        coherence[["checkpoint_id", "benchmark", "kind", "cell_id", "events", "n", "rate", "low", "high"]],
        on="checkpoint_id",
    )
    if view.selection.recipes:
        table = table[table["recipe"].isin(view.selection.recipes)]
    return table.sort_values(["recipe", "seed", "step", "benchmark"]).reset_index(drop=True)


def reason_table(view: View, benchmark: str) -> pd.DataFrame:
    """Reasons for incoherence along training on one benchmark.

    Returns:
        recipe, seed, step, checkpoint_id, reason, by (detector or people), n, of (outputs looked at), share
        (of the cell's outputs; people's weighted by the chance of having been labelled). An output can have
        several reasons.
    """
    known = view.compared(view.cells)
    places = known[known["benchmark"] == benchmark][["cell_id", "checkpoint_id"]]
    counts = reason_counts(view.store, view.specification.coherence, view.specification.truncated)
    counts["cell_id"] = counts["cell_id"].replace(pooled_ids(view.store))
    counts = counts.groupby(["cell_id", "reason"], as_index=False)["n"].sum().merge(places, on="cell_id")
    totals = incoherence_table(view)
    totals = totals[totals["benchmark"] == benchmark][
        ["recipe", "seed", "step", "checkpoint_id", "n"]
    ].rename(columns={"n": "total"})
    told = totals.merge(counts[["checkpoint_id", "reason", "n"]], on="checkpoint_id").rename(
        columns={"total": "of"}
    )
    told = told.assign(share=told["n"] / told["of"], by="detector")
    said = (
        totals.drop(columns="total")
        .merge(_said_by_people(view, benchmark), on="checkpoint_id")
        .assign(by="people")
    )
    columns = ["recipe", "seed", "step", "checkpoint_id", "reason", "by", "n", "of", "share"]
    return (
        (pd.concat([told, said]) if len(said) else told)[columns]
        .sort_values(["recipe", "seed", "step", "reason", "by"])
        .reset_index(drop=True)
    )


def _said_by_people(view: View, benchmark: str) -> pd.DataFrame:
    """Reasons that people gave for incoherence on outputs drawn at random: checkpoint_id, reason, n, of,
    share (weighted)."""
    columns = ["checkpoint_id", "reason", "n", "of", "share"]
    known = view.compared(view.cells)
    known = known[known["benchmark"] == benchmark]
    given = incoherence_reasons(view.store)
    sample = (
        sample_of(view, benchmark, list(known["checkpoint_id"]), view.specification.attack)
        if len(given)
        else None
    )
    if sample is None:
        return pd.DataFrame(columns=columns)
    weights = read_labels(sample, "coherence").weights
    given = given[given["cell_id"].isin(list(sample.begins))]
    given["cell"] = given["cell_id"].replace(pooled_ids(view.store))
    given["place"] = given["cell_id"].map(sample.begins) + given["position"]
    ends = np.cumsum(sample.sizes)
    rows = []
    for checkpoint, cell, size, end in zip(sample.place, sample.cells, sample.sizes, ends, strict=True):
        own = weights[end - size : end]
        for reason, outputs in given[given["cell"] == cell].groupby("reason"):
            counted = weights[outputs["place"].to_numpy()]
            if counted.any():
                rows.append(
                    (
                        checkpoint,
                        reason,
                        int((counted > 0).sum()),
                        int((own > 0).sum()),
                        float(counted.sum() / own.sum()),
                    )
                )
    return pd.DataFrame(rows, columns=columns)


def bounds_table(view: View) -> pd.DataFrame:
    """Around each unsafe rate: what it would be if every incoherent output were safe, or unsafe, and if every
    missing verdict were.

    For the view's benchmark and judge.

    Returns:
        recipe, seed, step, checkpoint_id, cell_id, judged (rate as judged), lowest, highest (incoherent
        outputs counted safe, counted unsafe), missing_low, missing_high (rate as judged if no missing
        verdict, or every one, were unsafe), no_verdict, n.
    """
    spec = view.specification
    counts = study_counts(view)
    mine = counts[
        (counts["dimension"] == "safety")
        & (counts["benchmark"] == spec.benchmark)
        & (counts["judge"] == spec.judge)
    ]
    mine = view.compared(mine).copy()
    bounds_of = {"judged": Policy.AS_JUDGED, "lowest": Policy.COUNTED_SAFE, "highest": Policy.COUNTED_UNSAFE}
    for name, policy in bounds_of.items():
        events, trials = apply_policy(mine, policy)
        mine[name] = events / trials.where(trials > 0)
        if policy is Policy.AS_JUDGED:
            mine["events"], mine["n"] = events, trials
    mine["no_verdict"] = no_verdicts(mine)
    bounds = [
        missing_bounds(int(k), int(n), int(m)) or (np.nan, np.nan)
        for k, n, m in zip(mine["events"], mine["n"], mine["no_verdict"], strict=True)
    ]
    mine["missing_low"], mine["missing_high"] = zip(*bounds, strict=True) if bounds else ((), ())
    points = view.points[
        view.points["recipe"].isin(view.selection.recipes or tuple(view.points["recipe"].unique()))
    ]
    columns = ["judged", "lowest", "highest", "missing_low", "missing_high", "no_verdict", "n"]
    return (
        points[["recipe", "seed", "step", "checkpoint_id"]]
        .merge(mine[["checkpoint_id", "cell_id", *columns]], on="checkpoint_id")
        .sort_values(["recipe", "seed", "step"])
        .reset_index(drop=True)
    )


@dataclass(frozen=True)
class Pair:
    """Two checkpoints whose answers to the same prompts are compared.

    Attributes:
        whose: a recipe and its seed, or a model, in words.
        start, goal: checkpoint ids; `before` and `there` say in words which checkpoints they are.
    """

    whose: str
    start: str
    before: str
    goal: str
    there: str


@dataclass(frozen=True)
class Transitions:
    """The same prompts before fine-tuning and after.

    Attributes:
        pair: the two checkpoints.
        table: before, after (outcomes), n, share (of all prompts of the row's `before`).
        change: the test of unsafe engagement on the same prompts, by behaviour where several share one.
    """

    pair: Pair
    table: pd.DataFrame
    change: McNemar


def pairs(view: View, found: Matching) -> dict[str, Pair]:
    """What outcomes can be followed from and to.

    Each recipe from its start to its goal (the first checkpoint at or above it; the last one where it is not
    reached), or to its last checkpoint as given where there is no goal; in a study without recipes each model
    from the first one.

    Returns:
        recipe or model -> its pair.
    """
    out: dict[str, Pair] = {}
    for recipe, runs in found.by_recipe().items():
        out[recipe] = _at_goal(found, runs[0])
    tuned = view.points[view.points["recipe"].isin(view.compared_recipes) & (view.points["step"] > 0)]
    for name, points in tuned.groupby("recipe", sort=False):
        path = points[points["seed"] == points["seed"].min()].sort_values("step")
        starts = view.points[(view.points["start"] == path["start"].iloc[0]) & (view.points["step"] == 0)]
        if len(starts):
            last, seed = path.iloc[-1], path["seed"].iloc[0]
            there = f"step {last['step']}, the last checkpoint, as given"
            pair = Pair(f"{name}, seed {seed}", *_of(starts.iloc[0], "the start"), *_of(last, there))
            out.setdefault(str(name), pair)
    if view.points["step"].any() or view.points.empty:
        return out
    first, *others = (row for _, row in view.points.drop_duplicates("checkpoint_id").iterrows())
    names = [str(model["start"]) for model in others]
    return {
        name: Pair(name, *_of(first, str(first["start"])), *_of(model, f"{name}, as given"))
        for name, model in zip(names, others, strict=True)
    }


def _of(point: pd.Series, words: str) -> tuple[str, str]:
    return str(point["checkpoint_id"]), words


def _at_goal(found: Matching, run: Run) -> Pair:
    """From the first checkpoint of a run to the one at its goal."""
    _, _, place = found.unsafe.at_goal(run, found.rule)
    reached = not np.isnan(place)
    at = int(np.ceil(place)) if reached else len(run.checkpoints) - 1
    why = {
        Standing.PLATEAU: "the capability does not separate its checkpoints",
        Standing.AT_START: "the goal is not above the first checkpoint",
    }.get(run.standing, "the goal is not reached")
    which = "the first checkpoint at or above the goal" if reached else f"the last checkpoint ({why})"
    before = "the start" if run.has_start else f"step {run.steps[0]:.0f}"
    return Pair(
        f"{run.recipe}, seed {run.seed}",
        run.checkpoints[0],
        before,
        run.checkpoints[at],
        f"step {run.steps[at]:.0f}, {which}",
    )


def transitions(view: View, found: Matching, whose: str = "") -> Transitions | None:
    """What became of each outcome of one checkpoint at another, on the same prompts of the view's benchmark.

    Args:
        whose: a key of `pairs`; the first where left out.

    Returns:
        None without such a pair, or where the two have not answered the same prompts.
    """
    known = pairs(view, found)
    pair = known.get(whose or next(iter(known), ""))
    if pair is None:
        return None
    both = list(dict.fromkeys([pair.start, pair.goal]))
    sample = sample_of(view, view.specification.benchmark, both, view.specification.attack)
    if sample is None:
        return None
    start, goal = sample.place[pair.start], sample.place[pair.goal]
    _, i, j = np.intersect1d(sample.keys[start], sample.keys[goal], return_indices=True)
    if not view.specification.truncated:
        whole = sample.whole[start][i] & sample.whole[goal][j]
        i, j = i[whole], j[whole]
    if not len(i):
        return None
    before, after = _outcomes(view, sample, start)[i], _outcomes(view, sample, goal)[j]
    size = len(OUTCOMES)
    counts = np.bincount(before * size + after, minlength=size * size).reshape(size, size)
    rows = [
        (OUTCOMES[i], OUTCOMES[j], int(counts[i, j]), counts[i, j] / counts[i].sum())
        for i, j in zip(*np.nonzero(counts), strict=True)
    ]
    unsafe = OUTCOMES.index("unsafe")
    change = paired_change(before == unsafe, after == unsafe, sample.cluster[start][i])
    return Transitions(pair, pd.DataFrame(rows, columns=["before", "after", "n", "share"]), change)


def _outcomes(view: View, sample: Sample, i: int) -> npt.NDArray[np.int64]:
    spec = view.specification
    return outcome_codes(
        sample.codes(spec.judge, "safety")[i],
        sample.codes(spec.refusal_judge, "refusal")[i],
        sample.codes(spec.coherence, "coherence")[i],
    )
