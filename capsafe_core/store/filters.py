"""The outputs that a selection leaves, as SQL."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from capsafe_core.outcomes import LISTED, STRATA
from capsafe_core.selection import Selection, votes_of
from capsafe_core.specification import Specification
from capsafe_core.store.cells import members
from capsafe_core.store.counts import first_match, strata_codes
from capsafe_core.store.patterns import BenchmarkPatterns
from capsafe_core.store.store import Store


class Filtered:
    """The pattern counts of a benchmark under the parts of a selection that codes can tell."""

    def __init__(
        self,
        store: Store,
        table: BenchmarkPatterns,
        prompts: int,
        selection: Selection,
        specification: Specification,
        wanted: set[str],
    ) -> None:
        self.store, self.table, self.prompts, self.selection, self.specification = (
            store,
            table,
            prompts,
            selection,
            specification,
        )
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
                keep &= codes == {"safe": 1, "unsafe": 2}.get(label, 255)
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


def restricted_to(
    store: Store, selection: Selection, cells: Collection[str] | None
) -> tuple[str, dict[str, Any]]:
    """The selection as SQL over the columns of `chosen`, with its parameters."""
    parts = ["true"]
    parameters: dict[str, Any] = {}
    if cells is not None:
        together = members(store)
        parts.append("cell_id IN (SELECT unnest(CAST($cells AS UUID[])))")
        parameters["cells"] = [one for cell in cells for one in together.get(cell, [cell])]
    for name, column in (
        ("benchmarks", "benchmark"),
        ("categories", "category"),
        ("outcomes", "outcome"),
        ("strata", "stratum"),
    ):
        if values := getattr(selection, name):
            parts.append(f"{column} IN (SELECT unnest(${name}))")
            parameters[name] = list(values)
    if selection.recipes:
        parts.append(
            "checkpoint_id IN (SELECT checkpoint_id FROM path_points WHERE study = $study AND recipe IN "
            "(SELECT unnest($recipes)))"
        )
        parameters["recipes"] = list(selection.recipes)
    if selection.checkpoints:
        parts.append("CAST(checkpoint_id AS VARCHAR) IN (SELECT unnest($checkpoints))")
        parameters["checkpoints"] = list(selection.checkpoints)
    if selection.prompt:
        parts.append("item = $prompt")
        parameters["prompt"] = selection.prompt
    if selection.before:
        # prompts that another checkpoint answered with a given outcome
        parts.append(
            "(benchmark, position) IN (SELECT (benchmark, position) FROM told WHERE CAST(checkpoint_id AS "
            "VARCHAR) = $before_checkpoint AND outcome = $before_outcome)"
        )
        parameters["before_checkpoint"], _, parameters["before_outcome"] = selection.before.partition(":")
    if selection.search:
        parts.append("contains(lower(answer), lower($search))")
        parameters["search"] = selection.search
    if not selection.truncated:
        parts.append("finish_reason <> 'length'")
    for i, (judge, label) in enumerate(votes_of(selection.pattern).items()):
        if not label or label.startswith("~"):
            codes = (
                "v.codes[s.slot] NOT IN (1, 2)"
                if not label
                else "v.codes[s.slot] IN (1, 2) AND v.codes[s.slot] + w.codes[o.slot] = 3"
            )
            other = (
                "JOIN verdicts AS w USING (generation_id) JOIN current_slots AS o ON o.cell_id = w.cell_id "
                "AND o.dimension = 'safety' AND o.name = $other{i}"
                if label
                else ""
            )
            seen = (
                "SELECT v.generation_id FROM verdicts AS v JOIN current_slots AS s ON s.cell_id = "
                f"v.cell_id {other.format(i=i)} WHERE s.dimension = 'safety' AND s.name = $judge{i} AND "
                f"{codes}"
            )
            never = (
                "OR cell_id NOT IN (SELECT cell_id FROM current_slots WHERE dimension = 'safety' AND name "
                f"= $judge{i})"
                if not label
                else ""
            )
            parts.append(f"(generation_id IN ({seen}) {never})")
            parameters |= {f"judge{i}": judge} | ({f"other{i}": label[1:]} if label else {})
            continue
        parts.append(
            "generation_id IN (SELECT generation_id FROM verdicts AS v JOIN current_slots AS s USING "
            "(cell_id) "
            "JOIN codes ON codes.dimension = s.dimension AND codes.code = v.codes[s.slot] WHERE "
            f"s.dimension = 'safety' AND s.name = $judge{i} AND codes.label = $label{i})"
        )
        parameters |= {f"judge{i}": judge, f"label{i}": label}
    return " AND ".join(parts), parameters
