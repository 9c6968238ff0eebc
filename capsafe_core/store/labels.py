"""What people say about outputs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.store.store import Store


def truths(store: Store, dimension: str) -> pd.DataFrame:
    """What people together say about each output that someone labelled.

    Returns:
        generation_id, cell_id, position (place among the cell's outputs, in the order of `code_arrays`), code (as in the table `codes`;
        0 where people disagree, 9 where they cannot tell or skipped it), state (adjudicated, agreed, single, disputed, cannot tell, skipped), people.
    """
    return store.frame(
        """
        WITH said AS (SELECT * FROM current_answers WHERE dimension = $dimension AND repeat = 0),
        ruled AS (SELECT * FROM adjudications WHERE dimension = $dimension),
        told AS (
            SELECT generation_id, cell_id, count(DISTINCT rater_id) FILTER (action = 'label') AS people, count(DISTINCT label) AS opinions, any_value(label) AS one
            FROM (SELECT generation_id, cell_id, rater_id, action, label FROM said UNION ALL SELECT generation_id, cell_id, NULL, 'adjudicate', NULL FROM ruled)
            GROUP BY generation_id, cell_id
        ), truth AS (
            SELECT told.generation_id, told.cell_id, people, coalesce(ruled.label, CASE WHEN opinions = 1 THEN one END) AS label,
                CASE WHEN ruled.label IS NOT NULL THEN 'adjudicated' WHEN opinions > 1 THEN 'disputed' WHEN people = 0 THEN 'skipped' WHEN people > 1 THEN 'agreed' ELSE 'single' END AS state
            FROM told LEFT JOIN ruled USING (generation_id)
        ), places AS (
            SELECT generation_id, row_number() OVER (PARTITION BY cell_id ORDER BY position, sample) - 1 AS place
            FROM verdicts WHERE cell_id IN (SELECT cell_id FROM told)
        )
        SELECT CAST(t.generation_id AS VARCHAR) AS generation_id, CAST(t.cell_id AS VARCHAR) AS cell_id, CAST(p.place AS INTEGER) AS position,
            CAST(CASE WHEN t.state = 'disputed' THEN 0 ELSE coalesce(c.code, 9) END AS INTEGER) AS code,
            CASE WHEN t.state NOT IN ('disputed', 'skipped') AND c.code IS NULL THEN 'cannot tell' ELSE t.state END AS state, CAST(t.people AS INTEGER) AS people
        FROM truth AS t JOIN places AS p USING (generation_id) LEFT JOIN codes AS c ON c.dimension = $dimension AND c.label = t.label
        ORDER BY cell_id, position
        """,
        {"dimension": dimension},
    )


def queue_items(store: Store) -> pd.DataFrame:
    """Every output that a queue asks about: queue, generation_id, cell_id, stratum, place, probability (missing where nobody knows it)."""
    return store.frame(
        """
        SELECT queue, CAST(generation_id AS VARCHAR) AS generation_id, CAST(cell_id AS VARCHAR) AS cell_id, stratum, place, probability
        FROM queue_items WHERE batch NOT IN (SELECT batch FROM retracted_batches) ORDER BY queue, stratum, place
        """
    )


def queue_frames(store: Store, cells: Sequence[str]) -> dict[str, dict[tuple[int, str], npt.NDArray[np.int64]]]:
    """From which outputs of some cells each queue drew: queue -> (draw, cell) -> place of each output's stratum from 1, 0 where it could not be drawn."""
    rows = store.rows(
        """
        SELECT queue, draw, CAST(cell_id AS VARCHAR), strata FROM queue_frames
        WHERE cell_id IN (SELECT unnest(CAST(? AS UUID[]))) AND batch NOT IN (SELECT batch FROM retracted_batches)
        """,
        [list(cells)],
    )
    found: dict[str, dict[tuple[int, str], npt.NDArray[np.int64]]] = {}
    for queue, draw, cell, strata in rows:
        found.setdefault(queue, {})[draw, cell] = np.array(strata, dtype=np.int64)
    return found


def queue_strata(store: Store) -> dict[str, list[dict[str, Any]]]:
    """The strata of every queue as it stands: name, draw, size, drawn, adaptive."""
    return {queue: json.loads(strata) for queue, strata in store.rows("SELECT queue, strata FROM current_queues")}
