"""What a comparison at a capability goal lacks, and where each of it is stated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from capsafe_core.analysis.left_out import why_left_out
from capsafe_core.analysis.matched import Matching
from capsafe_core.analysis.metrics import several_metrics
from capsafe_core.analysis.view import View
from capsafe_core.records import UNKNOWN_KIND
from capsafe_core.store.studies import measurements
from capsafe_core.trainer_state import COST

NO_PATH = (
    "No checkpoint here lies on a training path. State which was fine-tuned from which: by a pattern or a "
    "column for the step when importing on the Data page, or as a recipe in the study file."
)
_SHOWN = 5
"""names in a sentence, and paths with gaps that are told one by one"""


def lacking(view: View, found: Matching) -> list[str]:
    """Why recipes are not compared at a goal, in sentences with where to state what is missing; none where
    every recipe is among the runs of the matching."""
    tuned = view.points[view.points["step"] > 0]
    sentences = [*several_metrics(view), *_safety(view)]
    if tuned.empty:
        return [NO_PATH, *sentences]
    prepares = {start.recipe for start in view.study.starts}  # what others start from is not compared
    for dataset, points in tuned[~tuned["recipe"].isin(prepares)].groupby("dataset", sort=False):
        sentences += _dataset(view, str(dataset), _some(points["recipe"].unique()))
    starts = {run.recipe: run.start for run in found.runs if not run.has_start}
    sentences += [
        f"{start}, the start of {recipe}, is not measured, so the change since then is not known: import or "
        "run it."
        for recipe, start in starts.items()
    ]
    more = len(found.left_out) - _SHOWN
    tail = [f"{more} more {'is' if more == 1 else 'are'} left out for such reasons."] if more > 0 else []
    return [*sentences, *why_left_out(found.left_out[:_SHOWN]), *tail]


def _safety(view: View) -> Iterator[str]:
    """What answers to safety benchmarks lack."""
    cells = view.listed_cells
    unknown = cells.loc[cells["kind"] == UNKNOWN_KIND, "benchmark"].unique()
    if len(unknown):
        yield f"What {_some(unknown)} measures is unknown: state it on the Data page."
    elif not (cells["kind"] == "safety").any():
        yield "No response to a safety benchmark is here: import some on the Data page."
    elif not (cells["benchmark"] == view.specification.benchmark).any():
        name = view.specification.benchmark
        yield f"No response to {name} is here: import some, or choose another benchmark."


def _dataset(view: View, dataset: str, recipes: str) -> Iterator[str]:
    """What a data set lacks, so that its recipes have no goal."""
    if view.capability_benchmark(dataset) is None:
        known = _capabilities(view)
        yield (
            f"The study does not say what measures the capability of {recipes}: name one of its benchmarks "
            f"({_some(known)}) as “benchmark” of the data set {dataset} in the study file."
            if known
            else f"No capability of {recipes} is known: import the results of a capability benchmark on the "
            "Data page."
        )
    elif view.goal(dataset) is None:
        yield (
            f"No capability goal is stated for {recipes}: set one on the page Capability and safety, or "
            "under [goals] in the study file."
        )


def _capabilities(view: View) -> list[str]:
    """Capability benchmarks with results of the study's checkpoints, item by item or in aggregate."""
    cells, total = view.every_cell, measurements(view.store)
    return sorted(
        {
            *cells.loc[cells["kind"] == "capability", "benchmark"],
            *total.loc[
                total["checkpoint_id"].isin(view.points["checkpoint_id"]) & (total["benchmark"] != COST),
                "benchmark",
            ],
        }
    )


def _some(names: Iterable[object]) -> str:
    every = [str(name) for name in names]
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return f"{', '.join(every[:_SHOWN])}{more}"
