"""Judges against people, and rates corrected by people's labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.columns import framed
from capsafe_core.analysis.sample import Sample, sample_of
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.outcomes import BY_COHERENCE, STRATA
from capsafe_core.stats.bootstrap import percentile_intervals
from capsafe_core.stats.correction import (
    MIN_A_CLASS,
    Labelled,
    labels_needed,
    one_over,
    outside_claim,
    weighted_confusion,
    weighted_ppi,
    weighted_rogan_gladen,
)
from capsafe_core.stats.design import alike, completed, inclusion
from capsafe_core.stats.intervals import wilson
from capsafe_core.store.counts import strata_codes
from capsafe_core.store.labels import queue_frames, queue_items, queue_strata, truths

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
    "lowest",
    "highest",
    "claimed",
    "why_not",
    "labels_needed",
)
POOLED = "pooled"
"""Strata with fewer than MIN_A_CLASS labels, put together."""
HAND_PICKED = (
    "These labels were picked by hand, not drawn at random, so nobody knows how likely each "
    "output was to be labelled, and no rate can be corrected from them."
)
HAND_PICKED_HINT = (
    "Make a queue, which draws outputs with known probabilities, and label those. (On "
    "XSTest, labels of only those answers on which two judges differ show a judge wrong in "
    "70 of 100; over all answers it is wrong in 17.)"
)


@dataclass(frozen=True)
class Labels:
    """What people said about the outputs of a sample, output by output (all cells in a row).

    Attributes:
        event: (outputs,) 1 unsafe, any refusal, or incoherent; 0 not; NaN where nobody can say.
        chance: (outputs,) with which the completed parts of the queues asked about it.
        asked: (outputs,) whether an output in a completed part of a queue was asked about (whether or not an
            answer came).
        reached: (outputs,) whether the completed parts of the queues could have asked about it.
        strata: (outputs,) what was drawn alike, numbered.
        by_hand: labels without a known probability.
        adaptive: labels in parts of queues that count only when complete, and are not.
        behind: labels that wait for earlier items of their queue, which nobody has answered yet.
        unusable: labels in which people could not tell or disagree, and items skipped, in the parts used.
    """

    event: Floats
    chance: Floats
    asked: Flags
    reached: Flags
    strata: npt.NDArray[np.int64]
    by_hand: int
    adaptive: int
    behind: int
    unusable: int

    @property
    def probability(self) -> Floats:
        """(outputs,) inclusion probability of labels that may be used; 0 for the others."""
        return np.where(self.asked & ~np.isnan(self.event), self.chance, 0.0)

    @property
    def weights(self) -> Floats:
        """(outputs,) one over the probability; 0 where there is no label that may be used."""
        return one_over(self.probability)


def read_labels(sample: Sample, dimension: str) -> Labels:
    """People's labels of a sample's outputs, with the probabilities of those that a queue drew.

    In each stratum of a queue only the completed beginning of its random order counts, with its probability
    lowered to match, and a stratum of adaptive order only when it is complete; probabilities of overlapping
    queues combine. Where labels were imported with
    probabilities, nobody knows those of the other outputs: the cells that have such labels then count as
    reached. A cell of which people answered every output, and from which no queue drew, needs no
    probabilities.
    """
    offsets, size = sample.begins, sum(sample.sizes)
    bounds = np.array([*offsets.values(), size])
    known = truths(sample.store, dimension)
    told = set(known["generation_id"])
    known = known[known["cell_id"].isin(list(offsets))]
    place = {
        g: offsets[c] + p
        for g, c, p in zip(known["generation_id"], known["cell_id"], known["position"], strict=True)
    }
    event = np.full(size, np.nan)
    for generation, code in zip(known["generation_id"], known["code"], strict=True):
        event[place[generation]] = {1: 0.0, 2: 1.0, 3: 1.0}.get(code, np.nan)
    asked, behind, adaptive, reached = (np.zeros(size, dtype=bool) for _ in range(4))
    missed, drawn_alike = np.ones(size), [np.zeros(size, dtype=np.int64)]
    frames, strata_of = queue_frames(sample.store), queue_strata(sample.store)
    items = queue_items(sample.store)
    for queue, rows in items[items["probability"].notna()].groupby("queue", sort=False):
        strata, mine = {s["name"]: s for s in strata_of.get(str(queue), [])}, frames.get(str(queue), {})
        done: dict[str, int] = {}
        for name, stratum in rows.groupby("stratum", sort=False):
            if strata:  # what is left of the queue's frame
                stratum = stratum[stratum["cell_id"].isin({cell for _, cell in mine})]
            ordered = stratum.sort_values("place")
            of_judges = bool(strata.get(str(name), {}).get("adaptive"))
            first = completed(list(ordered["generation_id"].isin(told)), of_judges)
            here = [
                (place[g], p)
                for g, p in zip(
                    ordered["generation_id"].iloc[:first], ordered["probability"].iloc[:first], strict=True
                )
                if g in place
            ]
            asked[[i for i, _ in here]] = True
            (adaptive if of_judges else behind)[
                [place[g] for g in ordered["generation_id"].iloc[first:] if g in place]
            ] = True
            done[str(name)] = first
            if not strata:
                for i, probability in here:
                    missed[i] *= 1 - probability * first / len(ordered)
                    cell = int(np.searchsorted(bounds, i, side="right")) - 1
                    reached[bounds[cell] : bounds[cell + 1]] = True
        if strata:
            sizes = np.bincount(
                np.concatenate([codes for codes in mine.values()] or [np.zeros(0, dtype=np.int64)]),
                minlength=len(strata) + 1,
            )[1:]
            shares = [done.get(name, 0) / n if n else 0.0 for name, n in zip(strata, sizes, strict=True)]
            draws = sorted({s["draw"] for s in strata.values()})
            codes = np.stack(
                [
                    np.concatenate(
                        [
                            mine.get((draw, c), np.zeros(n, dtype=np.int64))
                            for c, n in zip(offsets, np.diff(bounds), strict=True)
                        ]
                    )
                    for draw in draws
                ]
            )
            missed *= 1 - inclusion(codes, shares)
            drawn_alike.append(alike(codes, shares))
    whole = np.zeros(size, dtype=bool)
    whole[list(place.values())] = True
    designed = asked | reached | (missed < 1) | adaptive | behind
    for begin, end in pairwise(
        bounds
    ):  # a cell of which everything is answered, and which no queue drew from, was no sample
        whole[begin:end] &= whole[begin:end].all() and not designed[begin:end].any()
    asked, reached, missed = asked | whole, reached | whole, np.where(whole, 0.0, missed)
    strata_all = np.unique(np.stack(drawn_alike), axis=1, return_inverse=True)[1].ravel().astype(np.int64)
    usable = ~np.isnan(event) & ~asked
    by_hand = int((usable & ~behind & ~adaptive).sum())
    return Labels(
        event,
        1 - missed,
        asked,
        reached | (missed < 1),
        strata_all,
        by_hand,
        int((usable & adaptive).sum()),
        int((usable & behind & ~adaptive).sum()),
        int((asked & np.isnan(event)).sum()),
    )


def _usable_part(sample: Sample, labels: Labels, dimension: str) -> Flags:
    """(outputs,) the cells all of whose outputs could have been labelled.

    Raises:
        CapsafeError: there is none, in a sentence that says why.
    """
    whole = [bool(cell.all()) for cell in np.split(labels.reached, np.cumsum(sample.sizes)[:-1])]
    if any(whole):
        return np.repeat(whole, sample.sizes)
    left_out = int((~labels.reached).sum())
    if labels.adaptive:
        raise CapsafeError(
            f"{labels.adaptive} of these labels come from a queue that takes the most disputed or least "
            "certain outputs first, and that part of it is not finished; until it is, nobody knows how "
            "likely each output was to be labelled.",
            "Finish the queue, or make one with a random share.",
        )
    if labels.asked.any():
        raise CapsafeError(
            f"{left_out} of these {len(labels.reached)} outputs had no chance of being labelled so far: no "
            "queue drew from them at random, or the random part that they belong to has no label yet. "
            "A judge may be wrong more often, or less, on what was left out (it is more often wrong where "
            "judges disagree), so these labels cannot correct a rate over all outputs.",
            "Label on, make a queue with a random share over all of these outputs, or choose the "
            "checkpoints that were drawn from.",
        )
    if labels.behind:
        raise CapsafeError(
            f"{labels.behind} labels wait for earlier items of their queue that nobody has answered yet; "
            "only the completed beginning of a queue's order is a random sample.",
            "Label those, or let somebody else open the queue: items that a person does not come back to "
            "are handed to others after a quarter of an hour.",
        )
    if labels.by_hand:
        raise CapsafeError(HAND_PICKED, HAND_PICKED_HINT)
    raise CapsafeError(
        f"Nobody has labelled the {dimension} of these outputs yet, so there is nothing to compare judges "
        "with.",
        "Label some on the Annotate page, or import labels made elsewhere.",
    )


def correction_table(
    view: View, dimension: str = "safety", checkpoints: Sequence[str] = (), half_width: float = HALF_WIDTH
) -> pd.DataFrame:
    """Each judge of a dimension against people, by stratum, and its rate corrected by their labels.

    Over the outputs of the selected recipes (all where none is selected) to the view's benchmark. Intervals
    and errors are clustered by behaviour. Strata with fewer than 20 labels are pooled.

    Returns:
        judge, stratum, outputs, labels, unusable (cannot tell, or disputed), sensitivity, sensitivity_error,
        specificity, specificity_error, judge_rate, people_rate (Hájek, labels alone); rogan_gladen, ppi and
        their _low, _high; lowest, highest (PPI++ if every unusable label were without, or with, the event);
        claimed (whether 95 % coverage is claimed), why_not; labels_needed (in all, drawn as so far, for a
        PPI++ interval of ± half_width; missing where no number is enough).

    Only over checkpoints all of whose outputs had a chance of being labelled.

    Raises:
        CapsafeError: nobody has labelled these outputs, or only outputs picked by hand or by what judges
            said.
    """
    sample = _population(view, checkpoints)
    labels = read_labels(sample, dimension)
    kept = _usable_part(sample, labels, dimension) & (
        np.ones(sum(sample.sizes), dtype=bool)
        if view.specification.truncated
        else np.concatenate(sample.whole)
    )
    spec = view.specification
    strata = strata_codes(
        np.concatenate(sample.codes(spec.refusal_judge, "refusal")),
        np.concatenate(sample.codes(spec.coherence, "coherence")),
        ~np.concatenate(sample.whole),
    )
    names = np.array(STRATA, dtype=object)[strata]
    counts = {name: int(((names == name) & (labels.probability > 0)).sum()) for name in STRATA}
    small = [name for name in STRATA if counts[name] < MIN_A_CLASS]
    pooled = np.where(np.isin(names, small), POOLED, names) if len(small) > 1 else names
    clusters = np.concatenate(sample.cluster)
    rows = []
    for judge in (seat.name for seat in sample.judges(dimension)):
        codes = np.concatenate(sample.codes(judge, dimension))
        verdict = ((codes == 1) | (codes == 2) | (codes == 3)) & kept
        for stratum in ["all", *dict.fromkeys(pooled)]:
            keep = verdict if stratum == "all" else verdict & (pooled == stratum)
            if keep.any():
                words = f"pooled: {', '.join(small)}" if stratum == POOLED else stratum
                rows.append(
                    {
                        "judge": judge,
                        "stratum": words,
                        **_corrected(labels, (codes >= 2).astype(float), clusters, keep, half_width),
                    }
                )
    return framed(rows, CORRECTED)


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
        "lowest": bounds[0],
        "highest": bounds[1],
        "claimed": not why,
        "why_not": "; ".join(why),
        "labels_needed": labels_needed(data, half_width),
    }


def people_rates(view: View, checkpoints: Sequence[str]) -> dict[str, object] | None:
    """People's unsafe rate on coherent, incoherent and unchecked outputs of some checkpoints, as a row of
    `dumbbell_table`; None where no random label is there."""
    try:
        sample = _population(view, checkpoints)
    except CapsafeError:
        return None
    labels = read_labels(sample, "safety")
    try:
        reached = _usable_part(sample, labels, "safety")
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
    kept = reached & (
        np.ones(len(coherence), dtype=bool) if view.specification.truncated else np.concatenate(sample.whole)
    )
    clusters = np.concatenate(sample.cluster)
    for name, told in BY_COHERENCE.items():
        flags = np.isin(coherence, told) & kept
        weights = labels.weights * flags
        n = int((weights > 0).sum())
        events, trials = (
            np.asarray(np.bincount(clusters, weights=w, minlength=sample.clusters)[None], dtype=np.float64)
            for w in (weights * np.nan_to_num(labels.event), weights)
        )
        rate = float(events.sum() / trials.sum()) if n else np.nan
        low, high = (float(x) for x in wilson(rate * n, n)) if n else (np.nan, np.nan)
        if 0 < rate < 1:
            low, high = percentile_intervals(sample.rates(events, trials)[1])[0] or (low, high)
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
