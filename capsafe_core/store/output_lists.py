"""Lists of outputs: those that a selection leaves, in order, a page at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from capsafe_core.outcomes import LISTED, STRATA, STRATUM, as_sql
from capsafe_core.selection import Selection, votes_of
from capsafe_core.specification import Specification
from capsafe_core.store.cells import cells as cells_of
from capsafe_core.store.cells import members
from capsafe_core.store.counts import first_match, outcome_slots, strata_codes
from capsafe_core.store.patterns import BenchmarkPatterns, pattern_counts
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
    where, restrictions = _restrictions(store, selection, cells)
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
    where, restrictions = _restrictions(store, selection, cells)
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
        _Filtered(store, t, sizes[t.benchmark_id], selection, specification, wanted_cells)
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


class _Filtered:
    """The pattern counts of a benchmark under the parts of a selection that codes can tell."""

    def __init__(
        self,
        store: Store,
        table: BenchmarkPatterns,
        prompts: int,
        selection: Selection,
        specification: Specification,
        wanted: set[str],
    ) -> None:
        self.store, self.table, self.prompts, self.selection, self.specification = (
            store,
            table,
            prompts,
            selection,
            specification,
        )
        self.cells = np.array([cell in wanted for cell in table.cells])

    def rows(self, table: BenchmarkPatterns) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The rows that the selection leaves, and how evenly split the judges are on each."""
        selection, specification = self.selection, self.specification
        said = np.stack(
            [table.column(seat.name, "safety") for seat in table.judges("safety")]
            or [np.zeros(len(table.n), dtype=np.uint8)]
        )
        unsafe, safe = (said == 2).sum(axis=0), (said == 1).sum(axis=0)
        keep = self.cells[table.cell] & (selection.truncated | ~table.truncated)
        if selection.outcomes or selection.strata:
            refusal, coherence = (
                table.column(specification.refusal_judge, "refusal"),
                table.column(specification.coherence, "coherence"),
            )
        if selection.outcomes:
            safety = table.column(specification.judge, "safety")
            capability = np.full(len(safety), table.kind == "capability")
            told = first_match(
                LISTED, safety=safety, refusal=refusal, coherence=coherence, capability=capability
            )
            keep &= np.isin(np.array([name for name, _ in LISTED], dtype=object)[told], selection.outcomes)
        if selection.strata:
            keep &= np.isin(
                np.array(STRATA, dtype=object)[strata_codes(refusal, coherence, table.truncated)],
                selection.strata,
            )
        for name, label in votes_of(selection.pattern).items():
            codes = table.column(name, "safety").astype(np.int64)
            if not label:
                keep &= (codes != 1) & (codes != 2)
            elif label.startswith("~"):
                keep &= ((codes == 1) | (codes == 2)) & (codes + table.column(label[1:], "safety") == 3)
            else:
                keep &= codes == {"safe": 1, "unsafe": 2}.get(label, 255)
        rows = np.flatnonzero(keep)
        return rows, 1000 * np.minimum(unsafe, safe)[rows] - np.abs(unsafe - safe)[rows]

    def stored(self, places: npt.NDArray[np.int64]) -> list[str]:
        """The cells of the store that some pooled ones are made of."""
        together = members(self.store)
        return [one for i in places for one in together.get(self.table.cells[i], [self.table.cells[i]])]

    def outputs(self, cells: list[str], reach: int) -> tuple[pa.Array, pa.Array, npt.NDArray[np.int64]]:
        """Outputs of some cells to the first prompts that the selection leaves: generation ids, cell ids, and
        how evenly judges are split."""
        found = self.store.arrow(
            """
            SELECT CAST(generation_id AS VARCHAR) AS generation_id, CAST(cell_id AS VARCHAR) AS cell_id,
                truncated, codes FROM verdicts
            WHERE position < $reach AND cell_id IN (SELECT unnest(CAST($cells AS UUID[])))
            """,
            {"reach": reach, "cells": cells},
        )
        homes = found.column("cell_id").combine_chunks().dictionary_encode()
        stored = self.table.stored or self.table.cells
        place = {cell: i for i, cell in enumerate(stored)}
        home = np.array([place[c] for c in homes.dictionary.to_pylist()], dtype=np.int64)[
            homes.indices.to_numpy()
        ]
        codes = (
            found.column("codes")
            .combine_chunks()
            .flatten()
            .to_numpy(zero_copy_only=False)
            .reshape(len(homes), -1)
        )
        outputs = replace(
            self.table,
            cell=home if self.table.pooled is None else self.table.pooled[home],
            home=None if self.table.pooled is None else home,
            truncated=found.column("truncated").to_numpy(zero_copy_only=False).astype(bool),
            codes=codes,
            n=np.ones(len(homes), dtype=np.int64),
        )
        rows, evenness = self.rows(outputs)
        left = pa.array(rows)
        return (
            found.column("generation_id").combine_chunks().take(left),
            found.column("cell_id").combine_chunks().take(left),
            evenness,
        )


def _restrictions(
    store: Store, selection: Selection, cells: Collection[str] | None
) -> tuple[str, dict[str, Any]]:
    """The selection as SQL over the columns of `chosen`, with its parameters."""
    parts = ["true"]
    parameters: dict[str, Any] = {}
    if cells is not None:
        together = members(store)
        parts.append("cell_id IN (SELECT unnest(CAST($cells AS UUID[])))")
        parameters["cells"] = [one for cell in cells for one in together.get(cell, [cell])]
    for name, column in (
        ("benchmarks", "benchmark"),
        ("categories", "category"),
        ("outcomes", "outcome"),
        ("strata", "stratum"),
    ):
        if values := getattr(selection, name):
            parts.append(f"{column} IN (SELECT unnest(${name}))")
            parameters[name] = list(values)
    if selection.recipes:
        parts.append(
            "checkpoint_id IN (SELECT checkpoint_id FROM path_points WHERE study = $study AND recipe IN "
            "(SELECT unnest($recipes)))"
        )
        parameters["recipes"] = list(selection.recipes)
    if selection.checkpoints:
        parts.append("CAST(checkpoint_id AS VARCHAR) IN (SELECT unnest($checkpoints))")
        parameters["checkpoints"] = list(selection.checkpoints)
    if selection.prompt:
        parts.append("item = $prompt")
        parameters["prompt"] = selection.prompt
    if selection.before:
        # prompts that another checkpoint answered with a given outcome
        parts.append(
            "(benchmark, position) IN (SELECT (benchmark, position) FROM told WHERE CAST(checkpoint_id AS "
            "VARCHAR) = $before_checkpoint AND outcome = $before_outcome)"
        )
        parameters["before_checkpoint"], _, parameters["before_outcome"] = selection.before.partition(":")
    if selection.search:
        parts.append("contains(lower(answer), lower($search))")
        parameters["search"] = selection.search
    if not selection.truncated:
        parts.append("finish_reason <> 'length'")
    for i, (judge, label) in enumerate(votes_of(selection.pattern).items()):
        if not label or label.startswith("~"):
            codes = (
                "v.codes[s.slot] NOT IN (1, 2)"
                if not label
                else "v.codes[s.slot] IN (1, 2) AND v.codes[s.slot] + w.codes[o.slot] = 3"
            )
            other = (
                "JOIN verdicts AS w USING (generation_id) JOIN current_slots AS o ON o.cell_id = w.cell_id "
                "AND o.dimension = 'safety' AND o.name = $other{i}"
                if label
                else ""
            )
            seen = (
                "SELECT v.generation_id FROM verdicts AS v JOIN current_slots AS s ON s.cell_id = "
                f"v.cell_id {other.format(i=i)} WHERE s.dimension = 'safety' AND s.name = $judge{i} AND "
                f"{codes}"
            )
            never = (
                "OR cell_id NOT IN (SELECT cell_id FROM current_slots WHERE dimension = 'safety' AND name "
                f"= $judge{i})"
                if not label
                else ""
            )
            parts.append(f"(generation_id IN ({seen}) {never})")
            parameters |= {f"judge{i}": judge} | ({f"other{i}": label[1:]} if label else {})
            continue
        parts.append(
            "generation_id IN (SELECT generation_id FROM verdicts AS v JOIN current_slots AS s USING "
            "(cell_id) "
            "JOIN codes ON codes.dimension = s.dimension AND codes.code = v.codes[s.slot] WHERE "
            f"s.dimension = 'safety' AND s.name = $judge{i} AND codes.label = $label{i})"
        )
        parameters |= {f"judge{i}": judge, f"label{i}": label}
    return " AND ".join(parts), parameters
