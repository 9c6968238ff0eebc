"""The store as it is read where one judge's safety verdicts are those at another threshold of its score."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from capsafe_core.store.rollups import ARRAYS, PATTERNS
from capsafe_core.store.store import Store, identifier, literal

_RECODED = """
WITH given AS (
    SELECT j.generation_id, s.slot, CAST(if({unsafe}, 2, 1) AS UTINYINT) AS code
    FROM current_judgments AS j JOIN current_slots AS s USING (cell_id, rater_id, dimension)
    WHERE s.name = {judge} AND s.dimension = 'safety' AND j.status = 'ok' AND j.score IS NOT NULL
)
SELECT v.* REPLACE (
    CASE WHEN given.slot IS NULL THEN v.codes
    ELSE list_concat(v.codes[:given.slot - 1], [given.code], v.codes[given.slot + 1:]) END AS codes
)
FROM {catalog}.main.verdicts AS v LEFT JOIN given USING (generation_id)
"""


class StoreAtThreshold(Store):
    """A store, read with one judge's verdicts told from its scores; everything else is the store's own.

    Each cursor sees views of its own in the place of the roll-ups, so every table, list and array that is
    read through it follows the threshold.

    Args:
        below: whether scores below the threshold are unsafe, not those from it on.
    """

    def __init__(self, own: Store, judge: str, cutoff: float, below: bool) -> None:
        self._own, self.path, self.exports = own, own.path, own.exports
        self.token = f"{own.token} {judge} {cutoff!r}"
        self._kept: dict[str, tuple[int, Any]] = {}
        self._kept_lock = threading.Lock()
        [(catalog,)] = own.rows("SELECT current_database()")
        recoded = _RECODED.format(
            unsafe=f"j.score {'<' if below else '>='} {cutoff!r}::DOUBLE",
            judge=literal(judge),
            catalog=identifier(catalog),
        )
        self._views = (
            f"CREATE TEMP VIEW verdicts AS {recoded}",
            "CREATE TEMP VIEW touched AS SELECT cell_id FROM cells",
            f"CREATE TEMP VIEW patterns AS {PATTERNS}",
            f"CREATE TEMP VIEW arrays AS {ARRAYS}",
        )

    @property
    def own(self) -> Store:
        return self._own

    @property
    def version(self) -> int:
        return self.own.version

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = self.own._cursor()
        for view in self._views:
            cursor.execute(view)
        return cursor

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self.own.transaction() as cursor:
            yield cursor

    def close(self) -> None:
        """The store that is read is closed by whoever opened it."""
