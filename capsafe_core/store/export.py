"""Copies of the store for use elsewhere: the file itself, and every table as Parquet or CSV."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from capsafe_core.errors import CapsafeError, UnknownNameError
from capsafe_core.store.store import Store, identifier, literal, whole_path
from capsafe_core.writing import whole

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""how a cell begins that a spreadsheet would take for a formula; some read the wide signs too"""
LONGEST = 200
"""bytes of the name of an export"""
_OWN = (
    "migrations",
    "offsets",
    "batch_events",
    "slots",
    "verdicts",
    "patterns",
    "arrays",
    "current_slots",
    "codes",
)
"""tables that only the store itself uses"""


def snapshot_into(store: Store, name: str) -> Path:
    """Copy the whole store into a new file of the exports folder.

    Raises:
        CapsafeError: there is no exports folder, the name is a path, or the file exists.
    """
    target = whole_path(new_export(store, name))
    source = identifier(store.rows("SELECT current_database()")[0][0])
    with whole(target, duckdb.Error) as new:
        copy = identifier(new.name)
        store.rows(f"ATTACH {literal(str(new))} AS {copy}")
        try:
            store.rows(f"COPY FROM DATABASE {source} TO {copy}")
        finally:
            store.rows(f"DETACH {copy}")
    return target


def tables_into(store: Store, name: str, form: str = "parquet") -> Path:
    """Write every table of facts into a new folder of the exports folder, one file each; retracted imports
    are left out.

    In CSV a cell that a spreadsheet would take for a formula gets a quote in front.

    Args:
        form: parquet or csv.

    Raises:
        CapsafeError: there is no such form, or as `snapshot_into`.
    """
    if form not in ("parquet", "csv"):
        raise UnknownNameError("form", form, ("parquet", "csv"))
    target = whole_path(new_export(store, name))
    with whole(target, duckdb.Error) as new:
        new.mkdir()
        tables = [
            t
            for (t,) in store.rows("SELECT table_name FROM duckdb_tables() ORDER BY table_name")
            if t not in _OWN
        ]
        for table in tables:
            columns = store.rows(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? ORDER BY "
                "column_index",
                [table],
            )
            shown = ", ".join(_guarded(c, kind) if form == "csv" else identifier(c) for c, kind in columns)
            live = (
                " WHERE batch NOT IN (SELECT batch FROM retracted_batches)"
                if any(c == "batch" for c, _ in columns) and table != "batches"
                else ""
            )
            head = ", HEADER" if form == "csv" else ""
            store.rows(
                f"COPY (SELECT {shown} FROM {identifier(table)}{live}) TO "
                f"{literal(str(new / f'{table}.{form}'))} (FORMAT {form}{head})"
            )
    return target


def _guarded(column: str, kind: str) -> str:
    if kind != "VARCHAR":
        return f'"{column}"'
    signs = ", ".join(f"'{sign}'" for sign in FORMULA)
    name = f'"{column}"'
    return f"CASE WHEN left({name}, 1) IN ({signs}) THEN '''' || {name} ELSE {name} END AS {name}"


def guarded(value: Any) -> Any:
    """A cell that a spreadsheet would take for a formula gets a quote in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def guarded_csv(frame: pd.DataFrame) -> str:
    """A frame as CSV in which no text starts a formula.

    With the standard's line ends a lone CR in a text is quoted.
    """
    return each_text(frame, guarded).to_csv(index=False, lineterminator="\r\n")


def each_text(frame: pd.DataFrame, change: Callable[[Any], Any]) -> pd.DataFrame:
    """A frame whose texts, heads and index have gone through a function."""
    changed = frame.copy()
    for place in range(len(frame.columns)):
        column = frame.iloc[:, place]
        if not (is_numeric_dtype(column) or is_datetime64_any_dtype(column)):
            changed.isetitem(place, column.astype(object).map(change).array)
    return changed.rename(columns=change, index=change)


def jobs_of(store: Store, study: str, undone: bool = False) -> list[str]:
    """The jobs that brought what belongs to a study: its text and paths, outputs of its checkpoints, and what
    was said of them. Those that count, or those that are undone."""
    rows = store.rows(
        """
        WITH mine AS (SELECT DISTINCT checkpoint_id FROM path_points WHERE study = $study),
        its AS (SELECT cell_id FROM cells JOIN mine USING (checkpoint_id)),
        wanted AS (
            SELECT batch FROM studies WHERE name = $study UNION SELECT batch FROM path_points
                WHERE study = $study
            UNION SELECT batch FROM generations JOIN its USING (cell_id) UNION SELECT batch FROM judgments
                JOIN its USING (cell_id)
            UNION SELECT batch FROM label_events JOIN its USING (cell_id) UNION SELECT batch FROM measurements
                JOIN mine USING (checkpoint_id)
            UNION SELECT s.batch FROM stress_verdicts AS s JOIN generations USING (generation_id)
                JOIN its USING (cell_id)
            UNION SELECT batch FROM remarks JOIN its USING (cell_id)
            UNION SELECT batch FROM saved_views WHERE study = $study
            UNION SELECT batch FROM queues WHERE study = $study UNION SELECT batch FROM guidelines
        )
        SELECT job_id FROM batches JOIN wanted USING (batch)
            WHERE (batch IN (SELECT batch FROM retracted_batches)) = $undone ORDER BY batch
        """,
        {"study": study, "undone": undone},
    )
    return [job for (job,) in rows]


def new_export(store: Store, name: str) -> Path:
    """A name in the exports folder that nothing has yet.

    Raises:
        CapsafeError: there is no exports folder, the name is a path, or something of that name is there.
    """
    if store.exports is None:
        raise CapsafeError("This store has no exports folder.", "Open it with one.")
    if "/" in name or not name.strip(".") or not name.isprintable() or len(name.encode()) > LONGEST:
        raise CapsafeError(
            f"{name[:80]!r} is not a file name.", "Exports go into the exports folder; give a name alone."
        )
    target = store.exports.resolve() / name
    if target.exists():
        raise CapsafeError(f"{target} exists already.", "Choose another name.")
    return target
