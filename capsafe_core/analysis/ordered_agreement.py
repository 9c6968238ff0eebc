"""Agreement of judges where labels are in order (no, partial, full refusal), and of all judges at each
checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.arms import checkpoint_name
from capsafe_core.analysis.columns import framed
from capsafe_core.analysis.disagreement import compared_rows
from capsafe_core.analysis.view import View
from capsafe_core.stats.agreement import COEFFICIENTS, Patterns, coefficient
from capsafe_core.store.patterns import BenchmarkPatterns, pattern_counts

CATEGORIES = {"safety": 2, "refusal": 3}
"""dimension -> how many labels it has, in order; with two the weighted coefficients are the plain ones"""
ALPHAS = {"alpha": "nominal", "alpha_ordinal": "ordinal", "alpha_interval": "quadratic"}
KAPPAS = {"kappa": "nominal", "kappa_linear": "linear", "kappa_quadratic": "quadratic"}
OF_ALL = tuple(name for name in COEFFICIENTS if name not in ("cohen", "alpha"))


def judge_patterns(
    table: BenchmarkPatterns, names: Sequence[str], dimension: str, keep: npt.NDArray[np.bool_]
) -> Patterns:
    """How often judges gave which labels on some rows; what is not a verdict counts as missing."""
    k = CATEGORIES[dimension]
    codes = np.stack([table.column(name, dimension)[keep] for name in names], axis=1)
    return Patterns(np.where(codes > k, 0, codes).astype(np.uint8), table.n[keep].astype(float), k)


def seen_by(patterns: Patterns, judges: int) -> int:
    """Outputs with verdicts of so many judges or more."""
    return int(patterns.n[(patterns.codes > 0).sum(axis=1) >= judges].sum())


def ordered_table(view: View) -> pd.DataFrame:
    """Agreement of every pair of judges with labels in order: weighted kappas, ordinal and interval alpha.

    On outputs of the compared checkpoints to the view's benchmark.

    Returns:
        dimension (safety, or refusal: none, partial, full), judge_1, judge_2, n (outputs with both verdicts);
        kappa, kappa_linear, kappa_quadratic (Cohen 1968), alpha, alpha_ordinal, alpha_interval
        (Krippendorff); missing where not defined.
    """
    table, rows = compared_rows(view)
    found = []
    for dimension in CATEGORIES if table is not None else ():
        assert table is not None
        names = [seat.name for seat in table.judges(dimension)]
        for one, two in combinations(names, 2):
            patterns = judge_patterns(table, (one, two), dimension, rows)
            both = patterns.complete()
            found.append(
                (
                    dimension,
                    one,
                    two,
                    int(both.n.sum()),
                    *(coefficient(both, "cohen", weights) for weights in KAPPAS.values()),
                    *(coefficient(both, "alpha", weights) for weights in ALPHAS.values()),
                )
            )
    return framed(found, ["dimension", "judge_1", "judge_2", "n", *KAPPAS, *ALPHAS])


def checkpoints_table(view: View) -> pd.DataFrame:
    """Agreement of all judges together at each checkpoint, on the view's benchmark.

    Returns:
        checkpoint, checkpoint_id, attack, dimension, judges (with verdicts there), n (outputs with verdicts
        of two judges or more), complete (of all); Fleiss' and Conger's kappa, Gwet's AC1, Brennan-Prediger,
        and Krippendorff's alpha: nominal, ordinal, interval; missing where not defined.
    """
    cells = view.cells[view.cells["benchmark"] == view.specification.benchmark]
    points = view.points.drop_duplicates("checkpoint_id")
    names_of = {point.checkpoint_id: checkpoint_name(point) for point in points.itertuples()}
    found = []
    for table in pattern_counts(view.store):
        mine = cells[cells["benchmark_id"] == table.benchmark_id]
        place = {cell: i for i, cell in enumerate(table.cells)}
        for cell, checkpoint, attack in mine[["cell_id", "checkpoint_id", "attack"]].to_numpy():
            rows = (table.cell == place.get(cell, -1)) & (view.specification.truncated | ~table.truncated)
            for dimension in CATEGORIES:
                known = [s.name for s in table.judges(dimension)]
                there = [name for name in known if judge_patterns(table, [name], dimension, rows).codes.any()]
                if len(there) > 1:
                    patterns = judge_patterns(table, there, dimension, rows)
                    who = (names_of.get(checkpoint, ""), checkpoint, attack, dimension, len(there))
                    found.append((*who, *_of_all(patterns)))
    columns = ["checkpoint", "checkpoint_id", "attack", "dimension", "judges", "n", "complete"]
    return framed(found, [*columns, *OF_ALL, *ALPHAS])


def _of_all(patterns: Patterns) -> tuple[float | None, ...]:
    """n, complete, and the coefficients of all judges together."""
    return (
        seen_by(patterns, 2),
        seen_by(patterns, patterns.codes.shape[1]),
        *(coefficient(patterns, name) for name in OF_ALL),
        *(coefficient(patterns, "alpha", weights) for weights in ALPHAS.values()),
    )
