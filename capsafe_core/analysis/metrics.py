"""The metric of a capability that is known only in aggregate: one for each benchmark, the same everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pandas as pd

from capsafe_core.analysis.view import View
from capsafe_core.store.studies import measurements
from capsafe_core.trainer_state import COST

_LIKELIEST = (
    re.compile(r"(^|[^a-z])acc(uracy)?($|[^a-z_])"),
    re.compile(r"(^|[^a-z])(exact_match|em|pass)($|[^a-z])"),
)
"""names of shares of right answers, the likeliest first"""


def capability_measurements(view: View) -> pd.DataFrame:
    """Aggregate capabilities of the study's checkpoints: of several metrics of one benchmark the one that
    most checkpoints have, then a share of right answers.

    Returns:
        checkpoint_id, benchmark, metric, value, stderr, n, source; one row for each checkpoint and benchmark.
    """
    known = _known(view)
    chosen = {name: _metrics(rows)[0] for name, rows in known.groupby("benchmark")}
    of_chosen = known["metric"] == known["benchmark"].map(chosen)
    return known[of_chosen].sort_values("source").drop_duplicates(["checkpoint_id", "benchmark"], keep="last")


def several_metrics(view: View) -> Iterator[str]:
    """A sentence for each benchmark without answers here that several metrics measure: which counts."""
    known = _known(view)
    without_answers = known[~known["benchmark"].isin(view.every_cell["benchmark"])]
    for name, rows in without_answers.groupby("benchmark"):
        first, *others = _metrics(rows)
        if others:
            yield f"{name} is measured by {first} and {', '.join(sorted(others))}: its capability is {first}."


def _known(view: View) -> pd.DataFrame:
    known = measurements(view.store)
    mine = known["checkpoint_id"].isin(view.points["checkpoint_id"]) & (known["benchmark"] != COST)
    return known[mine]


def _metrics(rows: pd.DataFrame) -> list[str]:
    """The metrics of a benchmark, the one that counts first."""
    checkpoints = rows.groupby("metric")["checkpoint_id"].nunique()

    def order(metric: str) -> tuple[int, int, str]:
        likely = (i for i, name in enumerate(_LIKELIEST) if name.search(metric.lower().replace("eval_", "")))
        return -int(checkpoints[metric]), next(likely, len(_LIKELIEST)), metric

    return sorted((str(metric) for metric in checkpoints.index), key=order)
