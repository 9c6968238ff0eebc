"""The outputs that a selection leaves, as SQL."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any

import pandas as pd

from capsafe_core.outcomes import LISTED, STRATUM, as_sql
from capsafe_core.selection import Selection, votes_of
from capsafe_core.specification import Specification
from capsafe_core.store.cells import cells as cells_of
from capsafe_core.store.cells import members
from capsafe_core.store.counts import outcome_slots
from capsafe_core.store.store import Store
from capsafe_core.store.studies import path_points

BY_TEXT = ("categories", "prompt", "search", "before", "marks")
MARKS = {
    "starred": "SELECT generation_id FROM current_stars",
    "commented": "SELECT generation_id FROM counted_remarks WHERE action = 'comment'",
}
"""what the codes of an output do not tell"""

PLACES = """
places AS (
    SELECT checkpoint_id, min(recipe) AS recipe, min(seed) AS seed, arg_min(step, recipe) AS step
    FROM path_points WHERE study = $study AND batch NOT IN (SELECT batch FROM retracted_batches)
        GROUP BY checkpoint_id
)
"""
"""Where each checkpoint of a study lies; one that lies on several paths, on the first."""

_CODED = """
coded AS (
    SELECT v.generation_id, v.cell_id, c.checkpoint_id, b.name AS benchmark,
        b.kind = 'capability' AS capability, v.position, v.sample, v.truncated, v.codes,
        coalesce(v.codes[safety_slot], 0) AS safety,
        coalesce(v.codes[refusal_slot], 0) AS refusal, coalesce(v.codes[coherence_slot], 0) AS coherence
    FROM base AS v JOIN cells AS c USING (cell_id) JOIN benchmarks AS b USING (benchmark_id)
        LEFT JOIN three USING (cell_id)
)
"""

TOLD = f"""
{outcome_slots("base")}, {_CODED},
told AS (SELECT *, {as_sql(LISTED)} AS outcome, {as_sql(STRATUM)} AS stratum FROM coded)
"""
"""What codes tell of each output, from `base` (verdict rows)."""

VOTES = {"safe": 1, "unsafe": 2}
"""codes of votes on safety"""
Query = tuple[str, dict[str, Any]]


class Chosen:
    """The outputs that a selection leaves.

    Args:
        specification: by whose raters outcomes are told.
        listed: ids of the cells that may be listed, as `store.cells` has them; every one where left out.
    """

    def __init__(
        self,
        store: Store,
        selection: Selection,
        specification: Specification,
        listed: Collection[str] | None = None,
    ) -> None:
        self.store, self.selection, self.specification, self.listed = store, selection, specification, listed

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The cells in question; columns as `store.cells`."""
        known, selection = cells_of(self.store), self.selection
        points = path_points(self.store, selection.study)
        if selection.recipes:
            points = points[points["recipe"].isin(selection.recipes)]
        known = known[known["checkpoint_id"].isin(set(points["checkpoint_id"]))]
        if self.listed is not None:
            known = known[known["cell_id"].isin(set(self.listed))]
        for column, names in (("checkpoint_id", selection.checkpoints), ("benchmark", selection.benchmarks)):
            if names:
                known = known[known[column].isin(names)]
        return known

    @property
    def by_codes(self) -> bool:
        """Whether codes alone tell which outputs are left."""
        return not any(getattr(self.selection, part) for part in BY_TEXT)

    @property
    def key(self) -> str:
        """What tells these outputs from those of another selection."""
        chosen = self.selection.but(order="", page=1, generation="", columns=(), layout="")
        return f"{chosen.to_query()} {self.raters} {hash(frozenset(self.cells['cell_id']))}"

    @property
    def raters(self) -> dict[str, str]:
        """By whom outcomes are told, as parameters."""
        return {
            "judge": self.specification.judge,
            "refusal_judge": self.specification.refusal_judge,
            "coherence": self.specification.coherence,
        }

    def told(self, benchmarks: Collection[str] | None = None, places: tuple[int, int] | None = None) -> Query:
        """CTEs that end in `chosen`: what codes tell of each output that the selection leaves, without its
        texts; with their parameters.

        Args:
            benchmarks: names of those that are looked at; all where left out.
            places: first and last position of the prompts that are looked at.
        """
        known = self.cells if benchmarks is None else self.cells[self.cells["benchmark"].isin(benchmarks)]
        together = members(self.store)
        parameters: dict[str, Any] = self.raters | {
            "cells": [one for cell in known["cell_id"] for one in together.get(cell, [cell])]
        }
        among = "cell_id IN (SELECT unnest(CAST($cells AS UUID[])))"
        if places is not None:
            among += " AND position BETWEEN $from_place AND $to_place"
            parameters |= {"from_place": places[0], "to_place": places[1]}
        seats, voted, voters = _votes(self.selection.pattern)
        conditions, restrictions = self._conditions()
        sql = f"""
        base AS (SELECT * FROM verdicts WHERE {among}), {TOLD}, {seats},
        chosen AS (SELECT told.* FROM told LEFT JOIN seats USING (cell_id)
            WHERE {" AND ".join(["true", *conditions, *voted])})
        """
        return sql, parameters | restrictions | voters

    def _conditions(self) -> tuple[list[str], dict[str, Any]]:
        """The restrictions of single outputs, besides votes, over the columns of `told`."""
        selection, conditions, parameters = self.selection, list[str](), dict[str, Any]()
        for name, column in (("outcomes", "outcome"), ("strata", "stratum")):
            if values := getattr(selection, name):
                conditions.append(f"{column} IN (SELECT unnest(${name}))")
                parameters[name] = list(values)
        if not selection.truncated:
            conditions.append("NOT truncated")
        for name, texts in (
            ("categories", "JOIN prompts USING (prompt_id) WHERE category IN (SELECT unnest($categories))"),
            ("prompt", "JOIN prompts USING (prompt_id) WHERE item = $prompt"),
            ("search", "WHERE contains(lower(generations.text), lower($search))"),
        ):
            if value := getattr(selection, name):
                conditions.append(
                    f"generation_id IN (SELECT generation_id FROM generations {texts} AND generations.batch "
                    "NOT IN (SELECT batch FROM retracted_batches))"
                )
                parameters[name] = list(value) if name == "categories" else value
        if selection.marks:
            conditions.append(f"generation_id IN ({MARKS[selection.marks]})")
        if selection.before:
            checkpoint, _, outcome = selection.before.partition(":")
            asked = Selection(selection.study, checkpoints=(checkpoint,), outcomes=(outcome,))
            sql, among = Chosen(self.store, asked, self.specification).told()
            rows = self.store.rows(f"WITH {sql} SELECT DISTINCT benchmark, position FROM chosen", among)
            conditions.append("(benchmark, position) IN (SELECT (unnest($of), unnest($at)))")
            parameters |= {"of": [of for of, _ in rows], "at": [at for _, at in rows]}
        return conditions, parameters


def _votes(pattern: str) -> tuple[str, list[str], dict[str, str]]:
    """Votes of judges on safety as SQL: a CTE `seats` with the slot of each judge, the restrictions, and
    their parameters."""
    votes = votes_of(pattern)
    names = list(dict.fromkeys([*votes, *(label[1:] for label in votes.values() if label[:1] == "~")]))
    slots = "".join(f", max(slot) FILTER (name = $voter{i}) AS voter{i}" for i in range(len(names)))
    code = {name: f"coalesce(codes[voter{i}], 0)" for i, name in enumerate(names)}
    conditions = []
    for name, label in votes.items():
        if not label:
            conditions.append(f"{code[name]} NOT IN (1, 2)")
        elif label[0] == "~":
            conditions.append(f"{code[name]} IN (1, 2) AND {code[name]} + {code[label[1:]]} = 3")
        else:
            conditions.append(f"{code[name]} = {VOTES.get(label, 255)}")
    seats = f"seats AS (SELECT cell_id{slots} FROM current_slots WHERE dimension = 'safety' GROUP BY cell_id)"
    return seats, conditions, {f"voter{i}": name for i, name in enumerate(names)}
