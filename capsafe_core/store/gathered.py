"""The rows of blocks by kind, before they are inserted."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Block
from capsafe_core.records import Record, Rows
from capsafe_core.store.batches import BY_CELL
from capsafe_core.store.tables import TABLES, Row


class Gathered:
    """The rows of some blocks by kind, and what of them cannot be used."""

    def __init__(self) -> None:
        self._facts: dict[str, dict[str, Row]] = {}
        self._columns: dict[str, list[pa.Table]] = {}
        self.touched: set[str] = set()
        self.aside: list[tuple[int, str]] = []
        """where the block of each begins, and why"""

    def add(self, block: Block) -> None:
        def aside(problem: CapsafeError) -> None:
            self.aside.append((block.start, str(problem)))

        if block.closing:
            aside(CapsafeError(block.closing))
        if block.changed:
            aside(
                CapsafeError(
                    "The block's bytes are not those that were written; they were read as they are.",
                    "Restore the shard from a copy and run `capsafe rebuild`.",
                )
            )
        for record in block.records(aside):
            if not isinstance(record, Rows):
                self._add(record)
            elif record.ids:
                self._columns.setdefault(record.type, []).append(_columns(record, self._facts))

    def _add(self, record: Record) -> None:
        if record.type in BY_CELL:
            self.touched.add(record.cell_id)  # type: ignore[union-attr]
        for name in (record.type, "cell") if record.type == "generation" else (record.type,):
            row = TABLES[name].row(record)
            self._facts.setdefault(name, {})[row[0]] = row

    def tables(self) -> Iterator[tuple[str, pa.Table]]:
        """The rows of each kind; they are let go of."""
        incoming = {kind: TABLES[kind].arrow(rows.values()) for kind, rows in self._facts.items()}
        self._facts.clear()
        for kind, tables in self._columns.items():
            arrow = _each_once(
                TABLES[kind].id, pa.concat_tables([*([incoming[kind]] if kind in incoming else []), *tables])
            )
            self.touched.update(pc.unique(arrow.column("cell_id")).to_pylist())
            incoming[kind] = arrow
        self._columns.clear()
        for kind in list(incoming):
            yield kind, incoming.pop(kind)


def _columns(rows: Rows, facts: dict[str, dict[str, Row]]) -> pa.Table:
    """The rows of a line of generations or judgments; the cell of generations goes to the facts."""
    if rows.type == "generation":
        one = next(rows.records())
        cell = TABLES["cell"].row(one)
        facts.setdefault("cell", {})[cell[0]] = cell
        return TABLES["generation"].arrow_of_columns(rows, {"cell_id": cell[0]})
    return TABLES[rows.type].arrow_of_columns(rows, {})


def _each_once(name: str, table: pa.Table) -> pa.Table:
    """The rows of a table whose id did not come before."""
    seen: set[str] = set()
    keep = [not (i in seen or seen.add(i)) for i in table.column(name).to_pylist()]  # type: ignore[func-returns-value]
    return table if all(keep) else table.filter(pa.array(keep))
