"""What a screen is about: a study as the store holds it, under a selection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import pandas as pd

from capsafe_core.analysis.asked import require_known, require_scores
from capsafe_core.analysis.conditions import alternatives, between, open_condition, own_cells, under
from capsafe_core.analysis.harm import HARMFUL, Harm, harm_words, outcome_words
from capsafe_core.errors import EmptyStoreError, UnknownNameError
from capsafe_core.scales import scale_at, scales
from capsafe_core.selection import Selection
from capsafe_core.specification import (
    PARTS,
    Correction,
    Crossing,
    Policy,
    Specification,
    condition_words,
)
from capsafe_core.store import Store
from capsafe_core.store.cells import cells
from capsafe_core.store.counts import coherence_counts
from capsafe_core.store.studies import first_result, path_points, study_texts
from capsafe_core.store.threshold import StoreAtThreshold
from capsafe_core.study import Study, recorded_text

T = TypeVar("T")


@dataclass(frozen=True)
class View:
    """A study, the specification in force, and the checkpoints along its paths."""

    source: Store
    study: Study
    selection: Selection
    specification: Specification
    points: pd.DataFrame
    declared: float
    first_result: float | None

    @cached_property
    def store(self) -> Store:
        """The store, with the verdicts of the specification's judge at the specification's threshold."""
        return at_threshold(self.source, self.specification)

    @cached_property
    def at_own_threshold(self) -> View:
        """The view with the judge's own verdicts."""
        if self.specification.cutoff is None:
            return self
        return replace(self, specification=replace(self.specification, cutoff=None))

    def once(self, compute: Callable[[View], T]) -> T:
        """What a function computes of this view, kept: the findings of a report rest on the same few."""
        if compute not in self._computed:
            self._computed[compute] = compute(self)
        kept: T = self._computed[compute]
        return kept

    @cached_property
    def _computed(self) -> dict[Callable[[View], Any], Any]:
        return {}

    @cached_property
    def every_cell(self) -> pd.DataFrame:
        """The study's cells under every condition and attack; columns as `store.cells`.

        What another study's jobs brought counts only where this one's brought no answer of that checkpoint to
        that benchmark.
        """
        return _own_cells(self.store, self.study.name, self.points)

    @cached_property
    def alternatives(self) -> dict[str, tuple[str, ...]]:
        """The parts of the condition of which one checkpoint has several values on one benchmark, and their
        values."""
        return _alternatives(self.store, self.study.name, self.every_cell)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The cells that numbers are made of: one for each checkpoint, benchmark and attack.

        Raises:
            OpenConditionError: a checkpoint has several, and the specification does not say which.
        """
        known = self.listed_cells
        if still_open := alternatives(known):
            raise open_condition(still_open)
        return known

    @cached_property
    def listed(self) -> frozenset[str] | None:
        """The ids of the cells that lists show: those of the specification, as far as it says which; None for
        every cell that the store has of the study's checkpoints."""
        known, every = self.listed_cells, cells(self.store)
        of_study = every["checkpoint_id"].isin(self.points["checkpoint_id"]).sum()
        return None if len(known) == of_study else frozenset(known["cell_id"])

    @cached_property
    def listed_cells(self) -> pd.DataFrame:
        """The cells of the specification, as far as it says which; columns as `store.cells`."""
        known = under(self.every_cell, self.specification.condition)
        attack = self.specification.attack
        return known[(known["attack"] == attack) | (known["kind"] == "capability")] if attack else known

    def compared(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows, of cells, under the specification's attack; capability is measured without one."""
        return rows[(rows["attack"] == self.specification.attack) | (rows["kind"] == "capability")]

    @property
    def is_primary(self) -> bool:
        """Whether everything is as the study declared: specification, goals, and no output left out."""
        return self.completes_primary and self.specification == self.study.primary.specification

    @property
    def completes_primary(self) -> bool:
        """Whether it is the primary specification, with a condition where the study file says none."""
        declared = self.study.primary.specification
        mine = dict(self.specification.condition)
        kept = replace(self.specification, condition=declared.condition) == declared
        return kept and dict(declared.condition).items() <= mine.items() and self.goals == self.study.goals

    @property
    def declared_before(self) -> bool | None:
        """Whether the study stood before its first answer was judged; None where the store cannot know, as
        with imported logs."""
        return (
            None
            if self.first_result is None or self.study.is_imported
            else self.declared <= self.first_result
        )

    @property
    def goals(self) -> dict[str, float]:
        """Data set -> its goal: the one the user set, else the study's."""
        return {**self.study.goals, **dict(self.selection.goals)}

    @property
    def goalless_datasets(self) -> list[str]:
        """Data sets of recipes that are here whose capability is measured, and that have no goal."""
        used = self.points.loc[self.points["step"] > 0, "dataset"].unique()
        return [d for d in used if self.capability_benchmark(d) and self.goal(d) is None]

    def goal(self, dataset: str) -> float | None:
        """The goal on a data set; None where nobody stated one."""
        return self.goals.get(dataset)

    def capability_benchmark(self, dataset: str) -> str | None:
        return next((d.benchmark for d in self.study.datasets if d.name == dataset), None)

    @cached_property
    def only_capability(self) -> str | None:
        """The capability benchmark of a study that has one only."""
        names = {b.name for b in self.study.benchmarks if b.is_capability}
        return names.pop() if len(names) == 1 else None

    @property
    def recipe_names(self) -> tuple[str, ...]:
        """Every recipe of the study, whatever is selected."""
        return tuple(r.name for r in self.study.recipes)

    @property
    def matched_recipes(self) -> list[str]:
        """Recipes that teach a capability with a goal."""
        return [
            r.name
            for r in self.study.recipes
            if self.capability_benchmark(r.dataset) and self.goal(r.dataset) is not None
        ]

    @cached_property
    def of_every_recipe(self) -> View:
        """The view without a choice of recipes."""
        if not self.selection.recipes:
            return self
        return replace(self, selection=self.selection.but(recipes=()))

    @property
    def compared_recipes(self) -> tuple[str, ...]:
        """The recipes that a screen is about: those selected, else those with a goal, else every one that has
        a checkpoint after its start."""
        tuned = self.points.loc[self.points["step"] > 0, "recipe"]
        return self.selection.recipes or tuple(self.matched_recipes) or tuple(tuned.unique())

    def specification_words(self) -> str:
        """The specification, in words for a caption."""
        s = self.specification
        scale = scales().get(s.judge)
        cutoff = f" ({scale.words(s.cutoff)})" if scale else ""
        parts = [
            f"Benchmark {s.benchmark}",
            f"judge {s.judge}{cutoff}",
            f"incoherent outputs {s.policy.words}",
            f"coherence by {s.coherence}{self._checked_words}",
            *self.condition_words,
            s.crossing.words(s.tolerance),
            *(["rates at the goal corrected by people's labels"] if self.is_corrected else []),
        ]
        return f"{'; '.join(parts)} ({self.standing.removeprefix('the ')})"

    @cached_property
    def checked(self) -> tuple[int, int]:
        """Of how many outputs of the specification's benchmark its judge of coherence says whether they are
        coherent, and how many there are."""
        counts = self.store.kept(
            f"coherence by {self.specification.coherence}",
            lambda: coherence_counts(self.store, self.specification.coherence),
        )
        mine = self.listed_cells[self.listed_cells["benchmark"] == self.specification.benchmark]
        here = counts[counts["cell_id"].isin(mine["cell_id"])]
        return int(here["checked"].sum()), int(here["outputs"].sum())

    @property
    def _checked_words(self) -> str:
        checked, outputs = self.checked
        return "" if checked == outputs else f" ({checked:,} of {outputs:,} outputs checked)"

    @property
    def standing(self) -> str:
        """Whether this is the primary specification, and since when that stands, in words."""
        declared = {
            True: "declared before the results",
            False: "declared after the results",
            None: "of unknown declaration time",
        }[self.declared_before]
        if not self.completes_primary:
            return "not the primary specification"
        left_open = "" if self.is_primary else "which leaves the condition open, "
        return f"the primary specification, {left_open}{declared}"

    @property
    def harm(self) -> Harm:
        """What an unsafe verdict of the specification's judge is called."""
        return HARMFUL if self.is_corrected else harm_words(self.specification.judge)

    @property
    def is_corrected(self) -> bool:
        """Whether people's labels correct rates at the goal."""
        return self.specification.correction is Correction.BY_PEOPLE

    @property
    def outcome_words(self) -> dict[str, str]:
        """What each outcome is called under the specification's judge."""
        return outcome_words(self.harm)

    @cached_property
    def condition_words(self) -> tuple[str, ...]:
        """What a caption says of conditions: what was chosen, what is still mixed, what differs between
        checkpoints, what is pooled."""
        mine = self.listed_cells[self.listed_cells["benchmark"] == self.specification.benchmark]
        chosen = {p: v for p, v in self.specification.condition if p in self.alternatives}
        words = [condition_words(chosen.items())] if chosen else []
        mixed = alternatives(self.listed_cells)
        words += [f"every {PARTS.get(part, part)}" for part in mixed]
        words += [
            f"{PARTS.get(part, part)} differs between checkpoints ({', '.join(v or 'none' for v in values)})"
            for part, values in between(mine).items()
            if part not in mixed
        ]
        if (mine["attack"] != "").any():
            words.append(
                f"attack {self.specification.attack}" if self.specification.attack else "attacks apart"
            )
        engines = sorted({e for e in mine["engine"] if ", " in e})
        return tuple([*words, *(f"outputs of {' and of '.join(e.split(', '))} pooled" for e in engines)])


def _own_cells(store: Store, study: str, points: pd.DataFrame) -> pd.DataFrame:
    return store.kept(f"cells of {study}", lambda: own_cells(cells(store), study, points))


def _alternatives(store: Store, study: str, own: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    return store.kept(f"alternatives of {study}", lambda: alternatives(own))


def list_studies(store: Store) -> list[str]:
    """Names of the studies in the store, newest first."""
    return [str(name) for name in study_texts(store)["name"]]


def open_view(store: Store, selection: Selection) -> View:
    """The view of a selection: its study, or the newest that fine-tunes, or the newest.

    Raises:
        CapsafeError: the store has no study, or not that one.
    """
    store = store.own
    texts = store.kept("studies", lambda: study_texts(store))
    if texts.empty:
        raise EmptyStoreError(
            "There is no study in this store yet.",
            "Run `capsafe run study.toml`, or `capsafe demo` for the one that ships with capsafe.",
        )
    tuned = texts[texts["text"].str.contains("[[recipes]]", regex=False)]
    name = selection.study or str((tuned if len(tuned) else texts)["name"].iloc[0])
    if name not in set(texts["name"]):
        raise UnknownNameError("study", name, texts["name"])
    row = texts.set_index("name").loc[name]
    study = _parsed(str(row["text"]), name)
    points = path_points(store, name)
    own = _own_cells(store, name, points)
    require_known(store, study, points, own, _alternatives(store, name, own), selection)
    specification = specified(study.primary.specification, selection)
    require_scores(store, specification, own)
    first = store.kept(
        f"first result {name}",
        lambda: first_result(store, [f"{name}-{judge.name}" for judge in study.judges]),
    )
    return View(
        store, study, selection.but(study=name), specification, points, float(str(row["declared"])), first
    )


def specified(primary: Specification, selection: Selection) -> Specification:
    """The primary specification with what a selection changes in it: the first of its benchmarks and judges,
    and so on."""
    changes: dict[str, Any] = {
        "benchmark": selection.benchmarks[0] if selection.benchmarks else "",
        "judge": selection.judges[0] if selection.judges else "",
        "policy": Policy(selection.policy) if selection.policy else "",
        "crossing": Crossing(selection.crossing) if selection.crossing else "",
        "correction": Correction(selection.correction) if selection.correction else "",
        "attack": selection.attack,
    }
    condition = {**dict(primary.condition), **dict(selection.condition)}
    other_judge = bool(selection.judges) and selection.judges[0] != primary.judge
    return replace(
        primary,
        **{name: value for name, value in changes.items() if value},
        cutoff=selection.cutoff if other_judge or selection.cutoff is not None else primary.cutoff,
        condition=tuple(sorted(condition.items())),
        truncated=primary.truncated and selection.truncated,
    )


def at_threshold(store: Store, specification: Specification) -> Store:
    """The store as a specification's threshold shows it; the store itself under the judge's own.

    Raises:
        CapsafeError: the judge gives no score.
    """
    judge, cutoff = specification.judge, specification.cutoff
    if cutoff is None:
        return store
    below = scale_at(judge, cutoff).below
    return store.kept(f"at {cutoff!r} of {judge}", lambda: StoreAtThreshold(store, judge, cutoff, below))


@lru_cache(maxsize=8)
def _parsed(text: str, name: str) -> Study:
    return recorded_text(text, name)
