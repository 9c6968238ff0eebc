"""Where models stop making sense, and how."""

from __future__ import annotations

import pandas as pd

from capsafe_core.analysis.rates import cell_rates
from capsafe_core.analysis.view import View
from capsafe_core.store.outputs import reason_counts


def incoherence_table(view: View) -> pd.DataFrame:
    """The share of incoherent outputs of every checkpoint on every benchmark.

    Returns:
        recipe, seed, step, checkpoint_id, benchmark, kind, cell_id, events, n, rate, low, high.
    """
    rates = cell_rates(view)
    coherence = rates[(rates["dimension"] == "coherence") & (rates["judge"] == view.specification.coherence)]
    points = view.points[["recipe", "seed", "step", "checkpoint_id"]]
    table = points.merge(coherence.drop(columns=["judge", "family", "dimension", "no_verdict", "incoherent", "total"]), on="checkpoint_id")
    if view.selection.recipes:
        table = table[table["recipe"].isin(view.selection.recipes)]
    return table.sort_values(["recipe", "seed", "step", "benchmark"]).reset_index(drop=True)


def reason_table(view: View, benchmark: str) -> pd.DataFrame:
    """Reasons for incoherence along training on one benchmark.

    Returns:
        recipe, seed, step, checkpoint_id, reason, n, share (of the cell's outputs). An output can have several reasons.
    """
    known = view.cells
    known = known[known["benchmark"] == benchmark]
    counts = reason_counts(view.store, view.specification.coherence).merge(known[["cell_id", "checkpoint_id"]], on="cell_id")
    totals = incoherence_table(view)
    totals = totals[totals["benchmark"] == benchmark][["recipe", "seed", "step", "checkpoint_id", "n"]].rename(columns={"n": "total"})
    table = totals.merge(counts[["checkpoint_id", "reason", "n"]], on="checkpoint_id")
    table["share"] = table["n"] / table["total"]
    return table.drop(columns="total").sort_values(["recipe", "seed", "step", "reason"]).reset_index(drop=True)
