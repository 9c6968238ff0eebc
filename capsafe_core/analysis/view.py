"""What a screen is about: a study as the store holds it, under a selection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import pandas as pd

from capsafe_core import catalogue
from capsafe_core.analysis.policies import POLICIES
from capsafe_core.errors import CapsafeError, UnknownNameError
from capsafe_core.selection import Selection
from capsafe_core.stats.matching import RULES
from capsafe_core.store import Store
from capsafe_core.store.cells import OUTCOMES, STRATA, TASK_ANSWER, cells
from capsafe_core.store.studies import first_result, path_points, rater_names, study_texts
from capsafe_core.study import PrimarySpecification, Study, parse_study


@dataclass(frozen=True)
class View:
    """A study, the way of asking in force, and the checkpoints along its paths."""

    store: Store
    study: Study
    selection: Selection
    specification: PrimarySpecification
    points: pd.DataFrame
    declared: float
    first_result: float | None

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The cells of the study's checkpoints, one for each checkpoint, benchmark name and attack.

        Where a benchmark has several versions, the cell that the study's own jobs brought is taken, else that of
        the version with most cells.
        """
        known = cells(self.store)
        known = known[known["checkpoint_id"].isin(self.points["checkpoint_id"])]
        own = known["job"].str.startswith(f"{self.study.name}-")
        order = known.assign(
            own=own, used=known.groupby("benchmark_id")["cell_id"].transform("size")
        ).sort_values(["own", "used"], ascending=False, kind="stable")
        return order.drop_duplicates(["checkpoint_id", "benchmark", "attack"]).drop(
            columns=["own", "used", "job"]
        )

    @property
    def is_primary(self) -> bool:
        """Whether everything is asked as the study declared: specification, goals, and no output left out."""
        return (
            self.specification == self.study.primary
            and all(self.goal(d) == g for d, g in self.study.goals.items())
            and self.selection.truncated
        )

    @property
    def declared_before(self) -> bool | None:
        """Whether the study stood before its first answer was judged; None where the store cannot know, as with imported logs."""
        return (
            None
            if self.first_result is None or self.study.is_imported
            else self.declared <= self.first_result
        )

    def goal(self, dataset: str) -> float | None:
        """The goal on a data set: the one the user set, else the study's."""
        return dict(self.selection.goals).get(dataset, self.study.goals.get(dataset))

    def capability_benchmark(self, dataset: str) -> str | None:
        return next((d.benchmark for d in self.study.datasets if d.name == dataset), None)

    @property
    def matched_recipes(self) -> list[str]:
        """Recipes that teach a capability with a goal."""
        return [
            r.name
            for r in self.study.recipes
            if self.capability_benchmark(r.dataset) and self.goal(r.dataset) is not None
        ]

    def specification_words(self) -> str:
        """The way of asking, in words for a caption."""
        s = self.specification
        declared = {
            True: "declared before the results",
            False: "declared after the results",
            None: "declaration time unknown",
        }[self.declared_before]
        scale = catalogue.judges().get(s.judge, {}).get("scale")
        cutoff = (
            f" (unsafe where {scale['score']} is {'below' if scale['unsafe'] == 'below' else 'at least'} {scale['cutoff']:g})"
            if scale
            else ""
        )
        tail = f"primary specification, {declared}" if self.is_primary else "not the primary specification"
        return f"benchmark {s.benchmark}; judge {s.judge}{cutoff}; incoherent outputs {s.policy.replace('_', ' ')}; coherence by {s.coherence}; {s.crossing} crossing of the goal ({tail})"


def list_studies(store: Store) -> list[str]:
    """Names of the studies in the store, newest first."""
    return [str(name) for name in study_texts(store)["name"]]


def open_view(store: Store, selection: Selection) -> View:
    """The view of a selection: its study, or the newest that fine-tunes, or the newest.

    The first benchmark and judge of the selection, its policy and its crossing rule, take the place of the primary ones.

    Raises:
        CapsafeError: the store has no study, or not that one.
    """
    texts = store.kept("studies", lambda: study_texts(store))
    if texts.empty:
        raise CapsafeError(
            "There is no study in this store yet.",
            "Run `capsafe run study.toml`, or `capsafe demo` for the one that ships with capsafe.",
        )
    tuned = texts[texts["text"].str.contains("[[recipes]]", regex=False)]
    name = selection.study or str((tuned if len(tuned) else texts)["name"].iloc[0])
    if name not in set(texts["name"]):
        raise UnknownNameError("study", name, texts["name"])
    row = texts.set_index("name").loc[name]
    study = _parsed(str(row["text"]), name)
    changes = {
        key: value
        for key, value in {
            "benchmark": selection.benchmarks[0] if selection.benchmarks else "",
            "judge": selection.judges[0] if selection.judges else "",
            "policy": selection.policy,
            "crossing": selection.crossing,
        }.items()
        if value
    }
    points = path_points(store, name)
    _known(store, study, points, selection)
    specification = PrimarySpecification.model_validate({**study.primary.model_dump(), **changes})
    first = store.kept(
        f"first result {name}",
        lambda: first_result(store, [f"{name}-{judge.name}" for judge in study.judges]),
    )
    return View(
        store, study, selection.but(study=name), specification, points, float(str(row["declared"])), first
    )


def _known(store: Store, study: Study, points: pd.DataFrame, selection: Selection) -> None:
    """Refuse names that nothing of the study has.

    Raises:
        UnknownNameError: the selection holds one.
        CapsafeError: a goal is not a share from 0 to 1.
    """
    own = cells(store)
    measured = own[own["checkpoint_id"].isin(points["checkpoint_id"])]["benchmark"]
    names: dict[str, tuple[Sequence[str], Iterable[str]]] = {
        "policy": ([selection.policy] if selection.policy else [], POLICIES),
        "crossing rule": ([selection.crossing] if selection.crossing else [], RULES),
        "data set": ([dataset for dataset, _ in selection.goals], [d.name for d in study.datasets]),
        "recipe": (selection.recipes, [*(r.name for r in study.recipes), *points["recipe"]]),
        "benchmark": (selection.benchmarks, [*(b.name for b in study.benchmarks), *measured]),
        "judge": (selection.judges, [*(j.name for j in study.judges), *rater_names(store)]),
        "checkpoint": (selection.checkpoints, points["checkpoint_id"]),
        "outcome": (selection.outcomes, (*OUTCOMES, TASK_ANSWER)),
        "kind of output": (selection.strata, STRATA),
    }
    for kind, (asked, known) in names.items():
        for name in asked:
            if name not in set(known):
                raise UnknownNameError(kind, name, known)
    for dataset, goal in selection.goals:
        if not 0 <= goal <= 1:
            raise CapsafeError(
                f"The goal {goal:g} on {dataset!r} cannot be used.", "A goal is a share from 0 to 1."
            )


@lru_cache(maxsize=8)
def _parsed(text: str, name: str) -> Study:
    return parse_study(text, f"study {name}")
