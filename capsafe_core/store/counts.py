"""Counts for every cell, from the pattern counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.outcomes import BY_COHERENCE, OUTCOME, OUTCOMES, STRATUM, Rule
from capsafe_core.specification import Specification
from capsafe_core.store.patterns import BenchmarkPatterns, Codes, Numbers, Seat, pattern_counts
from capsafe_core.store.store import Store

COUNTS = ("positive", "negative", "no_verdict")
TAILS = ("", "_incoherent", "_unchecked")
"""ends of the names of counts, in the order of BY_COHERENCE"""


def joint_counts(store: Store, coherence: str, truncated: bool = True) -> pd.DataFrame:
    """For each cell and judge: verdicts by coherence.

    Args:
        coherence: name of the judge whose coherence verdict splits the counts.
        truncated: whether outputs cut off by the token limit are counted; on capability benchmarks they
            always are.

    Returns:
        cell_id, judge, family, dimension, coherence_known (whether the coherence judge has seen the cell);
        positive and negative verdicts on coherent outputs (`positive`, `negative`), the same on incoherent
        ones (`positive_incoherent`, `negative_incoherent`) and on those without a verdict on coherence
        (`positive_unchecked`, `negative_unchecked`), and outputs without a verdict (`no_verdict` and the same
        two ends), `missing` of them because the judge has not seen them yet. Positive is unsafe, any refusal,
        correct, incoherent. People are not among the judges.
    """
    parts = []
    for table in pattern_counts(store):
        keep = slice(None) if truncated or table.kind == "capability" else np.flatnonzero(~table.truncated)
        checked = _COHERENCE[table.column(coherence, "coherence")[keep]]
        source = table.seats.get((coherence, "coherence"))
        known = np.zeros(len(table.cells), dtype=bool) if source is None else table.looked(source)
        for seat in table.seats.values():
            if seat.kind == "judge":
                counts = _verdict_counts(table, seat, keep, checked)
                rows = np.flatnonzero(table.looked(seat, anywhere=True) & (counts.sum(axis=(1, 2)) > 0))
                parts.append(_columns(table, seat, counts[rows], known[rows], rows))
    if not parts:
        numbers = ("missing", *(f"{name}{tail}" for tail in TAILS for name in COUNTS))
        empty = pd.DataFrame(columns=["cell_id", "judge", "family", "dimension", "coherence_known", *numbers])
        return empty.astype({"coherence_known": bool} | dict.fromkeys(numbers, int))
    return pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _verdict_counts(table: BenchmarkPatterns, seat: Seat, keep: slice | Numbers, checked: Numbers) -> Numbers:
    """Outputs by what the coherence judge and this judge say.

    Args:
        keep: the rows that count.
        checked: (those rows,) what the coherence judge says, a place in TAILS.

    Returns:
        (cells, TAILS, COUNTS and missing).
    """
    verdict = _KINDS[table.column(seat.name, seat.dimension)[keep]]
    places = (table.cell[keep] * 3 + checked) * 4 + verdict
    counts = np.bincount(places, weights=table.n[keep], minlength=len(table.cells) * 12)
    return counts.reshape(-1, 3, 4).astype(np.int64)


def _columns(
    table: BenchmarkPatterns, seat: Seat, counts: Numbers, known: npt.NDArray[np.bool_], rows: Numbers
) -> dict[str, npt.NDArray[np.generic]]:
    """The columns of `joint_counts` for one judge on one benchmark.

    Args:
        counts: of the cells at `rows`, as `_verdict_counts`.
        known: whether the coherence judge has seen them.
    """
    missing = counts[:, :, 3]
    counts[:, :, 2] += missing
    return {
        "cell_id": np.array(table.cells, dtype=object)[rows],
        "judge": _same(seat.name, rows),
        "family": _same(seat.family, rows),
        "dimension": _same(seat.dimension, rows),
        "coherence_known": known,
        "missing": missing.sum(axis=1),
        **{
            f"{name}{tail}": counts[:, place, i]
            for place, tail in enumerate(TAILS)
            for i, name in enumerate(COUNTS)
        },
    }


def seen_counts(store: Store) -> pd.DataFrame:
    """For each cell and judge that has begun on it: cell_id, judge, outputs, seen (outputs that it has looked
    at, whatever came of it)."""
    found = []
    for table in pattern_counts(store):
        outputs = np.bincount(table.cell, weights=table.n, minlength=len(table.cells)).astype(np.int64)
        looked: dict[str, npt.NDArray[np.bool_]] = {}
        for seat in table.seats.values():
            if seat.kind == "judge":
                looked[seat.name] = looked.get(seat.name, np.zeros(len(table.n), dtype=bool)) | (
                    table.column(seat.name, seat.dimension) > 0
                )
        for judge, rows in looked.items():
            seen = np.bincount(table.cell, weights=table.n * rows, minlength=len(table.cells)).astype(
                np.int64
            )
            found.append(
                pd.DataFrame({"cell_id": table.cells, "judge": judge, "outputs": outputs, "seen": seen})
            )
    return (
        pd.concat(found, ignore_index=True)
        if found
        else pd.DataFrame(columns=["cell_id", "judge", "outputs", "seen"])
    )


def coherence_counts(store: Store, detector: str) -> pd.DataFrame:
    """How far a judge of coherence has come: cell_id, outputs, checked (of which it says whether they are
    coherent)."""
    known = (*BY_COHERENCE["coherent"], *BY_COHERENCE["incoherent"])
    parts = []
    for table in pattern_counts(store):
        said = np.isin(table.column(detector, "coherence"), known)
        outputs, checked = (
            np.bincount(table.cell, weights=n, minlength=len(table.cells)).astype(np.int64)
            for n in (table.n, table.n * said)
        )
        parts.append(pd.DataFrame({"cell_id": table.cells, "outputs": outputs, "checked": checked}))
    return pd.concat(parts) if parts else pd.DataFrame(columns=["cell_id", "outputs", "checked"])


_KINDS = np.full(256, 2, dtype=np.int64)
_KINDS[[2, 3]], _KINDS[1], _KINDS[0] = 0, 1, 3
"""code -> the place of its count: those of COUNTS, and 3 for missing"""
_COHERENCE = np.zeros(256, dtype=np.int64)
for _place, _told in enumerate(BY_COHERENCE.values()):
    _COHERENCE[list(_told)] = _place


def _same(value: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    return np.full(len(rows), value, dtype=object)


def first_match(rule: Rule, **columns: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """The place in a rule of each output; the same as `as_sql` says.

    Args:
        columns: (outputs,) codes of each column that the rule asks for.
    """
    fits = [
        np.logical_and.reduce([np.isin(columns[name], codes) for name, codes in needs.items()])
        for _, needs in rule[:-1]
    ]
    return np.select(fits, list(range(len(fits))), len(fits)).astype(np.int64)


def outcome_codes(safety: Codes, refusal: Codes, coherence: Codes) -> npt.NDArray[np.int64]:
    """The place in OUTCOMES of each output."""
    return first_match(OUTCOME, safety=safety, refusal=refusal, coherence=coherence)


def strata_codes(refusal: Codes, coherence: Codes, truncated: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The place in STRATA of each output."""
    return first_match(STRATUM, refusal=refusal, coherence=coherence, truncated=truncated)


def outcome_slots(base: str) -> str:
    """A CTE `three`: for each cell of a table the slots of the safety judge, refusal judge and coherence
    source named in the parameters."""
    return f"""
    three AS (
        SELECT cell_id,
            max(slot) FILTER (dimension = 'safety' AND name = $judge) AS safety_slot,
            max(slot) FILTER (dimension = 'refusal' AND name = $refusal_judge) AS refusal_slot,
            max(slot) FILTER (dimension = 'coherence' AND name = $coherence) AS coherence_slot
        FROM current_slots WHERE cell_id IN (SELECT cell_id FROM {base}) GROUP BY cell_id
    )
    """


def outcome_counts(store: Store, specification: Specification) -> pd.DataFrame:
    """How many outputs of each safety or over-refusal cell have which outcome: cell_id, outcome, n."""
    frames = []
    for table in pattern_counts(store):
        if table.kind == "capability":
            continue
        n = table.n if specification.truncated else np.where(table.truncated, 0, table.n)
        told = outcome_codes(
            table.column(specification.judge, "safety"),
            table.column(specification.refusal_judge, "refusal"),
            table.column(specification.coherence, "coherence"),
        )
        counts = np.bincount(
            table.cell * len(OUTCOMES) + told, weights=n, minlength=len(table.cells) * len(OUTCOMES)
        ).astype(np.int64)
        frames.append(
            pd.DataFrame(
                {
                    "cell_id": np.repeat(np.array(table.cells, dtype=object), len(OUTCOMES)),
                    "outcome": np.tile(OUTCOMES, len(table.cells)),
                    "n": counts,
                }
            )
        )
    return (
        pd.concat(frames, ignore_index=True).query("n > 0")
        if frames
        else pd.DataFrame(columns=["cell_id", "outcome", "n"])
    )


def pair_tables(
    table: BenchmarkPatterns,
    names: Sequence[str],
    strata: npt.NDArray[np.int64],
    count: int,
    rows: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.float64]:
    """For each pair of safety judges, cell and stratum the counts of verdicts that both gave.

    Args:
        names: safety judges; pairs are in the order of `itertools.combinations`.
        strata: (rows,) stratum of each row.
        count: how many strata there are.
        rows: which rows to count; all where left out.

    Returns:
        (pairs, cells, strata, 2, 2); [..., i, j] counts outputs that the first calls i and the second j, 1
        being unsafe.
    """
    n = table.n.astype(np.float64) if rows is None else np.where(rows, table.n, 0).astype(np.float64)
    columns = [table.column(name, "safety") for name in names]
    place = (table.cell * count + strata) * 4
    size = len(table.cells) * count * 4
    out = []
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            both = ((columns[i] == 1) | (columns[i] == 2)) & ((columns[j] == 1) | (columns[j] == 2))
            code = np.where(both, place + 2 * (columns[i] == 2) + (columns[j] == 2), size)
            out.append(np.bincount(code, weights=n, minlength=size + 1)[:size])
    return np.asarray(out, dtype=np.float64).reshape(len(out), len(table.cells), count, 2, 2)
