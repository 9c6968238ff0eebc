"""Rates of every cell under every judge, with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from capsafe_core.analysis.sample import Sample, policy_arrays
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.specification import PARTS, POLICIES, Policy, condition_words
from capsafe_core.stats.intervals import wilson
from capsafe_core.store.arrays import clustered_cells
from capsafe_core.store.counts import COUNTS, TAILS, joint_counts


def cell_rates(view: View, counts: pd.DataFrame | None = None) -> pd.DataFrame:
    """The rate of every cell of the study under every judge, under the view's policy.

    Safety follows the policy; other dimensions are as judged.

    Args:
        counts: as `study_counts`, where the caller has them.

    Returns:
        cell_id, checkpoint_id, benchmark, kind, attack, judge, family, dimension, events, n, rate, low, high
        (95 %: Wilson; a bootstrap over behaviours where several of a cell's outputs share one), no_verdict
        (judgments that are no verdict, or not there), incoherent (share of the outputs with a verdict on
        coherence), unchecked (outputs without one), total.
    """
    policy = view.specification.policy
    out = (study_counts(view) if counts is None else counts).copy()
    policy_events, policy_trials = apply_policy(out, policy)
    judged_events, judged_trials = apply_policy(out, Policy.AS_JUDGED)
    safety = out["dimension"] == "safety"
    out["events"] = np.where(safety, policy_events, judged_events)
    out["n"] = np.where(safety, policy_trials, judged_trials)
    with np.errstate(divide="ignore", invalid="ignore"):
        out["rate"] = out["events"] / out["n"]
    out["low"], out["high"] = wilson(out["events"], out["n"])
    coherent, incoherent, unchecked = (
        out[[f"{name}{tail}" for name in COUNTS]].sum(axis=1) for tail in TAILS
    )
    out["total"], out["unchecked"] = coherent + incoherent + unchecked, unchecked
    out["incoherent"] = (incoherent / (coherent + incoherent)).where(coherent + incoherent > 0)
    out["no_verdict"] = no_verdicts(out)
    out = _clustered(view, out, policy)
    columns = [
        "cell_id",
        "checkpoint_id",
        "benchmark",
        "kind",
        "attack",
        "judge",
        "family",
        "dimension",
        "events",
        "n",
        "rate",
        "low",
        "high",
        "no_verdict",
        "incoherent",
        "unchecked",
        "total",
    ]
    return out[columns].sort_values(["benchmark", "dimension", "judge", "cell_id"]).reset_index(drop=True)


def has_wilson(rates: pd.DataFrame) -> pd.Series:
    """Whether the interval of each rate is Wilson's; else it is a bootstrap over behaviours.

    Args:
        rates: events, n, low, high, as `cell_rates`.
    """
    low, high = wilson(rates["events"], rates["n"])
    same = np.isclose(rates["low"], low, rtol=0, atol=1e-12) & np.isclose(
        rates["high"], high, rtol=0, atol=1e-12
    )
    return pd.Series(same, rates.index)


def every_rate(view: View) -> pd.DataFrame:
    """The rate of every cell under every judge, and under every condition that the view does not leave out.

    Returns:
        Columns as `cell_rates`, then version (of the benchmark) and condition (in words; "" where checkpoints
        answered under one).
    """
    known = view.listed_cells
    rates = cell_rates(view, _counts(view).merge(known, on="cell_id"))
    parts = [part for part in view.alternatives if part in PARTS]
    words = [
        condition_words(zip(parts, values, strict=True))
        for values in known[parts].itertuples(index=False, name=None)
    ]
    told = known[["cell_id", "version"]].assign(condition=words if parts else "")
    return rates.merge(told, how="left", on="cell_id")


def apply_policy(counts: pd.DataFrame, policy: Policy) -> tuple[pd.Series, pd.Series]:
    """Events and trials of each row of joint counts, columns as `joint_counts` gives them.

    Raises:
        CapsafeError: the policy needs a pair of checkpoints.
    """
    if policy.paired:
        raise CapsafeError(
            f"The policy {policy.words!r} does not give the rate of one checkpoint.",
            f"Use one of {', '.join(POLICIES)}.",
        )
    c = counts
    return policy.counted(
        c["positive"],
        c["negative"],
        c["positive_incoherent"],
        c["negative_incoherent"],
        c["no_verdict_incoherent"],
        c["positive_unchecked"],
        c["negative_unchecked"],
    )


def no_verdicts(counts: pd.DataFrame) -> pd.Series:
    """Outputs of each row of joint counts on which the judge gave no verdict."""
    return counts[[f"no_verdict{tail}" for tail in TAILS]].sum(axis=1)


def study_counts(view: View) -> pd.DataFrame:
    """Joint counts of the study's cells, as the view's coherence source and truncation have them.

    Returns:
        Columns of `joint_counts` and `View.cells`.
    """
    return _counts(view).merge(view.cells, on="cell_id")


def _counts(view: View) -> pd.DataFrame:
    return joint_counts(view.store, view.specification.coherence, view.specification.truncated)


def _clustered(view: View, rates: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    """The rates with intervals over behaviours where several outputs of a cell share one."""
    several = rates["cell_id"].isin(list(clustered_cells(view.store))) & rates["rate"].notna()
    for (benchmark_id, judge, dimension), rows in rates[several].groupby(
        ["benchmark_id", "judge", "dimension"]
    ):
        cells = list(rows["cell_id"])
        sample = Sample(
            view.store,
            str(benchmark_id),
            dict(zip(cells, cells, strict=True)),
            view.specification.truncated or bool((rows["kind"] == "capability").all()),
        )
        coherence = sample.codes(view.specification.coherence, "coherence")
        codes = sample.codes(str(judge), str(dimension))
        counted = [
            policy_arrays(
                np.where(v == 3, 2, v).astype(np.uint8),
                c,
                policy if dimension == "safety" else Policy.AS_JUDGED,
            )
            for v, c in zip(codes, coherence, strict=True)
        ]
        for row, rate in zip(rows.index, sample.resampled(*sample.sums(counted)), strict=True):
            interval = rate.interval()
            if interval:
                rates.loc[row, ["low", "high"]] = interval
    return rates
