"""Agreement of the safety judges, pair by pair and together, by kind of output."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.columns import framed
from capsafe_core.analysis.disagreement import compared_rows, compared_sample
from capsafe_core.analysis.ordered_agreement import judge_patterns, seen_by
from capsafe_core.analysis.sample import RESAMPLES, Sample
from capsafe_core.analysis.view import View
from capsafe_core.outcomes import STRATA
from capsafe_core.stats.agreement import (
    COEFFICIENTS,
    TABLE_COEFFICIENTS,
    coefficient,
    table_coefficients,
)
from capsafe_core.stats.bootstrap import percentile_intervals
from capsafe_core.stats.paired import cochran_q
from capsafe_core.store.counts import pair_tables, strata_codes
from capsafe_core.store.patterns import BenchmarkPatterns, pattern_counts

Floats = npt.NDArray[np.float64]


DIFFERENCE = "incoherent minus coherent"
"""the stratum of a coefficient's difference between the two"""
GROUPS: dict[str, tuple[int, ...]] = {
    "all": (0, 1, 2, 3, 4),
    "coherent": (1, 2, 3),
    "incoherent": (0,),
    "refusal": (1,),
    "truncated": (2,),
    "other coherent": (3,),
    "unchecked": (4,),
}
"""Named unions of STRATA.

Refusal, truncated and other coherent tell outputs apart by the refusal judge, which is therefore not
compared within them.
"""


BY_REFUSAL = ("refusal", "truncated", "other coherent")


def agreement_table(view: View) -> pd.DataFrame:
    """Agreement of every pair of safety judges on outputs of the compared checkpoints to the view's
    benchmark, by stratum.

    The judge that tells refusals is not compared within refusals, truncated and other coherent outputs.

    Returns:
        judge_1, judge_2, stratum (one of GROUPS), n (outputs with both verdicts), and every coefficient of
        `table_coefficients`; missing where not defined.
    """
    table, rows = compared_rows(view)
    columns = ["judge_1", "judge_2", "stratum", "n", *TABLE_COEFFICIENTS]
    if table is None:
        return pd.DataFrame(columns=columns)
    names = [seat.name for seat in table.judges("safety")]
    counts = pair_tables(table, names, _strata(view, table), len(STRATA), rows).sum(axis=1)
    found = []
    for i, (one, two) in enumerate(combinations(names, 2)):
        for group, members in _groups(view, table).items():
            if not (group in BY_REFUSAL and view.specification.refusal_judge in (one, two)):
                both = counts[i, list(members)].sum(axis=0)
                found.append(
                    (
                        one,
                        two,
                        group,
                        int(both.sum()),
                        *(float(table_coefficients(both, name)) for name in TABLE_COEFFICIENTS),
                    )
                )
    return framed(found, columns)


def agreement_intervals(view: View, name: str) -> pd.DataFrame:
    """One coefficient of every pair of judges by stratum with bootstrap intervals over behaviours, and its
    change from coherent to incoherent outputs.

    Args:
        name: one of TABLE_COEFFICIENTS.

    Returns:
        judge_1, judge_2, stratum (one of GROUPS, or DIFFERENCE), n, value, low, high;
        missing where not defined, or where a resample has it undefined in more than 5 of 100.
    """
    sample, names = compared_sample(view)
    table, _ = compared_rows(view)
    columns = ["judge_1", "judge_2", "stratum", "n", "value", "low", "high"]
    if sample is None or table is None:
        return pd.DataFrame(columns=columns)
    spec = view.specification
    counts = _cluster_tables(view, sample, names)  # (clusters, pairs, strata, 2, 2)
    draws = (sample.weights @ counts.reshape(counts.shape[0], -1)).reshape(RESAMPLES, *counts.shape[1:])
    observed = counts.sum(axis=0)
    rows = []
    for i, (one, two) in enumerate(combinations(names, 2)):
        by_group = {}
        for group, members in _groups(view, table).items():
            if group in BY_REFUSAL and spec.refusal_judge in (one, two):
                continue
            place = list(members)
            value = float(table_coefficients(observed[i, place].sum(axis=0), name))
            drawn = table_coefficients(draws[:, i, place].sum(axis=1), name)
            by_group[group] = value, drawn
            rows.append((one, two, group, int(observed[i, place].sum()), value, *_interval(value, drawn)))
        if "incoherent" not in by_group:
            continue
        change = by_group["incoherent"][0] - by_group["coherent"][0]
        rows.append(
            (
                one,
                two,
                DIFFERENCE,
                int(observed[i].sum()),
                change,
                *_interval(change, by_group["incoherent"][1] - by_group["coherent"][1]),
            )
        )
    return framed(rows, columns)


def _interval(value: float, draws: Floats) -> tuple[float, float]:
    if np.isnan(value) or np.isnan(draws).mean() > 0.05:
        return np.nan, np.nan
    [interval] = percentile_intervals(draws[:, None])
    return interval or (np.nan, np.nan)


def all_judges_table(view: View) -> pd.DataFrame:
    """Agreement of all safety judges together by stratum, where two or more can be compared.

    Returns:
        stratum, judges; n (outputs with verdicts of two judges or more, which the coefficients are made of;
        with two judges the outputs of `agreement_table`), complete (with verdicts of all, which Fleiss' kappa
        and Cochran's Q are made of); Fleiss' and Conger's kappa, Krippendorff's alpha, Gwet's AC1,
        Brennan-Prediger, and Cochran's Q (whether their rates differ on the same outputs).
    """
    columns = [
        "stratum",
        "judges",
        "n",
        "complete",
        *(c for c in COEFFICIENTS if c != "cohen"),
        "cochran_q",
        "cochran_p",
    ]
    table, rows = compared_rows(view)
    if table is None:
        return pd.DataFrame(columns=columns)
    strata = _strata(view, table)
    out = []
    for group, members in _groups(view, table).items():
        names = [
            seat.name
            for seat in table.judges("safety")
            if not (group in BY_REFUSAL and seat.name == view.specification.refusal_judge)
        ]
        if len(names) < 2:
            continue
        keep = rows & np.isin(strata, members)
        patterns = judge_patterns(table, names, "safety", keep)
        whole = patterns.complete()
        q = cochran_q(whole.codes == 2, whole.n) if len(whole.n) else None
        values = {c: coefficient(patterns, c) for c in COEFFICIENTS if c != "cohen"}
        out.append(
            {
                "stratum": group,
                "judges": len(names),
                "n": seen_by(patterns, 2),
                "complete": seen_by(patterns, len(names)),
                **values,
                "cochran_q": q and q[0],
                "cochran_p": q and q[1],
            }
        )
    return framed(out, columns)


def agreement_by_cell(view: View) -> pd.DataFrame:
    """Agreement of every pair of safety judges in every cell of the study and every stratum.

    Returns:
        cell_id, checkpoint_id, benchmark, judge_1, judge_2, stratum (one of GROUPS), n, observed, kappa; only
        where both judges have verdicts.
    """
    frames = []
    for table in pattern_counts(view.store):
        names = [seat.name for seat in table.judges("safety")]
        if table.kind != "safety" or len(names) < 2:
            continue
        counts = pair_tables(table, names, _strata(view, table), len(STRATA))
        groups = _groups(view, table)
        grouped = np.stack(
            [counts[:, :, list(members)].sum(axis=2) for members in groups.values()], axis=2
        )  # (pairs, cells, groups, 2, 2)
        pairs = np.array(list(combinations(names, 2)), dtype=object)
        n = grouped.sum(axis=(-2, -1))
        i, j, k = np.nonzero(n)
        by_refusal = np.array([g in BY_REFUSAL for g in groups])[k] & (
            pairs[i] == view.specification.refusal_judge
        ).any(axis=1)
        i, j, k = i[~by_refusal], j[~by_refusal], k[~by_refusal]
        found = grouped[i, j, k]
        frames.append(
            pd.DataFrame(
                {
                    "cell_id": np.array(table.cells, dtype=object)[j],
                    "judge_1": pairs[i, 0],
                    "judge_2": pairs[i, 1],
                    "stratum": np.array(list(groups), dtype=object)[k],
                    "n": n[i, j, k].astype(int),
                    "observed": table_coefficients(found, "observed"),
                    "kappa": table_coefficients(found, "kappa"),
                }
            )
        )
    if not frames:
        return pd.DataFrame(
            columns=[
                "cell_id",
                "checkpoint_id",
                "benchmark",
                "judge_1",
                "judge_2",
                "stratum",
                "n",
                "observed",
                "kappa",
            ]
        )
    return pd.concat(frames, ignore_index=True).merge(
        view.listed_cells[["cell_id", "checkpoint_id", "benchmark"]], on="cell_id"
    )


def _groups(view: View, table: BenchmarkPatterns) -> dict[str, tuple[int, ...]]:
    """The groups that outputs can be told into; only "all" where nobody has judged their coherence."""
    return GROUPS if (view.specification.coherence, "coherence") in table.seats else {"all": GROUPS["all"]}


def _strata(view: View, table: BenchmarkPatterns) -> npt.NDArray[np.int64]:
    spec = view.specification
    return strata_codes(
        table.column(spec.refusal_judge, "refusal"),
        table.column(spec.coherence, "coherence"),
        table.truncated,
    )


def _cluster_tables(view: View, sample: Sample, names: Sequence[str]) -> Floats:
    """(clusters, pairs, strata, 2, 2) counts over all cells of a sample."""
    spec = view.specification
    sample.load(
        [(name, "safety") for name in names]
        + [(spec.refusal_judge, "refusal"), (spec.coherence, "coherence")]
    )
    verdicts = {name: np.concatenate(sample.codes(name, "safety")) for name in names}
    cluster, whole = np.concatenate(sample.cluster), np.concatenate(sample.whole)
    strata = strata_codes(
        np.concatenate(sample.codes(spec.refusal_judge, "refusal")),
        np.concatenate(sample.codes(spec.coherence, "coherence")),
        ~whole,
    )
    kept = np.ones(len(cluster), dtype=bool) if view.specification.truncated else whole
    size = sample.clusters * len(STRATA) * 4
    out = []
    for one, two in combinations(names, 2):
        x, y = verdicts[one], verdicts[two]
        both = ((x == 1) | (x == 2)) & ((y == 1) | (y == 2)) & kept
        place = (cluster * len(STRATA) + strata) * 4 + 2 * (x == 2) + (y == 2)
        out.append(np.bincount(place[both], minlength=size).reshape(sample.clusters, len(STRATA), 2, 2))
    return np.stack(out, axis=1).astype(float) if out else np.zeros((sample.clusters, 0, len(STRATA), 2, 2))
