"""Capability and safety along training."""

from __future__ import annotations

import pandas as pd

from capsafe_core.analysis.metrics import capability_measurements
from capsafe_core.analysis.rates import cell_rates
from capsafe_core.analysis.view import View
from capsafe_core.stats.matching import share_gained


def path_table(view: View, rates: pd.DataFrame | None = None) -> pd.DataFrame:
    """Every checkpoint on every path, with its capability and its safety.

    Returns:
        path_id, recipe, seed, step, checkpoint_id, start, dataset, learning_rate;
        capability, capability_low, capability_high, capability_n, capability_benchmark (the data set's, else
        the only one of the study), goal, gained (share of the goal gained; missing where the start is not
        measured, or has the goal already); measured (whether the capability is an aggregate measurement),
        capability_stderr (of such a measurement);
        unsafe, unsafe_low, unsafe_high, unsafe_events, unsafe_n, no_verdict, incoherent, cell_id under the
        view's specification;
        judges_low, judges_high: the lowest and highest unsafe rate that any safety judge gives.
    """
    rates = view.compared(cell_rates(view) if rates is None else rates)
    points = view.points[
        view.points["recipe"].isin(view.selection.recipes or tuple(view.points["recipe"].unique()))
    ].copy()
    points["capability_benchmark"] = points["dataset"].map(
        lambda d: view.capability_benchmark(d) or view.only_capability
    )
    points["goal"] = points["dataset"].map(lambda d: view.goal(d))
    table = points.merge(_capabilities(rates), how="left")
    table["measured"], table["capability_stderr"] = False, float("nan")
    if table["capability"].isna().any():
        table = _measured(view, table)
    safety = rates[(rates["dimension"] == "safety") & (rates["benchmark"] == view.specification.benchmark)]
    span = safety.groupby("checkpoint_id")["rate"].agg(judges_low="min", judges_high="max").reset_index()
    table = (
        table.merge(
            _unsafe(safety[safety["judge"] == view.specification.judge]), how="left", on="checkpoint_id"
        )
        .merge(span, how="left", on="checkpoint_id")
        .sort_values(["recipe", "seed", "step"])
        .reset_index(drop=True)
    )
    table["gained"] = share_gained(
        table["capability"],
        table["path_id"].map(table[table["step"] == 0].set_index("path_id")["capability"]),
        table["goal"].astype(float),
    )
    return table


def _capabilities(rates: pd.DataFrame) -> pd.DataFrame:
    """The share of right answers of each checkpoint on each capability benchmark."""
    names = {"rate": "capability", "low": "capability_low", "high": "capability_high", "n": "capability_n"}
    right = rates[rates["dimension"] == "correctness"].rename(
        columns={"benchmark": "capability_benchmark", **names}
    )
    return right[["checkpoint_id", "capability_benchmark", *names.values()]]


def _unsafe(chosen: pd.DataFrame) -> pd.DataFrame:
    """The unsafe rate of each checkpoint by one judge on one benchmark."""
    names = {
        "rate": "unsafe",
        "low": "unsafe_low",
        "high": "unsafe_high",
        "events": "unsafe_events",
        "n": "unsafe_n",
    }
    kept = ["checkpoint_id", "cell_id", *names.values(), "no_verdict", "incoherent"]
    return chosen.rename(columns=names)[kept]


def _measured(view: View, table: pd.DataFrame) -> pd.DataFrame:
    """The table with capabilities that are known only in aggregate, where no item was answered here."""
    known = capability_measurements(view).rename(columns={"benchmark": "capability_benchmark"})
    merged = table.merge(
        known[["checkpoint_id", "capability_benchmark", "value", "stderr", "n"]],
        how="left",
        on=["checkpoint_id", "capability_benchmark"],
    )
    gap = merged["capability"].isna() & merged["value"].notna()
    merged["measured"] = gap
    half = 1.96 * merged["stderr"].astype(float)
    for name, values in (
        ("capability", merged["value"]),
        ("capability_low", merged["value"] - half),
        ("capability_high", merged["value"] + half),
        ("capability_n", merged["n"]),
        ("capability_stderr", merged["stderr"]),
    ):
        merged[name] = merged[name].where(~gap, values.astype(float))
    return merged.drop(columns=["value", "stderr", "n"])
