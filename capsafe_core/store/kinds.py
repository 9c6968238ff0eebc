"""What benchmarks measure that nobody knew when their outputs came."""

from __future__ import annotations

import duckdb


def settle_kinds(cursor: duckdb.DuckDBPyConnection) -> set[str]:
    """Of benchmarks of which nobody knew what they measure, keep what is stated now; the cells that it is
    about.

    The records stand in the table `incoming`.
    """
    settled = cursor.execute(
        """
        UPDATE benchmarks SET kind = incoming.kind FROM incoming
        WHERE benchmarks.benchmark_id = CAST(incoming.benchmark_id AS UUID)
        AND benchmarks.kind = 'unknown' AND incoming.kind <> 'unknown'
        RETURNING CAST(benchmarks.benchmark_id AS VARCHAR)
        """
    ).fetchall()
    if not settled:
        return set()
    found = cursor.execute(
        "SELECT CAST(cell_id AS VARCHAR) FROM cells WHERE list_contains(?, CAST(benchmark_id AS VARCHAR))",
        [[benchmark for (benchmark,) in settled]],
    )
    return {cell for (cell,) in found.fetchall()}
