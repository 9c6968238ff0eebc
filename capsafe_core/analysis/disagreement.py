"""Which judges differ, and whether it is the incoherent outputs that they differ on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.outputs import outputs_table
from capsafe_core.analysis.people import people_rates
from capsafe_core.analysis.rates import cell_rates
from capsafe_core.analysis.sample import Sample
from capsafe_core.analysis.view import View, open_view
from capsafe_core.outcomes import BY_COHERENCE
from capsafe_core.scales import scales
from capsafe_core.selection import vote_pattern
from capsafe_core.specification import Policy
from capsafe_core.stats.intervals import wilson
from capsafe_core.store.patterns import BenchmarkPatterns, pattern_counts
from capsafe_core.store.studies import raters

Floats = npt.NDArray[np.float64]
TOP_VOTES = 20
MAP_POINTS = 5000


def compared(view: View) -> list[str]:
    """The checkpoints that judges are compared on: those after fine-tuning, of the recipes selected or of all
    that teach a capability; every one where nothing was fine-tuned."""
    points = view.points[(view.points["step"] > 0) & view.points["recipe"].isin(view.compared_recipes)]
    return list((points if len(points) else view.points)["checkpoint_id"].unique())


def compared_outputs(view: View) -> View:
    """The view of exactly the outputs that the charts count: to its benchmark, by compared checkpoints, or by
    the one that was clicked."""
    return open_view(
        view.store,
        view.selection.but(
            benchmarks=(view.specification.benchmark,),
            recipes=(),
            checkpoints=view.selection.checkpoints or tuple(compared(view)),
            outcomes=(),
            search="",
        ),
    )


def dumbbell_table(view: View) -> pd.DataFrame:
    """Each safety judge's unsafe rate on coherent and on incoherent outputs of the same checkpoints.

    Outputs of all compared checkpoints on the view's benchmark are put together; intervals are over
    behaviours. Where people have labelled a random part of them, a last row has their rates.

    Returns:
        judge, family, stance, coherent, coherent_low, coherent_high, coherent_n, the same four of incoherent
        and of unchecked outputs (without a verdict on coherence), shift (incoherent minus coherent),
        no_verdict; by shift.
    """
    sample, names = compared_sample(view)
    columns = [
        "judge",
        "family",
        *(f"{g}{tail}" for g in BY_COHERENCE for tail in ("", "_low", "_high", "_n")),
        "shift",
        "no_verdict",
        "stance",
    ]
    if sample is None:
        return pd.DataFrame(columns=columns)
    spec = view.specification
    sample.load([(name, "safety") for name in names] + [(spec.coherence, "coherence")])
    coherence = sample.codes(spec.coherence, "coherence")
    rows = []
    for name in names:
        codes = sample.codes(name, "safety")
        row: dict[str, object] = {"judge": name}
        for group, told in BY_COHERENCE.items():
            counted = [
                (
                    ((v == 2) & np.isin(c, told)).astype(float),
                    (((v == 1) | (v == 2)) & np.isin(c, told)).astype(float),
                )
                for v, c in zip(codes, coherence, strict=True)
            ]
            row |= _pooled(sample, group, *sample.sums(counted))
        row["no_verdict"] = int(
            sum(
                ((v != 1) & (v != 2) & (view.specification.truncated | whole)).sum()
                for v, whole in zip(codes, sample.whole, strict=True)
            )
        )
        rows.append(row)
    out = pd.DataFrame(rows)
    known = raters(view.store).drop_duplicates("name").set_index("name")
    out["family"], out["stance"] = out["judge"].map(known["family"]), out["judge"].map(known["stance"])
    out["shift"] = out["incoherent"] - out["coherent"]
    out = out.sort_values("shift").reset_index(drop=True)
    people = people_rates(view, compared(view))
    return out if people is None else pd.concat([out, pd.DataFrame([people])], ignore_index=True)


def _pooled(sample: Sample, group: str, events: Floats, trials: Floats) -> dict[str, object]:
    """The rate of all cells together, with an interval over behaviours; Wilson's where nothing can be
    resampled."""
    k, n = int(events.sum()), int(trials.sum())
    if not n:
        return {group: np.nan, f"{group}_low": np.nan, f"{group}_high": np.nan, f"{group}_n": 0}
    [rate] = sample.resampled(events.sum(axis=0, keepdims=True), trials.sum(axis=0, keepdims=True))
    low, high = rate.interval() or (float(x) for x in wilson(k, n))
    return {group: k / n, f"{group}_low": low, f"{group}_high": high, f"{group}_n": n}


def votes_table(view: View) -> pd.DataFrame:
    """How often the safety judges vote in which way on the view's benchmark, the most frequent ways first.

    Returns:
        pattern ("judge=unsafe,judge=safe,judge=", as a selection takes it), one column a judge (unsafe, safe
        or ""), coherent, incoherent, unchecked (outputs, by the coherence verdict), n, share.
    """
    table, rows = compared_rows(view)
    if table is None:
        return pd.DataFrame(columns=["pattern", "coherent", "incoherent", "unchecked", "n", "share"])
    names = [seat.name for seat in table.judges("safety")]
    votes = np.stack([table.column(name, "safety") for name in names], axis=1)
    votes = np.where((votes == 1) | (votes == 2), votes, 0)
    coherence = table.column(view.specification.coherence, "coherence")
    kind = np.select([np.isin(coherence, told) for told in BY_COHERENCE.values()], [0, 1, 2])
    patterns, place = np.unique(votes, axis=0, return_inverse=True)
    counts = (
        np.bincount(place.ravel() * 3 + kind, weights=np.where(rows, table.n, 0), minlength=3 * len(patterns))
        .reshape(-1, 3)
        .astype(int)
    )
    words = np.array(["", "safe", "unsafe"], dtype=object)[patterns]
    out = pd.DataFrame(words, columns=names)
    out.insert(0, "pattern", [vote_pattern(dict(zip(names, row, strict=True))) for row in words])
    out["coherent"], out["incoherent"], out["unchecked"], out["n"] = *counts.T, counts.sum(axis=1)
    out["share"] = out["n"] / max(out["n"].sum(), 1)
    return out[out["n"] > 0].sort_values("n", ascending=False, kind="stable").reset_index(drop=True)


COUNTS = ("coherent", "incoherent", "unchecked", "n", "share")
"""columns of `votes_table` beside the pattern and the judges"""


def splits_table(votes: pd.DataFrame) -> pd.DataFrame:
    """How often judges split: of the outputs on which two or more have a verdict, those that some call unsafe
    and others safe.

    Args:
        votes: as `votes_table`.

    Returns:
        kind (coherent, incoherent, unchecked: those with outputs), n, split, share; in that order.
    """
    judges = votes[[c for c in votes.columns if c not in ("pattern", *COUNTS)]]
    unsafe, safe = (judges == "unsafe").sum(axis=1), (judges == "safe").sum(axis=1)
    rows = [
        {
            "kind": kind,
            "n": int(votes.loc[unsafe + safe > 1, kind].sum()),
            "split": int(votes.loc[(unsafe > 0) & (safe > 0), kind].sum()),
        }
        for kind in BY_COHERENCE
    ]
    out = pd.DataFrame([row for row in rows if row["n"]], columns=["kind", "n", "split"])
    return out.assign(share=out["split"] / out["n"])


def judges_along_table(view: View) -> pd.DataFrame:
    """Each safety judge's unsafe rate along training on the view's benchmark, as judged, beside the share of
    incoherent outputs.

    Returns:
        recipe, seed, step, checkpoint_id, judge, rate, low, high, n, incoherent.
    """
    rates = view.compared(
        cell_rates(open_view(view.store, view.selection.but(policy=Policy.AS_JUDGED.value)))
    )
    rates = rates[(rates["dimension"] == "safety") & (rates["benchmark"] == view.specification.benchmark)]
    points = view.points[view.points["recipe"].isin(view.compared_recipes)]
    table = points[["recipe", "seed", "step", "checkpoint_id"]].merge(
        rates[["checkpoint_id", "judge", "rate", "low", "high", "n", "incoherent"]], on="checkpoint_id"
    )
    return table.sort_values(["recipe", "seed", "judge", "step"]).reset_index(drop=True)


def text_map(view: View) -> pd.DataFrame:
    """Responses laid out by their words: TF-IDF and its first two singular vectors. The axes mean nothing;
    neighbours share words.

    At most MAP_POINTS answers of the selection, drawn at random (the same ones each time).

    Returns:
        x, y, and the columns of `find_outputs` without texts, plus disputed (share of votes against the
        majority).
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    rows, _ = outputs_table(compared_outputs(view), limit=MAP_POINTS, order="random")
    columns = ["generation_id", "item", "outcome", "unsafe_votes", "safe_votes", "recipe", "seed", "step"]
    if len(rows) < 3:
        return pd.DataFrame(columns=["x", "y", *columns, "disputed"])
    try:
        words = TfidfVectorizer(min_df=2, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b").fit_transform(
            rows["answer"]
        )
        places = (
            TruncatedSVD(2, random_state=0).fit_transform(words)
            if words.shape[1] > 2
            else np.zeros((len(rows), 2))
        )
    except ValueError:  # no word stands in two answers
        places = np.zeros((len(rows), 2))
    out = rows[columns].copy()
    out.insert(0, "y", places[:, 1])
    out.insert(0, "x", places[:, 0])
    votes = out["unsafe_votes"] + out["safe_votes"]
    out["disputed"] = (out[["unsafe_votes", "safe_votes"]].min(axis=1) / votes.where(votes > 0)).fillna(0.0)
    return out


def scores_table(view: View, bins: int = 10) -> pd.DataFrame:
    """Two scored judges beside each other, binned: judge_1, judge_2, x, y (middles of the bins), n, and their
    thresholds; for the first two judges that gave scores."""
    columns = ["judge_1", "judge_2", "x", "y", "n", "cutoff_1", "cutoff_2"]
    sample, _ = compared_sample(view)
    cutoffs = {name: scale.cutoff for name, scale in scales().items()}
    if view.specification.cutoff is not None:
        cutoffs[view.specification.judge] = view.specification.cutoff
    found = {}
    if sample is None:
        return pd.DataFrame(columns=columns)
    for name in sorted(cutoffs):
        if scores := sample.scores(name):
            found[name] = np.concatenate(
                [
                    np.where(view.specification.truncated | whole, s, np.nan)
                    for s, whole in zip(scores, sample.whole, strict=True)
                ]
            )
    if len(found) < 2:
        return pd.DataFrame(columns=columns)
    (one, x), (two, y) = list(found.items())[:2]
    known = ~(np.isnan(x) | np.isnan(y))
    counts, left, lower = np.histogram2d(x[known], y[known], bins=bins, range=[[0, 1], [0, 1]])
    i, j = np.nonzero(counts)
    middle = (left[:-1] + left[1:]) / 2, (lower[:-1] + lower[1:]) / 2
    return pd.DataFrame(
        {
            "judge_1": one,
            "judge_2": two,
            "x": middle[0][i],
            "y": middle[1][j],
            "n": counts[i, j].astype(int),
            "cutoff_1": cutoffs[one],
            "cutoff_2": cutoffs[two],
        },
        columns=columns,
    )


def compared_rows(view: View) -> tuple[BenchmarkPatterns | None, npt.NDArray[np.bool_]]:
    """The pattern counts of the view's benchmark, and which of their rows are outputs of compared
    checkpoints."""
    cells = view.cells[
        (view.cells["benchmark"] == view.specification.benchmark)
        & view.cells["checkpoint_id"].isin(compared(view))
    ]
    for table in pattern_counts(view.store):
        if table.benchmark_id in set(cells["benchmark_id"]):
            wanted = np.isin(np.array(table.cells, dtype=object), list(cells["cell_id"]))
            keep = wanted[table.cell] & (view.specification.truncated | ~table.truncated)
            if len(table.judges("safety")):
                return table, keep
    return None, np.zeros(0, dtype=bool)


def compared_sample(view: View) -> tuple[Sample | None, list[str]]:
    """The outputs of compared checkpoints to the view's benchmark, under every attack, and the safety judges;
    None without either."""
    table, _ = compared_rows(view)
    if table is None:
        return None, []
    cells = view.cells[
        (view.cells["benchmark_id"] == table.benchmark_id) & view.cells["checkpoint_id"].isin(compared(view))
    ]["cell_id"]
    return Sample(
        view.store, table.benchmark_id, dict(zip(cells, cells, strict=True)), view.specification.truncated
    ), [seat.name for seat in table.judges("safety")]
