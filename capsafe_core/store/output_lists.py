"""Lists of outputs: those that a selection leaves, in order, a page at a time.

First the outputs of the page are found by their codes, then their texts are read: a page costs the same
however long the list is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from capsafe_core.selection import Selection
from capsafe_core.specification import Specification
from capsafe_core.store.disputed import most_disputed, outputs_left
from capsafe_core.store.filters import PLACES, TOLD, Chosen
from capsafe_core.store.store import Store

_VOTES = """
votes AS (
    SELECT generation_id, count(*) FILTER (code = 2) AS unsafe_votes, count(*) FILTER (code = 1) AS safe_votes
    FROM (SELECT v.generation_id, v.codes[s.slot] AS code FROM {rows} AS v
        JOIN current_slots AS s USING (cell_id) WHERE s.dimension = 'safety'
        AND s.rater_id IN (SELECT rater_id FROM raters WHERE kind = 'judge'))
    GROUP BY generation_id
)
"""

_LISTED = f"""
{PLACES}, {_VOTES}, listed AS (
    SELECT v.*, recipe, seed, step, coalesce(unsafe_votes, 0) AS unsafe_votes,
        coalesce(safe_votes, 0) AS safe_votes
    FROM {{rows}} AS v JOIN places USING (checkpoint_id) LEFT JOIN votes USING (generation_id)
)
"""
"""Rows as `told` has them, with where they lie and how judges voted."""

_FEW = """
cell_id IN (SELECT unnest(CAST($homes AS UUID[]))) AND generation_id IN (SELECT unnest(CAST($ids AS UUID[])))
"""

_PAGE = f"""
WITH base AS MATERIALIZED (SELECT * FROM verdicts WHERE {_FEW}),
texts AS MATERIALIZED (SELECT * FROM generations WHERE {_FEW}
    AND batch NOT IN (SELECT batch FROM retracted_batches)),
{TOLD}, {_LISTED.format(rows="told")}
SELECT CAST(generation_id AS VARCHAR) AS generation_id, CAST(checkpoint_id AS VARCHAR) AS checkpoint_id,
    benchmark, p.item, p.text AS prompt, p.behaviour_text, g.text AS answer, g.finish_reason, g.tokens,
    outcome, CAST(unsafe_votes AS INTEGER) AS unsafe_votes, CAST(safe_votes AS INTEGER) AS safe_votes,
    recipe, listed.seed, step
FROM listed JOIN texts AS g USING (generation_id) JOIN prompts AS p USING (prompt_id)
"""

ORDERS = {
    "position": "benchmark, listed.position, recipe, listed.seed, step, listed.sample, generation_id",
    "disputed": "least(unsafe_votes, safe_votes) DESC, abs(unsafe_votes - safe_votes), listed.position, "
    "benchmark, recipe, listed.seed, step, listed.sample, generation_id",
    "random": "hash(CAST(generation_id AS VARCHAR))",
}


COLUMNS = (
    *("outcome", "unsafe votes", "response", "prompt", "recipe", "seed", "step", "benchmark", "truncated"),
    *("prompt id", "harm asked for", "tokens", "ended by", "starred", "verdicts"),
)
"""what a table of outputs may show"""
USUAL = COLUMNS[:9]
"""what it shows where nobody chose"""
LAYOUTS = ("table", "text")


@dataclass(frozen=True)
class Found:
    """Outputs among which a page's are, the cells that they lie in, how many of them come before the page's,
    and how many outputs the selection leaves in all."""

    ids: Sequence[str]
    homes: Sequence[str]
    before: int
    count: int


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
    chosen = Chosen(store, selection, specification, cells)
    found = _found(chosen, limit, offset, order)
    rows = store.frame(
        f"{_PAGE} ORDER BY {ORDERS[order]} LIMIT $limit OFFSET $before",
        {
            **chosen.raters,
            "study": selection.study,
            "ids": found.ids,
            "homes": found.homes,
            "limit": limit,
            "before": found.before,
        },
    )
    return rows, found.count


def _found(chosen: Chosen, limit: int, offset: int, order: str) -> Found:
    if order == "position":
        return _by_prompt(chosen, limit, offset)
    if order == "disputed" and chosen.by_codes:
        ids, homes, count = most_disputed(chosen, limit + offset)
        return Found(ids, homes, offset, count)
    told, parameters = chosen.told()
    rows = chosen.store.rows(
        f"""
        WITH {told}, picked AS MATERIALIZED (SELECT * FROM chosen), {_LISTED.format(rows="picked")}
        {_IDS} FROM listed ORDER BY {ORDERS[order]} LIMIT $limit OFFSET $before
        """,
        {**parameters, "study": chosen.selection.study, "limit": limit, "before": offset},
    )
    return _from_rows(rows, int(_prompts(chosen, None)["n"].sum()))


def _by_prompt(chosen: Chosen, limit: int, offset: int) -> Found:
    """The outputs of a page in the order of benchmarks and prompts: how many each prompt has tells on which
    prompts they are."""
    benchmarks, count, skipped = None, 0, 0
    if chosen.by_codes:
        sizes = outputs_left(chosen)
        ends = np.cumsum(list(sizes.values()), dtype=np.int64)
        begins = ends - list(sizes.values())
        touched = np.flatnonzero((ends > offset) & (begins < offset + limit))
        count = int(ends[-1]) if len(ends) else 0
        if not len(touched):
            return Found([], [], 0, count)
        benchmarks, skipped = [list(sizes)[i] for i in touched], int(begins[touched[0]])
    prompts = _prompts(chosen, benchmarks)
    ends = prompts["n"].cumsum().to_numpy()
    count = count if chosen.by_codes else int(prompts["n"].sum())
    begins = ends - prompts["n"].to_numpy()
    page = prompts[(ends > offset - skipped) & (begins < offset - skipped + limit)]
    if page.empty:
        return Found([], [], 0, count)
    told, parameters = chosen.told(
        sorted(set(page["benchmark"])), (int(page["position"].min()), int(page["position"].max()))
    )
    rows = chosen.store.rows(
        f"""
        WITH {told}, {PLACES}, listed AS (SELECT * FROM chosen JOIN places USING (checkpoint_id))
        {_IDS} FROM listed WHERE (benchmark, position) IN (SELECT (unnest($on), unnest($places)))
            ORDER BY {ORDERS["position"]} LIMIT $limit OFFSET $before
        """,
        {
            **parameters,
            "study": chosen.selection.study,
            "on": list(page["benchmark"]),
            "places": page["position"].to_list(),
            "limit": limit,
            "before": offset - skipped - int(begins[page.index[0]]),
        },
    )
    return _from_rows(rows, count)


_IDS = "SELECT CAST(generation_id AS VARCHAR), CAST(cell_id AS VARCHAR)"


def _from_rows(rows: Sequence[tuple[Any, ...]], count: int) -> Found:
    return Found([row[0] for row in rows], sorted({row[1] for row in rows}), 0, count)


def _prompts(chosen: Chosen, benchmarks: Collection[str] | None) -> pd.DataFrame:
    """How many outputs the selection leaves of each prompt: benchmark, position, n; in order."""

    def read() -> pd.DataFrame:
        told, parameters = chosen.told(benchmarks)
        return chosen.store.frame(
            f"WITH {told} SELECT benchmark, position, CAST(count(*) AS INTEGER) AS n FROM chosen "
            "GROUP BY ALL ORDER BY ALL",
            parameters,
        )

    return chosen.store.kept(f"prompts {chosen.key} {benchmarks}", read)


def frame_outputs(
    store: Store, selection: Selection, specification: Specification, cells: Collection[str] | None = None
) -> pd.DataFrame:
    """Every output that a selection leaves, for drawing from; arguments as of `find_outputs`.

    Returns:
        generation_id, cell_id, place (among the cell's outputs, in the order of `code_arrays`),
        checkpoint_id, recipe, unsafe_votes, safe_votes, coherence (code); in the order of cells and places.
    """
    told, parameters = Chosen(store, selection, specification, cells).told()
    return store.frame(
        f"""
        WITH {told}, {_LISTED.format(rows="chosen")},
        ordered AS (SELECT generation_id, row_number() OVER (PARTITION BY cell_id ORDER BY position,
            sample) - 1 AS place FROM base)
        SELECT CAST(generation_id AS VARCHAR) AS generation_id, CAST(cell_id AS VARCHAR) AS cell_id,
            CAST(place AS INTEGER) AS place, CAST(checkpoint_id AS VARCHAR) AS checkpoint_id, recipe,
            CAST(unsafe_votes AS INTEGER) AS unsafe_votes, CAST(safe_votes AS INTEGER) AS safe_votes,
                CAST(coherence AS INTEGER) AS coherence
        FROM listed JOIN ordered USING (generation_id) ORDER BY cell_id, place
        """,
        {**parameters, "study": selection.study},
    )
