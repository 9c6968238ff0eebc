"""Verdict codes as arrays, for the bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from capsafe_core.store.store import Store

Codes = npt.NDArray[np.uint8]


def code_arrays(store: Store, cells: Sequence[str], judge: str, dimension: str) -> dict[str, Codes]:
    """For each cell the codes of one rater in one dimension, in the order of the prompts and samples."""
    table = store.arrow(
        """
        SELECT CAST(a.cell_id AS VARCHAR) AS cell_id, a.codes
        FROM arrays AS a JOIN cells AS c USING (cell_id)
        JOIN (SELECT benchmark_id, max(slot) AS slot FROM slots JOIN raters USING (rater_id) WHERE dimension = ? AND name = ? GROUP BY benchmark_id) AS s
          ON s.benchmark_id = c.benchmark_id AND s.slot = a.slot
        WHERE a.cell_id IN (SELECT unnest(CAST(? AS UUID[])))
        """,
        [dimension, judge, list(cells)],
    )
    return _lists(table, "codes")


def output_positions(store: Store, cells: Sequence[str]) -> dict[str, npt.NDArray[np.int64]]:
    """For each cell the prompt's position of each output, in the order of `code_arrays`; read from the verdict rows, so slow for many cells."""
    table = store.arrow(
        """
        SELECT CAST(cell_id AS VARCHAR) AS cell_id, list(position ORDER BY position, sample) AS positions
        FROM verdicts WHERE cell_id IN (SELECT unnest(CAST(? AS UUID[]))) GROUP BY cell_id
        """,
        [list(cells)],
    )
    return {cell: places.astype(np.int64) for cell, places in _lists(table, "positions").items()}


def _lists(table: pa.Table, column: str) -> dict[str, npt.NDArray[Any]]:
    lists = table.column(column).combine_chunks()
    values, ends = lists.flatten().to_numpy(zero_copy_only=False), np.cumsum(lists.value_lengths().to_numpy(zero_copy_only=False))
    return dict(zip(table.column("cell_id").to_pylist(), np.split(values, ends[:-1]) if len(ends) else [], strict=True))


def behaviours(store: Store, benchmark: str) -> list[str]:
    """The behaviour of each prompt of a benchmark, in order: the clusters of the bootstrap."""
    rows = store.rows("SELECT behaviour FROM prompts JOIN benchmarks AS b USING (benchmark_id) WHERE b.name = ? ORDER BY position", [benchmark])
    return [behaviour for (behaviour,) in rows]
