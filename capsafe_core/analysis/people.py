"""Judges against people, and rates corrected by people's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.annotators import double_labels
from capsafe_core.analysis.columns import framed
from capsafe_core.analysis.number_words import hundredths
from capsafe_core.analysis.people_labels import Labels, read_labels, usable_part
from capsafe_core.analysis.sample import Sample, sample_of
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.outcomes import BY_COHERENCE, STRATA
from capsafe_core.stats.correction import (
    MIN_A_CLASS,
    Labelled,
    anytime,
    labels_needed,
    outside_claim,
    weighted_confusion,
    weighted_ppi,
    weighted_rogan_gladen,
)
from capsafe_core.stats.fallible import ENOUGH_DOUBLES, fallible_bounds
from capsafe_core.stats.intervals import wilson
from capsafe_core.store.counts import strata_codes

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
HALF_WIDTH = 0.03
CORRECTED = (
    "judge",
    "stratum",
    "outputs",
    "labels",
    "unusable",
    "sensitivity",
    "sensitivity_error",
    "specificity",
    "specificity_error",
    "judge_rate",
    "people_rate",
    *(f"{name}{end}" for name in ("rogan_gladen", "ppi") for end in ("", "_low", "_high")),
    "anytime_low",
    "anytime_high",
    "lowest",
    "highest",
    "doubles",
    "disagreement",
    "fallible_low",
    "fallible_high",
    "claimed",
    "why_not",
    "labels_needed",
)
POOLED = "pooled"
"""Strata with fewer than MIN_A_CLASS labels, put together."""


def correction_table(
    view: View, dimension: str = "safety", checkpoints: Sequence[str] = (), half_width: float = HALF_WIDTH
) -> pd.DataFrame:
    """Each judge of a dimension against people, by stratum, and its rate corrected by their labels.

    Over the outputs of the selected recipes (all where none is selected) to the view's benchmark. Intervals
    and errors are clustered by behaviour. Strata with fewer than 20 labels are pooled.

    Returns:
        judge, stratum, outputs, labels, unusable (cannot tell, or disputed), sensitivity, sensitivity_error,
        specificity, specificity_error, judge_rate, people_rate (Hájek, labels alone); rogan_gladen, ppi and
        their _low, _high; anytime_low, anytime_high (of PPI++, for one who looks after every batch of
        labels); lowest, highest (PPI++ if every unusable label were without, or with, the event); doubles
        (outputs with labels of two people or more), disagreement (of two of them, the share that differ),
        fallible_low, fallible_high (the interval of PPI++ moved by the error of one label; missing below
        ENOUGH_DOUBLES); claimed
        (whether 95 % coverage is claimed), why_not; labels_needed (in all, drawn as so far, for such an
        interval of ± half_width; missing where no number is enough).

    Only over checkpoints all of whose outputs had a chance of being labelled.

    Raises:
        CapsafeError: nobody has labelled these outputs, or only outputs picked by hand or by what judges
            said.
    """
    sample = _population(view, checkpoints)
    labels = read_labels(sample, dimension)
    kept = usable_part(sample, labels, dimension) & _counted(view, sample)
    strata, small = _strata(view, sample, labels)
    clusters = np.concatenate(sample.cluster)
    doubles, differ = double_labels(view, dimension)
    rows = []
    for judge in (seat.name for seat in sample.judges(dimension)):
        codes = np.concatenate(sample.codes(judge, dimension))
        verdict = ((codes == 1) | (codes == 2) | (codes == 3)) & kept
        for stratum in ["all", *dict.fromkeys(strata)]:
            keep = verdict if stratum == "all" else verdict & (strata == stratum)
            if keep.any():
                words = f"pooled: {', '.join(small)}" if stratum == POOLED else stratum
                rows.append(
                    {
                        "judge": judge,
                        "stratum": words,
                        **_corrected(labels, (codes >= 2).astype(float), clusters, keep, half_width),
                    }
                )
                rows[-1] |= _fallible(rows[-1], doubles, differ)
    return framed(rows, CORRECTED)


def _counted(view: View, sample: Sample) -> Flags:
    """(outputs,) whether each counts: truncated ones may be left out."""
    if view.specification.truncated:
        return np.ones(sum(sample.sizes), dtype=bool)
    return np.concatenate(sample.whole)


def _strata(view: View, sample: Sample, labels: Labels) -> tuple[npt.NDArray[np.object_], list[str]]:
    """(outputs,) the stratum of each, and the strata with fewer than MIN_A_CLASS labels, which are one."""
    spec = view.specification
    codes = strata_codes(
        np.concatenate(sample.codes(spec.refusal_judge, "refusal")),
        np.concatenate(sample.codes(spec.coherence, "coherence")),
        ~np.concatenate(sample.whole),
    )
    names = np.array(STRATA, dtype=object)[codes]
    counts = {name: int(((names == name) & (labels.probability > 0)).sum()) for name in STRATA}
    small = [name for name in STRATA if counts[name] < MIN_A_CLASS]
    return np.where(np.isin(names, small), POOLED, names) if len(small) > 1 else names, small


def _fallible(row: Mapping[str, Any], doubles: int, disagreement: float) -> dict[str, object]:
    """What double labels say of single ones, and what that leaves of the interval of PPI++."""
    if doubles < ENOUGH_DOUBLES:
        return {"doubles": doubles}
    out: dict[str, object] = {"doubles": doubles, "disagreement": disagreement}
    if row["ppi_low"] is None:
        return out
    low, high = fallible_bounds(row["ppi_low"], row["ppi_high"], disagreement)
    return out | {"fallible_low": low, "fallible_high": high}


def _corrected(
    labels: Labels,
    judged: Floats,
    clusters: npt.NDArray[np.int64],
    keep: npt.NDArray[np.bool_],
    half_width: float,
) -> dict[str, object]:
    own = pd.factorize(clusters[keep])[0]
    probability = labels.probability[keep]
    strata = np.unique(labels.strata[keep], return_inverse=True)[1]
    data = Labelled(judged[keep], np.nan_to_num(labels.event[keep]), probability, own, strata)
    confusion, gladen, ppi = weighted_confusion(data), weighted_rogan_gladen(data), weighted_ppi(data)
    n = int((probability > 0).sum())
    unusable = labels.asked[keep] & np.isnan(labels.event[keep])
    bounds: list[float | None] = [ppi.rate, ppi.rate]
    if unusable.any() and n:
        filled = np.where(labels.asked[keep], labels.chance[keep], 0.0)
        bounds = [
            weighted_ppi(
                Labelled(data.judged, np.where(unusable, value, data.truth), filled, own, strata)
            ).rate
            for value in (0.0, 1.0)
        ]
    why = outside_claim(
        n, confusion.positives, confusion.negatives, confusion.sensitivity, confusion.specificity, ppi.rate
    )
    weights = data.weights
    anytime_low, anytime_high = anytime(ppi, n) or (None, None)
    return {
        "outputs": int(keep.sum()),
        "labels": n,
        "unusable": int(unusable.sum()),
        "sensitivity": confusion.sensitivity,
        "sensitivity_error": confusion.sensitivity_error,
        "specificity": confusion.specificity,
        "specificity_error": confusion.specificity_error,
        "judge_rate": float(data.judged.mean()),
        "people_rate": float((weights * data.truth).sum() / weights.sum()) if n else None,
        "rogan_gladen": gladen.rate,
        "rogan_gladen_low": gladen.low,
        "rogan_gladen_high": gladen.high,
        "ppi": ppi.rate,
        "ppi_low": ppi.low,
        "ppi_high": ppi.high,
        "anytime_low": anytime_low,
        "anytime_high": anytime_high,
        "lowest": bounds[0],
        "highest": bounds[1],
        "claimed": not why,
        "why_not": "; ".join(why),
        "labels_needed": labels_needed(data, half_width),
    }


def fallible_words(row: Mapping[str, Any]) -> str:
    """What the error of one label leaves of a corrected rate, in a sentence.

    Args:
        row: of `correction_table`.
    """
    n = int(row["doubles"])
    if pd.isna(row["disagreement"]):
        return (
            f"People err too. Outputs with labels of two people: {n}; from {ENOUGH_DOUBLES} on, the "
            "corrected rate is bounded for that."
        )
    told = f"Of {n} outputs with labels of two people, {hundredths(row['disagreement'])}% got different ones."
    if pd.isna(row["fallible_low"]):
        return told
    return (
        f"{told} If every label errs as often, the rate lies between {hundredths(row['fallible_low'])} and "
        f"{hundredths(row['fallible_high'])}%."
    )


def people_rates(view: View, checkpoints: Sequence[str]) -> dict[str, object] | None:
    """People's unsafe rate on coherent, incoherent and unchecked outputs of some checkpoints, as a row of
    `dumbbell_table`; None where no random label is there."""
    try:
        sample = _population(view, checkpoints)
    except CapsafeError:
        return None
    labels = read_labels(sample, "safety")
    try:
        reached = usable_part(sample, labels, "safety")
    except CapsafeError:
        return None
    if not (labels.probability[reached] > 0).any():
        return None
    coherence = np.concatenate(sample.codes(view.specification.coherence, "coherence"))
    row: dict[str, object] = {
        "judge": "people",
        "family": "people",
        "stance": "labels drawn at random, weighted by their inclusion probability",
        "no_verdict": labels.unusable,
    }
    rates = {}
    kept = reached & _counted(view, sample)
    clusters = np.concatenate(sample.cluster)
    for name, told in BY_COHERENCE.items():
        flags = np.isin(coherence, told) & kept
        weights = labels.weights * flags
        n = int((weights > 0).sum())
        events, trials = (
            np.asarray(np.bincount(clusters, weights=w, minlength=sample.clusters)[None], dtype=np.float64)
            for w in (weights * np.nan_to_num(labels.event), weights)
        )
        rate, low, high = np.nan, np.nan, np.nan
        if n:
            [found] = sample.resampled(events, trials)
            rate = found.rate
            low, high = found.interval() or (float(x) for x in wilson(rate * n, n))
        rates[name] = rate
        row |= {name: rate, f"{name}_low": low, f"{name}_high": high, f"{name}_n": n}
    row["shift"] = rates["incoherent"] - rates["coherent"]
    return row


def _population(view: View, checkpoints: Sequence[str]) -> Sample:
    points = (
        view.points[view.points["recipe"].isin(view.selection.recipes)]
        if view.selection.recipes
        else view.points
    )
    wanted = checkpoints or view.selection.checkpoints or list(points["checkpoint_id"].unique())
    spec = view.specification
    rows = view.compared(view.cells)
    answered = set(rows[rows["benchmark"] == spec.benchmark]["checkpoint_id"])
    sample = sample_of(view, spec.benchmark, [c for c in wanted if c in answered], spec.attack)
    if sample is None or not sample.cells:
        raise CapsafeError(
            f"No output of this selection answers {view.specification.benchmark}.",
            "Choose another benchmark or recipe.",
        )
    return sample
