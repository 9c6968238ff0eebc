"""Pattern counts in memory: how many outputs of each cell have which row of codes.

Two million outputs have about a hundred thousand different rows, so every rate, table and kappa is a sum over
these. They are read once for each version of the store.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """The tables as the store has them; no cell is pooled yet."""
    counts = store.arrow(
        "SELECT CAST(c.benchmark_id AS VARCHAR) AS benchmark_id, CAST(p.cell_id AS VARCHAR) AS cell_id, "
        "p.truncated, p.codes, p.n FROM patterns AS p JOIN cells AS c USING (cell_id) ORDER BY ALL"
    )
    kinds = dict(store.rows("SELECT CAST(benchmark_id AS VARCHAR), kind FROM benchmarks"))
    benchmark = counts.column("benchmark_id").combine_chunks().dictionary_encode()
    cell = counts.column("cell_id").combine_chunks().dictionary_encode()
    lists = counts.column("codes").combine_chunks()
    widths = lists.value_lengths().to_numpy(zero_copy_only=False)
    codes = lists.flatten().to_numpy(zero_copy_only=False)
    begins = np.concatenate([[0], np.cumsum(widths)])
    bench_of, cell_of = benchmark.indices.to_numpy(), cell.indices.to_numpy()
    cell_names = cell.dictionary.to_pylist()
    truncated, n = counts.column("truncated").to_numpy(), counts.column("n").to_numpy()
    found = []
    for place, name in enumerate(benchmark.dictionary.to_pylist()):
        rows = np.flatnonzero(bench_of == place)  # neighbours, because the query is in order
        own, local = np.unique(cell_of[rows], return_inverse=True)
        found.append(
            BenchmarkPatterns(
                name,
                kinds[name],
                [cell_names[i] for i in own],
                local,
                truncated[rows].astype(bool),
                _rectangle(codes[begins[rows[0]] : begins[rows[-1] + 1]], widths[rows]),
                n[rows].astype(np.int64),
                {},
            )
        )
    _take_seats(store, found)
    return found


def _rectangle(codes: Codes, widths: Numbers) -> Codes:
    """Rows of codes that stand one after the other, as (rows, slots).

    Args:
        codes: of all rows.
        widths: (rows,) how many each has: a rater that is new to the benchmark has not reached every row yet.
    """
    width = int(widths.max())
    if (widths == width).all():
        return codes.reshape(len(widths), width)
    out = np.zeros((len(widths), width), dtype=np.uint8)
    out[np.arange(width) < widths[:, None]] = codes
    return out


def _take_seats(store: Store, tables: Sequence[BenchmarkPatterns]) -> None:
    """Give every rater its seat in the tables."""
    places = {table.benchmark_id: {cell: i for i, cell in enumerate(table.cells)} for table in tables}
    table_of = {table.benchmark_id: table for table in tables}
    for bench, cell_id, rater, dimension, family, kind, slot in store.rows(
        """
        SELECT CAST(c.benchmark_id AS VARCHAR), CAST(s.cell_id AS VARCHAR), s.name, s.dimension, r.family,
            r.kind, s.slot
        FROM current_slots AS s JOIN cells AS c USING (cell_id) JOIN raters AS r USING (rater_id)
            ORDER BY s.slot
        """
    ):
        if cell_id in places.get(bench, {}):
            table = table_of[bench]
            seat = table.seats.setdefault(
                (rater, dimension), Seat(rater, dimension, family, kind, np.full(len(table.cells), -1))
            )
            seat.slots[places[bench][cell_id]] = slot - 1


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
