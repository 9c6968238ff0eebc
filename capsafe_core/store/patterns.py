"""Pattern counts in memory: how many outputs of each cell have which row of codes.

Two million outputs have about a hundred thousand different rows, so every rate, table and kappa is a sum over
these. They are read once for each version of the store.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from capsafe_core.store.cells import pooled_ids
from capsafe_core.store.store import Store

Codes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Seat:
    """A rater's place on a benchmark: which code of a row is its own, cell by cell, for its newest
    version."""

    name: str
    dimension: str
    family: str
    kind: str
    slots: Numbers
    """(cells,); -1 where the rater has not looked at the cell"""


@dataclass(frozen=True)
class BenchmarkPatterns:
    """The pattern counts of one benchmark.

    Attributes:
        benchmark_id, kind: of the benchmark.
        cells: ids of its cells, pooled as `store.cells` has them.
        cell: (rows,) place of each row's cell in `cells`.
        truncated: (rows,) whether the outputs were cut off by the token limit.
        codes: (rows, slots); 0 missing, 9 no verdict.
        n: (rows,) outputs.
        seats: by (name, dimension).
    """

    benchmark_id: str
    kind: str
    cells: list[str]
    cell: Numbers
    truncated: npt.NDArray[np.bool_]
    codes: Codes
    n: Numbers
    seats: dict[tuple[str, str], Seat]
    stored: list[str] | None = None
    """ids of the cells as the store has them, where some of `cells` are several pooled; seats have their
    slots by these"""
    pooled: Numbers | None = None
    """(stored cells,) the place of each in `cells`"""
    home: Numbers | None = None
    """(rows,) place of each row's cell in `stored`"""

    def looked(self, seat: Seat, anywhere: bool = False) -> npt.NDArray[np.bool_]:
        """(cells,) whether a rater has looked at each cell; at all of what is pooled in it, or anywhere in
        it."""
        there = seat.slots >= 0
        if self.pooled is None:
            return np.asarray(there)
        seen = np.bincount(self.pooled, weights=there, minlength=len(self.cells))
        return seen > 0 if anywhere else seen == np.bincount(self.pooled, minlength=len(self.cells))

    def column(self, name: str, dimension: str) -> Codes:
        """(rows,) codes of one rater; 0 where it has not looked."""
        seat = self.seats.get((name, dimension))
        if seat is None:
            return np.zeros(len(self.n), dtype=np.uint8)
        slots = seat.slots[self.cell if self.home is None else self.home]
        if len(slots) and (seat.slots == seat.slots[0]).all() and slots[0] >= 0:
            return self.codes[:, slots[0]]
        return np.where(slots >= 0, self.codes[np.arange(len(slots)), np.maximum(slots, 0)], 0).astype(
            np.uint8
        )

    def judges(self, dimension: str) -> list[Seat]:
        """The judges of a dimension, by name."""
        return [
            seat for key, seat in sorted(self.seats.items()) if key[1] == dimension and seat.kind == "judge"
        ]


def pattern_counts(store: Store) -> list[BenchmarkPatterns]:
    """The pattern counts of every benchmark."""

    def read() -> list[BenchmarkPatterns]:
        pooled = pooled_ids(store)
        return [pool(table, pooled) for table in _read(store)]

    return store.kept("patterns", read)


def _read(store: Store) -> list[BenchmarkPatterns]:
    counts = store.arrow(
        "SELECT CAST(c.benchmark_id AS VARCHAR) AS benchmark_id, CAST(p.cell_id AS VARCHAR) AS cell_id, "
        "p.truncated, p.codes, p.n FROM patterns AS p JOIN cells AS c USING (cell_id) ORDER BY ALL"
    )
    seats = store.rows(
        """
        SELECT CAST(c.benchmark_id AS VARCHAR), CAST(s.cell_id AS VARCHAR), s.name, s.dimension, r.family,
            r.kind, s.slot
        FROM current_slots AS s JOIN cells AS c USING (cell_id) JOIN raters AS r USING (rater_id)
            ORDER BY s.slot
        """
    )
    kinds = dict(store.rows("SELECT CAST(benchmark_id AS VARCHAR), kind FROM benchmarks"))
    benchmark = counts.column("benchmark_id").combine_chunks().dictionary_encode()
    cell = counts.column("cell_id").combine_chunks().dictionary_encode()
    lists = counts.column("codes").combine_chunks()
    widths, values = (
        lists.value_lengths().to_numpy(zero_copy_only=False),
        lists.flatten().to_numpy(zero_copy_only=False),
    )
    begins = np.concatenate([[0], np.cumsum(widths)])
    names, bench_of, cell_of = (
        benchmark.dictionary.to_pylist(),
        benchmark.indices.to_numpy(),
        cell.indices.to_numpy(),
    )
    cell_names, truncated, n = (
        cell.dictionary.to_pylist(),
        counts.column("truncated").to_numpy(),
        counts.column("n").to_numpy(),
    )
    found = []
    for place, name in enumerate(names):
        rows = np.flatnonzero(bench_of == place)  # neighbours, because the query is in order
        width = int(widths[rows].max())
        if (widths[rows] == width).all():
            codes = values[begins[rows[0]] : begins[rows[-1] + 1]].reshape(len(rows), width)
        else:  # a rater that is new to the benchmark has not reached every row yet
            codes = np.zeros((len(rows), width), dtype=np.uint8)
            for i, row in enumerate(rows):
                codes[i, : widths[row]] = values[begins[row] : begins[row + 1]]
        own, local = np.unique(cell_of[rows], return_inverse=True)
        cells = [cell_names[i] for i in own]
        found.append(
            BenchmarkPatterns(
                name,
                kinds[name],
                cells,
                local,
                truncated[rows].astype(bool),
                codes,
                n[rows].astype(np.int64),
                {},
            )
        )
    tables = {table.benchmark_id: (table, {c: i for i, c in enumerate(table.cells)}) for table in found}
    for bench, cell_id, rater, dimension, family, kind, slot in seats:
        if bench in tables and cell_id in tables[bench][1]:
            table, places = tables[bench]
            seat = table.seats.setdefault(
                (rater, dimension), Seat(rater, dimension, family, kind, np.full(len(table.cells), -1))
            )
            seat.slots[places[cell_id]] = slot - 1
    return found


def pool(table: BenchmarkPatterns, pooled_ids: dict[str, str]) -> BenchmarkPatterns:
    """The table with some of its cells put together."""
    if not pooled_ids.keys() & set(table.cells):
        return table
    ids = [pooled_ids.get(cell, cell) for cell in table.cells]
    cells = list(dict.fromkeys(ids))
    place = {cell: i for i, cell in enumerate(cells)}
    pooled = np.array([place[cell] for cell in ids], dtype=np.int64)
    return replace(
        table, cells=cells, cell=pooled[table.cell], stored=table.cells, pooled=pooled, home=table.cell
    )
