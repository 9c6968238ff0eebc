"""Verdict rows, pattern counts and arrays: made from the facts, cell by cell.

For each generation there is one row of codes, one for each slot (a dimension and a rater in use on the
benchmark). Counts of equal rows in a cell serve rates, agreement and kappas; one array for each cell and
slot, in the order of the prompts, serves bootstraps.
"""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from capsafe_core.store.store import Store, first

_NEW_SLOTS = """
INSERT INTO slots
WITH used AS (
    SELECT DISTINCT c.benchmark_id, v.dimension, v.rater_id
    FROM (SELECT cell_id, dimension, rater_id FROM judgments UNION ALL SELECT cell_id, dimension, rater_id
        FROM label_events) AS v
    JOIN cells AS c USING (cell_id) JOIN touched USING (cell_id)
), fresh AS (
    SELECT used.* FROM used ANTI JOIN slots USING (benchmark_id, dimension, rater_id)
), last AS (
    SELECT benchmark_id, max(slot) AS slot FROM slots GROUP BY benchmark_id
)
SELECT benchmark_id, coalesce(last.slot, 0) + row_number() OVER (PARTITION BY benchmark_id ORDER BY dimension,
    name, rater_id), dimension, rater_id
FROM fresh LEFT JOIN last USING (benchmark_id) LEFT JOIN raters USING (rater_id)
"""

_VERDICTS = """
WITH given AS (
    SELECT generation_id, rater_id, dimension, CASE WHEN status = 'ok' THEN label END AS label
    FROM current_judgments WHERE cell_id IN (SELECT cell_id FROM touched)
    UNION ALL
    SELECT generation_id, rater_id, dimension, label
    FROM current_labels WHERE cell_id IN (SELECT cell_id FROM touched)
), coded AS (
    SELECT given.generation_id, slots.benchmark_id, slots.slot,
        CAST(coalesce(codes.code, 9) AS UTINYINT) AS code
    FROM given JOIN slots USING (dimension, rater_id) LEFT JOIN codes ON codes.dimension = given.dimension
        AND codes.label = given.label
), outputs AS (
    SELECT g.cell_id, g.generation_id, p.position, g.sample, g.finish_reason = 'length' AS truncated,
        c.benchmark_id
    FROM live_generations AS g JOIN touched USING (cell_id) JOIN cells AS c USING (cell_id)
        JOIN prompts AS p USING (prompt_id)
)
SELECT o.cell_id, o.generation_id, o.position, o.sample, o.truncated,
    list(coalesce(coded.code, CAST(0 AS UTINYINT)) ORDER BY slots.slot) AS codes
FROM outputs AS o
LEFT JOIN slots ON slots.benchmark_id = o.benchmark_id
LEFT JOIN coded ON coded.generation_id = o.generation_id AND coded.benchmark_id = o.benchmark_id
    AND coded.slot = slots.slot
GROUP BY ALL
"""

PATTERNS = (
    "SELECT cell_id, truncated, codes, count(*) AS n FROM verdicts WHERE cell_id IN (SELECT cell_id "
    "FROM touched) GROUP BY ALL"
)

ARRAYS = """
SELECT cell_id, slot, list(code ORDER BY position, sample) AS codes
FROM (SELECT cell_id, position, sample, unnest(codes) AS code, generate_subscripts(codes, 1) AS slot
    FROM verdicts WHERE cell_id IN (SELECT cell_id FROM touched))
GROUP BY cell_id, slot
UNION ALL
SELECT cell_id, 0 AS slot, list(CAST(if(truncated, 2, 1) AS UTINYINT) ORDER BY position, sample) AS codes
FROM verdicts WHERE cell_id IN (SELECT cell_id FROM touched) GROUP BY cell_id
"""

_CURRENT_SLOTS = """
WITH given AS (
    SELECT cell_id, dimension, rater_id, batch FROM judgments WHERE cell_id IN (SELECT cell_id FROM touched)
    UNION
    SELECT cell_id, dimension, rater_id, batch FROM label_events
        WHERE cell_id IN (SELECT cell_id FROM touched)
), began AS (
    SELECT cell_id, dimension, rater_id, bool_and(is_foreign) AS is_foreign,
        coalesce(min(since) FILTER (NOT is_foreign), min(since)) AS since
    FROM given JOIN ranked_batches USING (batch) GROUP BY ALL
)
SELECT a.cell_id, s.dimension, r.name, s.rater_id, a.slot
FROM arrays AS a JOIN cells AS c USING (cell_id)
JOIN slots AS s ON s.benchmark_id = c.benchmark_id AND s.slot = a.slot JOIN raters AS r USING (rater_id)
LEFT JOIN began ON began.cell_id = a.cell_id AND began.dimension = s.dimension AND began.rater_id = s.rater_id
WHERE a.cell_id IN (SELECT cell_id FROM touched) AND list_max(a.codes) > 0
QUALIFY row_number() OVER (
    PARTITION BY a.cell_id, s.dimension, r.name
    ORDER BY began.is_foreign NULLS LAST, began.since DESC NULLS LAST, r.version DESC, s.rater_id
) = 1
"""
"""of the versions of a rater that looked at a cell the one whose verdicts began last; own verdicts before
foreign ones"""

_ROLLUPS = (
    ("verdicts", _VERDICTS),
    ("patterns", PATTERNS),
    ("arrays", ARRAYS),
    ("current_slots", _CURRENT_SLOTS),
)


def refresh(cursor: duckdb.DuckDBPyConnection, cells: Iterable[str]) -> None:
    """Make the roll-ups of some cells again, inside the caller's transaction.

    A judge that is new to a benchmark makes every row of that benchmark one code longer.
    """
    cursor.execute("CREATE TEMP TABLE touched (cell_id UUID)")
    try:
        wanted = sorted(set(cells))
        if not wanted:
            return
        cursor.execute("INSERT INTO touched SELECT unnest(CAST(? AS UUID[]))", [wanted])
        added = (first(cursor, _NEW_SLOTS) or (0,))[0]
        if added:
            cursor.execute(
                """
                INSERT INTO touched SELECT DISTINCT v.cell_id FROM verdicts AS v
                WHERE v.cell_id NOT IN (SELECT cell_id FROM touched)
                AND v.cell_id IN (SELECT cell_id FROM cells
                    WHERE benchmark_id IN (SELECT benchmark_id FROM cells JOIN touched USING (cell_id)))
                """
            )
        _remake(cursor)
    finally:
        cursor.execute("DROP TABLE touched")


def refresh_derived(store: Store) -> None:
    """Make everything that follows from the verdict rows again, for every cell."""
    with store.transaction() as cursor:
        cursor.execute("CREATE TEMP TABLE touched AS SELECT cell_id FROM cells")
        for table, query in _ROLLUPS[1:]:
            cursor.execute(f"DELETE FROM {table}")
            cursor.execute(f"INSERT INTO {table} {query}")
        cursor.execute("DROP TABLE touched")


def _remake(cursor: duckdb.DuckDBPyConnection) -> None:
    for table, query in _ROLLUPS:
        cursor.execute(f"DELETE FROM {table} WHERE cell_id IN (SELECT cell_id FROM touched)")
        cursor.execute(f"INSERT INTO {table} {query}")


def check(store: Store) -> list[str]:
    """Compare every roll-up with the facts, and look for doubled facts.

    Returns:
        A sentence for each thing that is wrong; empty where all is well.
    """
    problems = []
    with store.transaction() as cursor:
        cursor.execute("CREATE TEMP TABLE touched AS SELECT cell_id FROM cells")
        for table, query in _ROLLUPS:
            wrong = first(
                cursor,
                f"SELECT count(*) FROM ((SELECT * FROM {table} EXCEPT ALL ({query})) UNION ALL (({query}) "
                f"EXCEPT ALL SELECT * FROM {table}))",
            )
            if wrong and wrong[0]:
                problems.append(f"{wrong[0]} rows of {table} do not follow from the facts.")
        cursor.execute("DROP TABLE touched")
        for table, key in (
            ("generations", "generation_id"),
            ("judgments", "judgment_id"),
            ("label_events", "event_id"),
            ("prompts", "prompt_id"),
            ("cells", "cell_id"),
        ):
            twice = first(
                cursor,
                f"SELECT count(*) FROM (SELECT {key} FROM {table} WHERE batch NOT IN (SELECT batch FROM "
                f"retracted_batches) GROUP BY {key} HAVING count(*) > 1)",
            )
            if twice and twice[0]:
                problems.append(f"{twice[0]} ids stand twice in {table}.")
        lost = first(cursor, "SELECT count(*) FROM judgments ANTI JOIN generations USING (generation_id)")
        if lost and lost[0]:
            problems.append(f"{lost[0]} judgments are about outputs that are not here.")
        lost = first(cursor, "SELECT count(*) FROM conflicts")
        if lost and lost[0]:
            problems.append(
                f"{lost[0]} facts came twice with different content; the first was kept (table conflicts)."
            )
    return problems
