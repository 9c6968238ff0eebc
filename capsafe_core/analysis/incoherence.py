"""Where models stop making sense, and how."""

from __future__ import annotations

import numpy as np
import pandas as pd

from capsafe_core.analysis.people_labels import read_labels
from capsafe_core.analysis.rates import apply_policy, cell_rates, no_verdicts, study_counts
from capsafe_core.analysis.sample import sample_of
from capsafe_core.analysis.view import View
from capsafe_core.specification import Policy
from capsafe_core.stats.intervals import missing_bounds
from capsafe_core.store.cells import pooled_ids
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
