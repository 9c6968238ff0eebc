"""The most disputed outputs that a selection leaves, found through the counts of code patterns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from capsafe_core.outcomes import LISTED, STRATA
from capsafe_core.selection import votes_of
from capsafe_core.store.cells import members
from capsafe_core.store.counts import first_match, strata_codes
from capsafe_core.store.filters import VOTES, Chosen
from capsafe_core.store.patterns import BenchmarkPatterns, pattern_counts


class Filtered:
    """The pattern counts of a benchmark under the parts of a selection that codes can tell."""

    def __init__(self, chosen: Chosen, table: BenchmarkPatterns) -> None:
        self.store, self.table = chosen.store, table
        self.selection, self.specification = chosen.selection, chosen.specification
        wanted = set(chosen.cells["cell_id"])
        self.cells = np.array([cell in wanted for cell in table.cells])

    def rows(self, table: BenchmarkPatterns) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The rows that the selection leaves, and how evenly split the judges are on each."""
        selection, specification = self.selection, self.specification
        said = np.stack(
            [table.column(seat.name, "safety") for seat in table.judges("safety")]
            or [np.zeros(len(table.n), dtype=np.uint8)]
        )
        unsafe, safe = (said == 2).sum(axis=0), (said == 1).sum(axis=0)
        keep = self.cells[table.cell] & (selection.truncated | ~table.truncated)
        if selection.outcomes or selection.strata:
            refusal, coherence = (
                table.column(specification.refusal_judge, "refusal"),
                table.column(specification.coherence, "coherence"),
            )
        if selection.outcomes:
            safety = table.column(specification.judge, "safety")
            capability = np.full(len(safety), table.kind == "capability")
            told = first_match(
                LISTED, safety=safety, refusal=refusal, coherence=coherence, capability=capability
            )
            keep &= np.isin(np.array([name for name, _ in LISTED], dtype=object)[told], selection.outcomes)
        if selection.strata:
            keep &= np.isin(
                np.array(STRATA, dtype=object)[strata_codes(refusal, coherence, table.truncated)],
                selection.strata,
            )
        for name, label in votes_of(selection.pattern).items():
            codes = table.column(name, "safety").astype(np.int64)
            if not label:
                keep &= (codes != 1) & (codes != 2)
            elif label.startswith("~"):
                keep &= ((codes == 1) | (codes == 2)) & (codes + table.column(label[1:], "safety") == 3)
            else:
                keep &= codes == VOTES.get(label, 255)
        rows = np.flatnonzero(keep)
        return rows, 1000 * np.minimum(unsafe, safe)[rows] - np.abs(unsafe - safe)[rows]

    def stored(self, places: npt.NDArray[np.int64]) -> list[str]:
        """The cells of the store that some pooled ones are made of."""
        together = members(self.store)
        return [one for i in places for one in together.get(self.table.cells[i], [self.table.cells[i]])]

    def outputs(self, cells: list[str], reach: int) -> tuple[pa.Array, pa.Array, npt.NDArray[np.int64]]:
        """Outputs of some cells to the first prompts that the selection leaves: generation ids, cell ids, and
        how evenly judges are split."""
        found = self.store.arrow(
            """
            SELECT CAST(generation_id AS VARCHAR) AS generation_id, CAST(cell_id AS VARCHAR) AS cell_id,
                truncated, codes FROM verdicts
            WHERE position < $reach AND cell_id IN (SELECT unnest(CAST($cells AS UUID[])))
            """,
            {"reach": reach, "cells": cells},
        )
        homes = found.column("cell_id").combine_chunks().dictionary_encode()
        stored = self.table.stored or self.table.cells
        place = {cell: i for i, cell in enumerate(stored)}
        home = np.array([place[c] for c in homes.dictionary.to_pylist()], dtype=np.int64)[
            homes.indices.to_numpy()
        ]
        codes = (
            found.column("codes")
            .combine_chunks()
            .flatten()
            .to_numpy(zero_copy_only=False)
            .reshape(len(homes), -1)
        )
        outputs = replace(
            self.table,
            cell=home if self.table.pooled is None else self.table.pooled[home],
            home=None if self.table.pooled is None else home,
            truncated=found.column("truncated").to_numpy(zero_copy_only=False).astype(bool),
            codes=codes,
            n=np.ones(len(homes), dtype=np.int64),
        )
        rows, evenness = self.rows(outputs)
        left = pa.array(rows)
        return (
            found.column("generation_id").combine_chunks().take(left),
            found.column("cell_id").combine_chunks().take(left),
            evenness,
        )


def patterns_of(chosen: Chosen) -> list[Filtered]:
    """The pattern counts of each benchmark in question."""
    wanted = set(chosen.cells["benchmark_id"])
    return [Filtered(chosen, table) for table in pattern_counts(chosen.store) if table.benchmark_id in wanted]


def outputs_left(chosen: Chosen) -> dict[str, int]:
    """How many outputs the selection leaves of each benchmark, by name; codes tell which."""
    names = dict(zip(chosen.cells["benchmark_id"], chosen.cells["benchmark"], strict=True))
    left = dict.fromkeys(sorted(names.values()), 0)
    for filtered in patterns_of(chosen):
        left[names[filtered.table.benchmark_id]] += int(
            filtered.table.n[filtered.rows(filtered.table)[0]].sum()
        )
    return left


def most_disputed(chosen: Chosen, wanted: int) -> tuple[list[str], list[str], int]:
    """Ids of at least `wanted` outputs among which the most disputed ones are, the ids of their cells, and
    how many outputs the selection leaves; codes tell which.

    Pattern counts tell how disputed the last wanted output is. Only outputs at least as disputed are then
    looked up, and of those that are just as disputed as the last one only prompts near the beginning.
    """
    parts = [(f, *f.rows(f.table)) for f in patterns_of(chosen)]
    found = int(sum(f.table.n[rows].sum() for f, rows, _ in parts))
    if not found:
        return [], [], 0
    levels, place = np.unique(np.concatenate([e for _, _, e in parts]), return_inverse=True)
    counts = np.bincount(place, weights=np.concatenate([f.table.n[rows] for f, rows, _ in parts]))
    at_least = np.cumsum(counts[::-1])[::-1]
    level = int(np.flatnonzero(at_least >= min(wanted, found))[-1])
    last, above = levels[level], int(at_least[level] - counts[level])
    ids: list[str] = []
    cells: set[str] = set()

    def look(beyond: bool, reach: int) -> int:
        """Collect outputs more disputed than the last level, or on it among the first prompts; how many there
        were."""
        before = len(ids)
        for f, rows, evenness in parts:
            mine = rows[evenness > last] if beyond else rows[evenness == last]
            if len(mine):
                generations, homes, even = f.outputs(f.stored(np.unique(f.table.cell[mine])), reach)
                hits = even > last if beyond else even == last
                ids.extend(generations.filter(pa.array(hits)).to_pylist())
                cells.update(homes.filter(pa.array(hits)).unique().to_pylist())
        return len(ids) - before

    if above:
        look(True, 2**30)
    [(prompts,)] = chosen.store.rows("SELECT max(position) + 1 FROM prompts")
    needed = min(wanted, found) - above
    reach = max(1, int(1.2 * prompts * needed / counts[level]) + 1)
    kept = list(ids), set(cells)
    while look(False, reach) < needed and reach < prompts:
        reach = min(4 * reach, prompts)
        ids, cells = list(kept[0]), set(kept[1])
    return ids, sorted(cells), found
