"""What has been produced and what is missing: checkpoint × benchmark × judge."""

from __future__ import annotations

import pandas as pd

from capsafe_core.analysis.view import View
from capsafe_core.store.cells import joint_counts


def coverage_table(view: View) -> pd.DataFrame:
    """How far each checkpoint's outputs on each benchmark are judged.

    Returns:
        recipe, seed, step, checkpoint_id, benchmark, outputs, judges (how many have looked at every output),
        partial (how many at some of them).
    """
    counts = joint_counts(view.store, view.specification.coherence).merge(view.cells, on="cell_id")
    parts = ["positive", "negative", "positive_incoherent", "negative_incoherent", "no_verdict", "no_verdict_incoherent"]
    counts["outputs"] = counts[parts].sum(axis=1)
    per_judge = counts.groupby(["checkpoint_id", "benchmark", "judge"], as_index=False).agg(outputs=("outputs", "max"), missing=("missing", "max"))
    per_judge = per_judge[per_judge["missing"] < per_judge["outputs"]]
    per_judge["full"] = per_judge["missing"] == 0
    table = per_judge.groupby(["checkpoint_id", "benchmark"], as_index=False).agg(outputs=("outputs", "max"), judges=("full", "sum"), seen=("judge", "count"))
    table["partial"] = table["seen"] - table["judges"]
    return view.points[["recipe", "seed", "step", "checkpoint_id"]].merge(table.drop(columns="seen"), on="checkpoint_id")
