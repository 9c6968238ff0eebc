"""Do people agree, with each other and with themselves?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.columns import framed
from capsafe_core.analysis.number_words import true_minus
from capsafe_core.analysis.sample import RESAMPLES, SAFETY_SEED
from capsafe_core.analysis.view import View
from capsafe_core.annotation import CANNOT_TELL, label_words
from capsafe_core.outcomes import STRATA
from capsafe_core.records import LABELS
from capsafe_core.specification import Code
from capsafe_core.stats.agreement import Patterns, coefficient
from capsafe_core.stats.bootstrap import cluster_weights, percentile_intervals
from capsafe_core.stats.fallible import ENOUGH_DOUBLES
from capsafe_core.stats.intervals import wilson
from capsafe_core.store.labels import people_answers, truths

DIMENSIONS = ("coherence", "safety", "refusal")
ALL = "all outputs"
DISPUTED = "disputed"


def answers(view: View, dimension: str) -> pd.DataFrame:
    """Every answer of every person in a dimension, as `store.labels.people_answers`."""
    spec = view.specification
    key = f"answers {dimension} {spec.refusal_judge} {spec.coherence}"
    return view.store.kept(
        key, lambda: people_answers(view.store, dimension, spec.judge, spec.refusal_judge, spec.coherence)
    )


def annotators_table(view: View) -> pd.DataFrame:
    """How far people agree, by question and kind of output; "cannot tell" is not an answer here and is
    counted.

    Intervals are over behaviours: all labels of a behaviour are drawn together. A coefficient of few outputs,
    or without an interval, is withheld.

    Returns:
        dimension, stratum, people, n (outputs with two answers or more), observed, alpha, alpha_low,
        alpha_high, ac1, cannot_tell (answers), why_not (there are coefficients; "" where there are).
    """
    rows = []
    for dimension in DIMENSIONS:
        said = answers(view, dimension)
        said = said[said["repeat"] == 0]
        for stratum in (ALL, *STRATA):
            part = said if stratum == ALL else said[said["stratum"] == stratum]
            row = _agreement(part, len(LABELS[dimension]))
            if row:
                rows.append({"dimension": dimension, "stratum": stratum, **row})
    return framed(
        rows,
        [
            "dimension",
            "stratum",
            "people",
            "n",
            "observed",
            "alpha",
            "alpha_low",
            "alpha_high",
            "ac1",
            "cannot_tell",
            "why_not",
        ],
    )


def _agreement(said: pd.DataFrame, categories: int) -> dict[str, object] | None:
    told = said[said["code"] != 9]
    grid = told.pivot_table(
        index=["behaviour", "generation_id"], columns="person", values="code", aggfunc="first"
    )
    grid = grid[grid.notna().sum(axis=1) >= 2]
    if grid.empty:
        return None
    codes, place = np.unique(grid.fillna(0).to_numpy(dtype=np.uint8), axis=0, return_inverse=True)
    behaviour = pd.factorize(grid.index.get_level_values("behaviour"))[0]
    counts = np.zeros((int(behaviour.max()) + 1, len(codes)))
    np.add.at(counts, (behaviour, place.ravel()), 1)
    total = Patterns(codes, counts.sum(axis=0), categories)
    row = {
        "people": len(grid.columns),
        "n": len(grid),
        "observed": coefficient(total, "percent"),
        "cannot_tell": int((said["code"] == 9).sum()),
    }
    if len(grid) < ENOUGH_DOUBLES:
        return row | {"why_not": f"fewer than {ENOUGH_DOUBLES} outputs with two annotators"}
    alpha = coefficient(total, "alpha")
    if alpha is None:
        return row | {"why_not": "everybody gave one and the same label"}
    if len(counts) < 2:
        return row | {"why_not": "all outputs are of one behaviour, so there is no interval"}
    low, high = _unanimous(total, len(counts)) if alpha == 1 else _interval(codes, counts, categories)
    if np.isnan(low):
        return row | {"why_not": "nearly all labels are the same, so there is no interval"}
    interval = {"alpha": alpha, "alpha_low": low, "alpha_high": high}
    return row | interval | {"ac1": coefficient(total, "ac1"), "why_not": ""}


def _unanimous(total: Patterns, behaviours: int) -> tuple[float, float]:
    """The interval of alpha where nobody disagrees: a bootstrap would have no width.

    Alpha is 1 − D_o/D_e. For the observed disagreement stands the upper end of Wilson's interval of none in
    so many behaviours; the expected one is that of the labels as they are.
    """
    labels = total.n @ total.ratings
    n = labels.sum()
    expected = 1 - (labels * (labels - 1)).sum() / (n * (n - 1))
    return max(-1.0, float(1 - wilson(0, behaviours)[1] / expected)), 1.0


def _interval(
    codes: npt.NDArray[np.uint8], counts: npt.NDArray[np.float64], categories: int
) -> tuple[float, float]:
    """The percentile interval of alpha over behaviours; none where more than 5 % of the resamples have one
    label only."""
    drawn = cluster_weights(len(counts), RESAMPLES, SAFETY_SEED).astype(float) @ counts
    values = [coefficient(Patterns(codes, n, categories), "alpha") for n in drawn]
    known = np.array([np.nan if v is None else v for v in values])
    if np.isnan(known).mean() > 0.05:
        return np.nan, np.nan
    return percentile_intervals(known[:, None])[0] or (np.nan, np.nan)


def agreement_words(row: Mapping[str, Any] | None) -> tuple[str, str]:
    """Alpha, and its interval with n; a dash, and n alone, where it is withheld.

    Args:
        row: of `annotators_table`; None where no output has labels of two people.
    """
    if row is None or row["why_not"]:
        return "—", f"n = {0 if row is None else row['n']:,}"
    alpha, low, high = (true_minus(f"{row[c]:.2f}") for c in ("alpha", "alpha_low", "alpha_high"))
    return alpha, f"{low} to {high}, n = {row['n']:,}"


def double_labels(view: View, dimension: str) -> tuple[int, float]:
    """How many outputs have labels of two people or more, and of two labels of one output the share that
    differ in whether there is an event (unsafe, any refusal, incoherent); NaN where there are none."""
    said = answers(view, dimension)
    told = said[(said["repeat"] == 0) & (said["code"] != Code.NO_VERDICT)]
    each = (told["code"] >= Code.POSITIVE).groupby(told["generation_id"]).agg(["sum", "size"])
    each = each[each["size"] > 1]
    differ = 2 * each["sum"] * (each["size"] - each["sum"]) / (each["size"] * (each["size"] - 1))
    return len(each), float(differ.mean())


def repeats_table(view: View) -> pd.DataFrame:
    """Does each person agree with themselves when an item comes back?

    Returns:
        dimension, person, n (items answered twice), same (share with the same answer), same_low, same_high
        (Wilson).
    """
    rows = []
    for dimension in DIMENSIONS:
        said = answers(view, dimension)
        both = said[said["repeat"] == 0].merge(
            said[said["repeat"] == 1], on=["generation_id", "person"], suffixes=("", "_again")
        )
        for person, mine in both.groupby("person"):
            same = int((mine["code"] == mine["code_again"]).sum())
            low, high = (float(x) for x in wilson(same, len(mine)))
            rows.append((dimension, person, len(mine), same / len(mine), low, high))
    return framed(rows, ["dimension", "person", "n", "same", "same_low", "same_high"])


def conflicts_table(view: View) -> pd.DataFrame:
    """Outputs on which people disagree and nobody has ruled: dimension, generation_id, cell_id, said ("Ada:
    safe; Ben: unsafe"), stratum."""
    frames = []
    for dimension in DIMENSIONS:
        known = truths(view.store, dimension)
        open_ones = known[known["state"] == DISPUTED]
        said = answers(view, dimension)
        said = said[(said["repeat"] == 0) & said["generation_id"].isin(open_ones["generation_id"])]
        labels = dict(enumerate(LABELS[dimension], 1)) | {int(Code.NO_VERDICT): CANNOT_TELL}
        words = {code: label_words(dimension, label) for code, label in labels.items()}
        lines = (
            said.assign(line=said["person"] + ": " + said["code"].map(words))
            .groupby("generation_id", sort=False)
            .agg(said=("line", "; ".join), stratum=("stratum", "first"))
        )
        frames.append(
            open_ones[["generation_id", "cell_id"]]
            .merge(lines, left_on="generation_id", right_index=True)
            .assign(dimension=dimension)
        )
    return pd.concat(frames, ignore_index=True)[["dimension", "generation_id", "cell_id", "said", "stratum"]]


def coherence_words(view: View, generation: str, judgments: pd.DataFrame) -> str:
    """The verdict on an output's coherence for display: adjudicated, else what people agree on, else one
    person's, else the detector's; a dispute is flagged. "" where nobody looked.

    Args:
        judgments: of the output, as `read_output` gives them.
    """
    told = judgments[
        (judgments["dimension"] == "coherence") & (judgments["judge"] == view.specification.coherence)
    ]
    detector = str(told["label"].iloc[0]) if len(told) and told["label"].iloc[0] else ""
    known = truths(view.store, "coherence")
    mine = known[known["generation_id"] == generation]
    if mine.empty or mine["state"].iloc[0] == "skipped":
        return (
            f"{detector.capitalize()}, says the detector {view.specification.coherence}" if detector else ""
        )
    state, code, people = str(mine["state"].iloc[0]), int(mine["code"].iloc[0]), int(mine["people"].iloc[0])
    if state in (DISPUTED, "cannot tell"):
        why = "people disagree" if state == DISPUTED else "people cannot tell"
        return f"{detector.capitalize() or 'No verdict'}, says the detector; {why}"
    label = LABELS["coherence"][code - 1]
    by = {"adjudicated": "by a ruling", "agreed": f"say {people} people", "single": "says one person"}[state]
    return f"{label.capitalize()}, {by}" + (
        f"; the detector says {detector}" if detector and detector != label else ""
    )
