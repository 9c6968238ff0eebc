"""Lists of outputs: those that a selection leaves, in order, a page at a time."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from capsafe_core.outcomes import LISTED, STRATUM, as_sql
from capsafe_core.selection import Selection
from capsafe_core.specification import Specification
from capsafe_core.store.cells import cells as cells_of
from capsafe_core.store.counts import outcome_slots
from capsafe_core.store.filters import Filtered, restricted_to
from capsafe_core.store.patterns import pattern_counts
from capsafe_core.store.store import Store
from capsafe_core.store.studies import path_points

_VOTES = """
votes AS (
    SELECT v.generation_id, count(*) FILTER (code = 2) AS unsafe_votes,
        count(*) FILTER (code = 1) AS safe_votes
    FROM (SELECT v.generation_id, v.codes[s.slot] AS code FROM base AS v
        JOIN current_slots AS s USING (cell_id) WHERE s.dimension = 'safety'
        AND s.rater_id IN (SELECT rater_id FROM raters WHERE kind = 'judge')) AS v
    GROUP BY v.generation_id
)
"""


_TOLD = f"""
{outcome_slots("base")}, {_VOTES}, places AS (
    SELECT checkpoint_id, min(recipe) AS recipe, min(seed) AS seed, arg_min(step, recipe) AS step
    FROM path_points WHERE study = $study AND batch NOT IN (SELECT batch FROM retracted_batches)
        GROUP BY checkpoint_id
), coded AS (
    SELECT v.generation_id, v.cell_id, c.checkpoint_id, b.name AS benchmark,
        b.kind = 'capability' AS capability, v.position, v.truncated,
        coalesce(v.codes[safety_slot], 0) AS safety,
        coalesce(v.codes[refusal_slot], 0) AS refusal, coalesce(v.codes[coherence_slot], 0) AS coherence
    FROM base AS v JOIN cells AS c USING (cell_id) JOIN benchmarks AS b USING (benchmark_id)
        JOIN three USING (cell_id)
), told AS (SELECT *, {as_sql(LISTED)} AS outcome, {as_sql(STRATUM)} AS stratum FROM coded),
chosen AS (
    SELECT told.*, p.item, p.text AS prompt, p.category, p.behaviour_text, g.text AS answer, g.finish_reason,
        g.tokens, places.recipe, places.seed, places.step,
        coalesce(votes.unsafe_votes, 0) AS unsafe_votes, coalesce(votes.safe_votes, 0) AS safe_votes
    FROM told JOIN texts AS g USING (generation_id) JOIN prompts AS p USING (prompt_id)
        JOIN places USING (checkpoint_id)
    LEFT JOIN votes USING (generation_id)
)
"""
"""Outputs with all that a list shows, from `base` (verdict rows) and `texts` (generations)."""


_COLUMNS = """
CAST(generation_id AS VARCHAR) AS generation_id, CAST(checkpoint_id AS VARCHAR) AS checkpoint_id,
benchmark, item, prompt, behaviour_text, answer, finish_reason, tokens, outcome,
CAST(unsafe_votes AS INTEGER) AS unsafe_votes, CAST(safe_votes AS INTEGER) AS safe_votes, recipe, seed, step
"""


ORDERS = {
    "position": "benchmark, position, recipe, seed, step",
    "disputed": "least(unsafe_votes, safe_votes) DESC, abs(unsafe_votes - safe_votes), position, benchmark, "
    "recipe, seed, step",
    "random": "hash(CAST(generation_id AS VARCHAR))",
}


def find_outputs(
    store: Store,
    selection: Selection,
    specification: Specification,
    cells: Collection[str] | None = None,
    limit: int = 50,
    offset: int = 0,
    order: str = "position",
) -> tuple[pd.DataFrame, int]:
    """A page of the outputs that a selection leaves.

    Args:
        specification: by whose raters outcomes are told.
        cells: ids of those that may be listed, as `store.cells` has them; every one where left out.
        order: "position" (by benchmark, prompt, recipe and step), "disputed" (most evenly split votes of
            judges first) or "random" (the same each time).

    Returns:
        generation_id, checkpoint_id, benchmark, item, prompt, behaviour_text, answer, finish_reason, tokens,
        outcome, unsafe_votes, safe_votes, recipe, seed, step; and how many there are in all.
    """
    parameters: dict[str, Any] = {
        "judge": specification.judge,
        "refusal_judge": specification.refusal_judge,
        "coherence": specification.coherence,
        "study": selection.study,
    }
    if order == "disputed" and not (
        selection.categories or selection.prompt or selection.search or selection.before
    ):
        ids, homes, found = _most_disputed(store, selection, specification, cells, limit + offset)
        few = (
            "WHERE cell_id IN (SELECT unnest(CAST($cells AS UUID[]))) AND generation_id IN (SELECT "
            "unnest(CAST($ids AS UUID[])))"
        )
        frame = store.frame(
            f"WITH base AS MATERIALIZED (SELECT * FROM verdicts {few}), texts AS MATERIALIZED (SELECT * "
            f"FROM live_generations {few}), {_TOLD} SELECT {_COLUMNS} FROM chosen ORDER BY {ORDERS[order]} "
            "LIMIT $limit OFFSET $offset",
            {**parameters, "cells": homes, "ids": ids, "limit": limit, "offset": offset},
        )
        return frame, found
    where, restrictions = restricted_to(store, selection, cells)
    frame = store.frame(
        f"""
        WITH base AS (SELECT * FROM verdicts), texts AS (SELECT * FROM live_generations), {_TOLD}
        SELECT {_COLUMNS}, CAST(count(*) OVER () AS INTEGER) AS found FROM chosen WHERE {where}
            ORDER BY {ORDERS[order]} LIMIT $limit OFFSET $offset
        """,
        {**parameters, **restrictions, "limit": limit, "offset": offset},
    )
    return frame.drop(columns="found"), int(frame["found"].iloc[0]) if len(frame) else 0


def frame_outputs(
    store: Store, selection: Selection, specification: Specification, cells: Collection[str] | None = None
) -> pd.DataFrame:
    """Every output that a selection leaves, for drawing from; arguments as of `find_outputs`.

    Returns:
        generation_id, cell_id, place (among the cell's outputs, in the order of `code_arrays`),
        checkpoint_id, recipe, unsafe_votes, safe_votes, coherence (code); in the order of cells and places.
    """
    parameters = {
        "judge": specification.judge,
        "refusal_judge": specification.refusal_judge,
        "coherence": specification.coherence,
        "study": selection.study,
    }
    where, restrictions = restricted_to(store, selection, cells)
    return store.frame(
        f"""
        WITH base AS (SELECT * FROM verdicts), texts AS (SELECT * FROM live_generations), {_TOLD},
        ordered AS (SELECT generation_id, row_number() OVER (PARTITION BY cell_id ORDER BY position,
            sample) - 1 AS place FROM verdicts)
        SELECT CAST(generation_id AS VARCHAR) AS generation_id, CAST(cell_id AS VARCHAR) AS cell_id,
            CAST(place AS INTEGER) AS place, CAST(checkpoint_id AS VARCHAR) AS checkpoint_id, recipe,
            CAST(unsafe_votes AS INTEGER) AS unsafe_votes, CAST(safe_votes AS INTEGER) AS safe_votes,
                CAST(coherence AS INTEGER) AS coherence
        FROM chosen JOIN ordered USING (generation_id) WHERE {where} ORDER BY cell_id, place
        """,
        {**parameters, **restrictions},
    )


def _most_disputed(
    store: Store,
    selection: Selection,
    specification: Specification,
    listed: Collection[str] | None,
    wanted: int,
) -> tuple[list[str], list[str], int]:
    """Ids of at least `wanted` outputs among which the most disputed ones are, the ids of their cells, and
    how many outputs the selection leaves.

    Pattern counts tell how disputed the last wanted output is. Only outputs at least as disputed are then
    looked up, and of those that are just as disputed as the last one only prompts near the beginning.
    """
    known = cells_of(store)
    points = path_points(store, selection.study)
    if selection.recipes:
        points = points[points["recipe"].isin(selection.recipes)]
    on_path = set(points["checkpoint_id"]) & set(selection.checkpoints or points["checkpoint_id"])
    known = known[known["checkpoint_id"].isin(on_path)]
    if listed is not None:
        known = known[known["cell_id"].isin(list(listed))]
    if selection.benchmarks:
        known = known[known["benchmark"].isin(selection.benchmarks)]
    sizes = store.kept(
        "prompts",
        lambda: dict(
            store.rows(
                "SELECT CAST(benchmark_id AS VARCHAR), max(position) + 1 FROM prompts GROUP BY benchmark_id"
            )
        ),
    )
    benchmarks, wanted_cells = set(known["benchmark_id"]), set(known["cell_id"])
    tables = [
        Filtered(store, t, sizes[t.benchmark_id], selection, specification, wanted_cells)
        for t in pattern_counts(store)
        if t.benchmark_id in benchmarks
    ]
    parts = [(f, *f.rows(f.table)) for f in tables]
    found = int(sum(f.table.n[rows].sum() for f, rows, _ in parts))
    if not found:
        return [], [], 0
    levels, place = np.unique(np.concatenate([e for _, _, e in parts]), return_inverse=True)
    counts = np.bincount(place, weights=np.concatenate([f.table.n[rows] for f, rows, _ in parts]))
    at_least = np.cumsum(counts[::-1])[::-1]
    level = int(np.flatnonzero(at_least >= min(wanted, found))[-1])
    last, above = levels[level], int(at_least[level] - counts[level])
    ids: list[str] = []
    cells: set[str] = set()

    def look(beyond: bool, reach: int) -> int:
        """Collect outputs more disputed than the last level, or on it among the first prompts; how many there
        were."""
        before = len(ids)
        for f, rows, evenness in parts:
            mine = rows[evenness > last] if beyond else rows[evenness == last]
            if len(mine):
                generations, homes, even = f.outputs(f.stored(np.unique(f.table.cell[mine])), reach)
                hits = even > last if beyond else even == last
                ids.extend(generations.filter(pa.array(hits)).to_pylist())
                cells.update(homes.filter(pa.array(hits)).unique().to_pylist())
        return len(ids) - before

    if above:
        look(True, 2**30)
    prompts = max(f.prompts for f, _, _ in parts)
    needed = min(wanted, found) - above
    reach = max(1, int(1.2 * prompts * needed / counts[level]) + 1)
    kept = list(ids), set(cells)
    while look(False, reach) < needed and reach < prompts:
        reach = min(4 * reach, prompts)
        ids, cells = list(kept[0]), set(kept[1])
    return ids, sorted(cells), found
