"""What has been produced and what is missing: checkpoint × benchmark × judge."""

from __future__ import annotations

import pandas as pd

from capsafe_core import catalogue
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.store.cells import cells
from capsafe_core.store.counts import seen_counts

MOST_ROWS = 3_000_000
"""checkpoints times benchmarks times judges; a bundle may bring any number of each"""


def coverage_table(view: View, benchmark: str = "") -> pd.DataFrame:
    """How far each checkpoint's outputs are made and judged, on one benchmark or on all.

    Returns:
        recipe, seed, step, checkpoint_id, benchmark, judge, outputs (that are there, under every condition),
        seen (how many of them the judge has looked at),
        state: present, partial, missing, or no outputs. A judge of the study stands at every benchmark of a
            kind that it looks at.

    Raises:
        CapsafeError: there are more than MOST_ROWS of them.
    """
    names = [benchmark] if benchmark else [b.name for b in view.study.benchmarks]
    kinds = dict(zip(*(cells(view.store)[c] for c in ("benchmark", "kind")), strict=True))
    asked = pd.DataFrame(
        [
            (name, judge.name)
            for name in names
            for judge in view.study.judges
            if kinds.get(name, "safety")
            in catalogue.judges().get(judge.name, {}).get("kinds", (kinds.get(name),))
        ],
        columns=["benchmark", "judge"],
    )
    points = view.points[["recipe", "seed", "step", "checkpoint_id"]].drop_duplicates("checkpoint_id")
    if len(points) * len(asked) > MOST_ROWS:
        raise CapsafeError(
            f"{len(points):,} checkpoints with {len(asked):,} pairs of a benchmark and a judge are more than "
            f"the {MOST_ROWS:,} rows that are told at once.",
            "Choose one benchmark.",
        )
    pairs = ["checkpoint_id", "benchmark"]
    there = view.listed_cells[["cell_id", *pairs]]
    counts = seen_counts(view.store)
    made = there.assign(outputs=there["cell_id"].map(counts.groupby("cell_id")["outputs"].max()))
    made = made.groupby(pairs, as_index=False).agg(outputs=("outputs", "sum"))
    seen = there.merge(counts[["cell_id", "judge", "seen"]], on="cell_id")
    seen = seen.groupby([*pairs, "judge"], as_index=False).agg(seen=("seen", "sum"))
    grid = points.merge(asked, how="cross").merge(made, how="left", on=pairs)
    grid = grid.merge(seen, how="left", on=[*pairs, "judge"])
    for column in ("outputs", "seen"):
        grid[column] = grid[column].fillna(0).astype(int)
    states = [
        ("no outputs" if not o else "present" if s >= o else "partial" if s else "missing")
        for o, s in zip(grid["outputs"], grid["seen"], strict=True)
    ]
    return grid.assign(state=states)


def coverage_words(study: str, benchmark: str, table: pd.DataFrame) -> str:
    """What is missing on a benchmark, as a sentence."""
    states = table["state"].value_counts()
    if not len(table) or states.get("no outputs", 0) == len(table):
        return f"{study} has no outputs on {benchmark} yet."
    open_pairs = len(table) - int(states.get("present", 0))
    pairs = f"{len(table)} pairs of a checkpoint and a judge"
    return f"{study} on {benchmark}: " + (
        f"{open_pairs} of {pairs} are not complete." if open_pairs else f"all {pairs} are complete."
    )
