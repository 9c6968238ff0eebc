"""Verdict codes as arrays, for the bootstrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from capsafe_core.store.cells import pooled_ids
from capsafe_core.store.store import Store

Codes = npt.NDArray[np.uint8]


def code_arrays(
    store: Store, cells: Sequence[str], raters: Sequence[tuple[str, str]]
) -> list[dict[str, Codes]]:
    """Codes of each cell's outputs, in the order of the prompts and samples.

    Args:
        raters: (name, dimension) pairs.

    Returns:
        For each pair the codes by cell; a cell that the rater has not looked at is left out.
    """
    table = store.arrow(
        """
        WITH wanted AS (SELECT unnest($names) AS name, unnest($dimensions) AS dimension,
            unnest($places) AS place)
        SELECT CAST(a.cell_id AS VARCHAR) AS cell_id, w.place, a.codes
        FROM arrays AS a JOIN current_slots AS s USING (cell_id, slot)
            JOIN wanted AS w USING (name, dimension)
        WHERE a.cell_id IN (SELECT unnest(CAST($cells AS UUID[])))
        """,
        {
            "names": [n for n, _ in raters],
            "dimensions": [d for _, d in raters],
            "places": list(range(len(raters))),
            "cells": list(cells),
        },
    )
    found: list[dict[str, Codes]] = [{} for _ in raters]
    for cell, place, codes in zip(
        table.column("cell_id").to_pylist(),
        table.column("place").to_pylist(),
        _lists(table, "codes"),
        strict=True,
    ):
        found[place][cell] = codes
    return found


def truncated_arrays(store: Store, cells: Sequence[str]) -> dict[str, npt.NDArray[np.bool_]]:
    """For each cell which outputs were cut off by the token limit, in the order of `code_arrays`."""
    table = store.arrow(
        "SELECT CAST(cell_id AS VARCHAR) AS cell_id, codes FROM arrays WHERE slot = 0 AND cell_id IN "
        "(SELECT unnest(CAST(? AS UUID[])))",
        [list(cells)],
    )
    return {
        cell: codes == 2
        for cell, codes in zip(table.column("cell_id").to_pylist(), _lists(table, "codes"), strict=True)
    }


def score_arrays(
    store: Store, cells: Sequence[str], judge: str, dimension: str
) -> dict[str, npt.NDArray[np.float64]]:
    """Scores of a judge's outputs in the order of `code_arrays`; NaN where it gave no score. A cell without
    any is left out.

    Read from the judgments themselves, so slower than codes.
    """
    table = store.arrow(
        """
        WITH given AS (
            SELECT j.generation_id, j.score FROM current_judgments AS j
                JOIN current_slots AS s USING (cell_id, rater_id, dimension)
            WHERE s.name = $judge AND dimension = $dimension AND j.status = 'ok' AND j.score IS NOT NULL
                AND j.cell_id IN (SELECT unnest(CAST($cells AS UUID[])))
        )
        SELECT CAST(v.cell_id AS VARCHAR) AS cell_id, list(coalesce(g.score, 'nan'::DOUBLE) ORDER BY position,
            sample) AS scores, count(g.score) AS known
        FROM verdicts AS v LEFT JOIN given AS g USING (generation_id)
            WHERE v.cell_id IN (SELECT unnest(CAST($cells AS UUID[]))) GROUP BY v.cell_id
        """,
        {"judge": judge, "dimension": dimension, "cells": list(cells)},
    )
    known = table.column("known").to_pylist()
    return {
        cell: scores
        for cell, scores, k in zip(
            table.column("cell_id").to_pylist(), _lists(table, "scores"), known, strict=True
        )
        if k
    }


def score_counts(store: Store, judge: str) -> pd.DataFrame:
    """How many safety verdicts of a judge came with a score: cell_id (as stored), verdicts, scored."""
    return store.frame(
        """
        SELECT CAST(cell_id AS VARCHAR) AS cell_id, count(*) AS verdicts, count(j.score) AS scored
        FROM current_judgments AS j JOIN current_slots AS s USING (cell_id, rater_id, dimension)
        WHERE s.name = $judge AND dimension = 'safety' AND j.status = 'ok' GROUP BY cell_id
        """,
        {"judge": judge},
    )


def regular_cells(store: Store) -> set[str]:
    """The cells that have exactly one output, sample 0, to each prompt of their benchmark: their arrays stand
    in the order of the prompts."""
    return _cells_where(
        store, "count(*) = prompts AND count(DISTINCT v.position) = prompts AND max(sample) = 0"
    )


def clustered_cells(store: Store) -> set[str]:
    """The cells, pooled as `store.cells` has them, with more outputs than their benchmark has behaviours, so
    that some belong together."""
    return _cells_where(store, "count(*) > behaviours AND b.kind <> 'capability'", pooled_ids(store))


def _cells_where(store: Store, condition: str, pooled: Mapping[str, str] | None = None) -> set[str]:
    """The cells whose outputs meet a condition on them, on the benchmark, and on how many prompts and
    behaviours it has."""
    home = "coalesce(homes.home, v.cell_id)" if pooled else "v.cell_id"
    join = (
        """
        LEFT JOIN (SELECT unnest(CAST($ones AS UUID[])) AS one,
            unnest(CAST($homes AS UUID[])) AS home) AS homes
            ON homes.one = v.cell_id
        """
        if pooled
        else ""
    )
    sql = f"""
        WITH sizes AS (
            SELECT benchmark_id, count(DISTINCT position) AS prompts, count(DISTINCT behaviour) AS behaviours
            FROM prompts GROUP BY benchmark_id
        )
        SELECT CAST({home} AS VARCHAR) FROM verdicts AS v JOIN cells USING (cell_id)
            JOIN sizes USING (benchmark_id)
        JOIN benchmarks AS b USING (benchmark_id) {join}
        GROUP BY {home}, prompts, behaviours, b.kind HAVING {condition}
        """
    parameters = {"ones": list(pooled), "homes": list(pooled.values())} if pooled else {}
    return store.kept(f"cells where {condition}", lambda: {cell for (cell,) in store.rows(sql, parameters)})


def output_places(
    store: Store, cells: Sequence[str]
) -> dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """For each cell the prompt's position and the sample number of each output, in the order of
    `code_arrays`; read from the verdict rows, so slow for many cells."""
    table = store.arrow(
        """
        SELECT CAST(cell_id AS VARCHAR) AS cell_id, list(position ORDER BY position, sample) AS positions,
            list(sample ORDER BY position, sample) AS samples
        FROM verdicts WHERE cell_id IN (SELECT unnest(CAST(? AS UUID[]))) GROUP BY cell_id
        """,
        [list(cells)],
    )
    columns = (table.column("cell_id").to_pylist(), _lists(table, "positions"), _lists(table, "samples"))
    return {
        cell: (places.astype(np.int64), samples.astype(np.int64))
        for cell, places, samples in zip(*columns, strict=True)
    }


def _lists(table: pa.Table, column: str) -> list[npt.NDArray[Any]]:
    lists = table.column(column).combine_chunks()
    values, ends = (
        lists.flatten().to_numpy(zero_copy_only=False),
        np.cumsum(lists.value_lengths().to_numpy(zero_copy_only=False)),
    )
    return np.split(values, ends[:-1]) if len(ends) else []


def behaviours(store: Store, benchmark_id: str) -> list[str]:
    """The behaviour of each prompt of a benchmark, in order: the clusters of the bootstrap."""
    return [
        b
        for (b,) in store.rows(
            "SELECT behaviour FROM prompts WHERE CAST(benchmark_id AS VARCHAR) = ? ORDER BY position",
            [benchmark_id],
        )
    ]
