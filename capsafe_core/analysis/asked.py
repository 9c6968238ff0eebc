"""What a selection asks for is there: names that something of the study has, and scores for a threshold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from capsafe_core.errors import CapsafeError, UnknownNameError
from capsafe_core.outcomes import LISTED_OUTCOMES, STRATA
from capsafe_core.scales import scale_at
from capsafe_core.selection import Selection
from capsafe_core.specification import CORRECTIONS, CROSSINGS, POLICIES, Crossing, Specification
from capsafe_core.store import Store
from capsafe_core.store.arrays import score_counts
from capsafe_core.store.cells import members
from capsafe_core.store.filters import MARKS
from capsafe_core.store.output_lists import COLUMNS, LAYOUTS, ORDERS
from capsafe_core.store.studies import rater_names
from capsafe_core.study import Study


def require_known(
    store: Store,
    study: Study,
    points: pd.DataFrame,
    own: pd.DataFrame,
    conditions: Mapping[str, Sequence[str]],
    selection: Selection,
) -> None:
    """Refuse names that nothing of the study has.

    Args:
        points, own: the study's paths, and the cells of its checkpoints.
        conditions: the parts of a condition of which there are several, with their values.

    Raises:
        UnknownNameError: the selection holds one.
        CapsafeError: a goal is not a share from 0 to 1, or “stopped” has no declared tolerance.
    """
    measured = own["benchmark"].unique()
    names: dict[str, tuple[Sequence[str], Iterable[str]]] = {
        "policy": ([selection.policy] if selection.policy else [], POLICIES),
        "correction": ([selection.correction] if selection.correction else [], CORRECTIONS),
        "crossing rule": ([selection.crossing] if selection.crossing else [], CROSSINGS),
        "data set": ([dataset for dataset, _ in selection.goals], [d.name for d in study.datasets]),
        "recipe": (selection.recipes, [*(r.name for r in study.recipes), *points["recipe"]]),
        "benchmark": (selection.benchmarks, [*(b.name for b in study.benchmarks), *measured]),
        "judge": (selection.judges, [*(j.name for j in study.judges), *rater_names(store)]),
        "checkpoint": (selection.checkpoints, points["checkpoint_id"]),
        "outcome": (selection.outcomes, LISTED_OUTCOMES),
        "kind of output": (selection.strata, STRATA),
        "order": ([selection.order] if selection.order else [], ORDERS),
        "column": (selection.columns, COLUMNS),
        "mark": ([selection.marks] if selection.marks else [], MARKS),
        "layout": ([selection.layout] if selection.layout else [], LAYOUTS),
        "attack": ([selection.attack] if selection.attack else [], [a for a in own["attack"].unique() if a]),
        "choice of a condition": (
            [f"{part}={value}" for part, value in selection.condition],
            [f"{part}={value}" for part, values in conditions.items() for value in values],
        ),
    }
    for kind, (asked, known) in names.items():
        for name in asked:
            if name not in set(known):
                raise UnknownNameError(kind, name, known)
    if selection.crossing == Crossing.STOPPED and study.primary.tolerance is None:
        raise CapsafeError(
            "The study does not say how far from its goal training may have stopped, so “stopped” cannot be "
            "compared.",
            "Declare it in the study file, such as tolerance = 0.05 under [primary].",
        )
    for dataset, goal in selection.goals:
        if not 0 <= goal <= 1:
            raise CapsafeError(
                f"The goal {goal:g} on {dataset!r} cannot be used.", "A goal is a share from 0 to 1."
            )


def require_scores(store: Store, specification: Specification, own: pd.DataFrame) -> None:
    """Refuse a threshold that some verdicts cannot follow.

    Raises:
        CapsafeError: the judge gives no score, or verdicts of it came without one.
    """
    judge, cutoff = specification.judge, specification.cutoff
    if cutoff is None:
        return
    scale_at(judge, cutoff)
    counts = store.kept(f"scores of {judge}", lambda: score_counts(store, judge))
    mine = counts[
        counts["cell_id"].isin({one for cell in own["cell_id"] for one in members(store).get(cell, [cell])})
    ]
    verdicts, scored = int(mine["verdicts"].sum()), int(mine["scored"].sum())
    if scored < verdicts:
        raise CapsafeError(
            f"{verdicts - scored:,} of {verdicts:,} verdicts of {judge} came without a score, so they cannot "
            "be read at another threshold.",
            "Leave the threshold out, or run the judge here.",
        )
