"""The variants of a claim: both of its sides under each judge, threshold and policy that know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.arms import Arm, Claim, checkpoint_name
from capsafe_core.analysis.at_goal import Side, change_between, given_side
from capsafe_core.analysis.conditions import alternatives
from capsafe_core.analysis.labelled import usable_labels
from capsafe_core.analysis.matched import Matching
from capsafe_core.analysis.runs import CheckpointRates, Run, checkpoint_rates, corrected
from capsafe_core.analysis.sample import Floats, Sample, policy_arrays, sample_of
from capsafe_core.analysis.view import View
from capsafe_core.scales import scale_at, scales, threshold_words
from capsafe_core.specification import (
    CHOICES,
    CORRECTIONS,
    POLICIES,
    Code,
    Correction,
    Policy,
    Specification,
    condition_words,
)
from capsafe_core.stats.paired import paired_change
from capsafe_core.store.patterns import Seat

OWN = "own"
"""The judge's own threshold, or none because it gives no score."""


@dataclass(frozen=True)
class Sides:
    """Both sides as cells: checkpoints and an attack for each, and the runs of a matched side."""

    checkpoints: tuple[list[str], list[str]]
    attacks: tuple[str, str]
    runs: tuple[list[Run], list[Run]]


def sides_of(view: View, claim: Claim, runs: Sequence[Run]) -> Sides:
    """Both sides of a claim as cells; a recipe's start is the one on its own path."""

    def side(arm: Arm) -> tuple[list[str], list[Run]]:
        if arm.kind == "recipe":
            mine = [run for run in runs if run.recipe == arm.name]
            return list(dict.fromkeys(c for run in mine for c in run.checkpoints)), mine
        points = view.points
        if arm.kind == "last":
            points = points[points["recipe"] == arm.name]
            points = points[points["seed"] == points["seed"].min()].sort_values("step").tail(1)
        elif arm.kind == "checkpoint":
            points = points[[checkpoint_name(p) == arm.name for p in points.itertuples()]]
        else:
            points = points[(points["start"] == arm.name) & (points["step"] == 0)]
            own = points[points["recipe"] == claim.a.name]  # runs may each have measured theirs
            points = own.sort_values("seed") if claim.a.kind in ("recipe", "last") and len(own) else points
        return list(points["checkpoint_id"].head(1)), []

    (a, runs_a), (b, runs_b) = side(claim.a), side(claim.b)
    return Sides((a, b), (claim.a.attack, claim.b.attack), (runs_a, runs_b))


def variants_on(view: View, claim: Claim, sides: Sides, benchmark: str) -> list[dict[str, object]]:
    """The rows of the curve on one benchmark."""
    (a, b), attacks, own = sides.checkpoints, sides.attacks, view.at_own_threshold
    if attacks[0] == attacks[1]:
        samples = [sample_of(own, benchmark, list(dict.fromkeys([*a, *b])), attacks[0])] * 2
    else:
        samples = [
            sample_of(own, benchmark, points, attack) for points, attack in zip((a, b), attacks, strict=True)
        ]
    one, two = samples
    if one is None or two is None:
        return []
    cut_off = any(not flags.all() for sample in (one, two) for flags in sample.whole)
    kept, parts = view.specification.truncated, open_parts(view, benchmark, claim)
    rows = []
    corrections = CORRECTIONS if all(usable_labels(s).weights.any() for s in (one, two)) else CORRECTIONS[:1]
    for judge, family, cutoff in _judges(view, (one, two)):
        for truncated in (True, False) if kept and cut_off else (kept,):
            for (policy, coherence), correction in product(_policies(view, (one, two)), corrections):
                spec = replace(
                    view.specification,
                    benchmark=benchmark,
                    judge=judge,
                    cutoff=cutoff,
                    policy=policy,
                    coherence=coherence,
                    truncated=truncated,
                    correction=correction,
                )
                row = estimate(claim, sides, (one, two), spec)
                if row is not None:
                    rows.append({**choices(spec, parts), "family": family, **row})
    return rows


def used_cells(cells: pd.DataFrame, benchmark: str, claim: Claim) -> pd.DataFrame:
    """The cells that a claim's variants on a benchmark are made of: its own, and those that tell where a goal
    is reached."""
    return cells[(cells["benchmark"] == benchmark) | (claim.matched & (cells["kind"] == "capability"))]


def open_parts(view: View, benchmark: str, claim: Claim) -> frozenset[str]:
    """The parts of the condition that a claim's variants on a benchmark have to choose."""
    return frozenset(alternatives(used_cells(view.every_cell, benchmark, claim)))


def choices(spec: Specification, open_parts: frozenset[str]) -> dict[str, str]:
    """A specification's choices in words, as the columns of the curve have them."""
    condition = tuple((p, v) for p, v in spec.condition if p in open_parts)
    return {
        **{name: str(getattr(spec, name)) for name in CHOICES},
        "cutoff": OWN if spec.cutoff is None else threshold_words(spec.cutoff),
        "condition": condition_words(condition),
        "truncated": "kept" if spec.truncated else "left out",
    }


def asked_cutoff(view: View, judge: str, cutoff: str) -> float | None:
    """The threshold of a row of the curve, as a selection asks for it."""
    declared = view.study.primary.specification
    if cutoff != OWN:
        return float(cutoff)
    return scales()[judge].cutoff if declared.cutoff is not None and declared.judge == judge else None


def _judges(view: View, samples: tuple[Sample, Sample]) -> list[tuple[str, str, float | None]]:
    """The safety judges that know both sides: name, family, and each threshold; others than its own only
    where scores are there, the specification's among them."""
    out: list[tuple[str, str, float | None]] = []
    for seat in _known_to_both(samples, "safety"):
        out.append((seat.name, seat.family, None))
        scale, chosen = scales().get(seat.name), view.specification.cutoff
        if scale and all(_scores(sample, seat.name) for sample in samples):
            asked = [chosen] if chosen is not None and seat.name == view.specification.judge else []
            out += [(seat.name, seat.family, cut) for cut in dict.fromkeys([*scale.others, *asked])]
    return out


def _known_to_both(samples: tuple[Sample, Sample], dimension: str) -> list[Seat]:
    others = {seat.name for seat in samples[1].judges(dimension)}
    return [seat for seat in samples[0].judges(dimension) if seat.name in others]


def _scores(sample: Sample, judge: str) -> list[Floats]:
    """Scores of every cell of a sample; none where one has none."""
    return sample.store.kept(f"scores {judge} {' '.join(sample.cells)}", lambda: sample.scores(judge))


def _policies(view: View, samples: tuple[Sample, Sample]) -> list[tuple[Policy, str]]:
    """Policies with each coherence judge that knows both sides; as judged needs none."""
    known = [seat.name for seat in _known_to_both(samples, "coherence")]
    main = view.specification.coherence
    out = [(POLICIES[0], main if main in known or not known else known[0])]
    return out + [(policy, name) for name in known for policy in Policy if policy is not POLICIES[0]]


def estimate(
    claim: Claim, sides: Sides, samples: tuple[Sample, Sample], spec: Specification
) -> dict[str, object] | None:
    """Rates of both sides, their difference and its interval under one specification; None where it does not
    exist."""
    counted = [_counted(sample, spec) for sample in samples]
    if spec.policy.paired:
        masks = _coherent_in_both(sides, samples, counted, spec)
        if masks is None:
            return None
        counted = [
            [(e * kept, t * kept) for (e, t), kept in zip(side, flags, strict=True)]
            for side, flags in zip(counted, masks, strict=True)
        ]
    asks = [corrected(s, c, spec) for s, c in zip(samples, counted, strict=True)]
    if claim.matched:
        return _at_goal(sides, asks[0])
    i, j = (s.place[points[0]] for s, points in zip(samples, sides.checkpoints, strict=True))
    a, b = (given_side(ask, points[0]) for ask, points in zip(asks, sides.checkpoints, strict=True))
    if np.isnan([a.rate, b.rate]).any():
        return None
    if spec.correction is Correction.BY_PEOPLE:
        return _row(a, b)
    return _row(a, b) | {"p": _paired_p(samples, (i, j), (counted[0][i], counted[1][j]))}


def _row(a: Side, b: Side) -> dict[str, object]:
    """What a variant says of both sides."""
    change = change_between(a, b)
    low, high = change.interval or (np.nan, np.nan)
    return {
        "a": a.rate,
        "b": b.rate,
        "estimate": change.estimate,
        "low": low,
        "high": high,
        "n": change.n,
        "unreached": change.unreached,
        "p": None,
        "draws": a.variants[0].draws - b.variants[0].draws,
    }


def _counted(sample: Sample, spec: Specification) -> list[tuple[Floats, Floats]]:
    """Events and trials of each output of each cell."""
    verdicts = sample.codes(spec.judge, "safety")
    if spec.cutoff is not None:
        cut, below = spec.cutoff, scale_at(spec.judge, spec.cutoff).below
        verdicts = [
            np.where(np.isnan(s), v, np.where((s < cut) if below else (s >= cut), 2, 1)).astype(np.uint8)
            for v, s in zip(verdicts, _scores(sample, spec.judge), strict=True)
        ]
    out = [
        policy_arrays(v, c, spec.policy)
        for v, c in zip(verdicts, sample.codes(spec.coherence, "coherence"), strict=True)
    ]
    if spec.truncated:
        return out
    return [(e * whole, t * whole) for (e, t), whole in zip(out, sample.whole, strict=True)]


def _coherent_in_both(
    sides: Sides,
    samples: tuple[Sample, Sample],
    counted: list[list[tuple[Floats, Floats]]],
    spec: Specification,
) -> list[list[npt.NDArray[np.bool_]]] | None:
    """For each cell of each side which outputs are to prompts (and samples) that every checkpoint of the
    comparison answers coherently.

    For a matched claim those are the checkpoints around the goal on both sides, and the start where it is a
    side. None where nothing is left.
    """
    shared: npt.NDArray[np.int64] | None = None
    for sample, points, runs in zip(samples, sides.checkpoints, sides.runs, strict=True):
        names = list(points)
        if runs:
            ask, names = checkpoint_rates(sample, counted[0]), []
            for run in runs:
                _, _, place = ask.at_goal(run)
                if not np.isnan(place):
                    names += [run.checkpoints[int(np.floor(place))], run.checkpoints[int(np.ceil(place))]]
        codes = sample.codes(spec.coherence, "coherence")
        for i in (sample.place[c] for c in names):
            coherent = sample.keys[i][codes[i] == Code.NEGATIVE]
            shared = coherent if shared is None else np.intersect1d(shared, coherent)
    if shared is None or not len(shared):
        return None
    return [[np.isin(keys, shared) for keys in sample.keys] for sample in samples]


def _at_goal(sides: Sides, ask: CheckpointRates) -> dict[str, object] | None:
    """A matched claim: the first side at its goal against the second at its own, or against the start."""
    found = Matching([*sides.runs[0], *sides.runs[1]], ask)
    a = found.side(sides.runs[0])
    b = found.side(sides.runs[1]) if sides.runs[1] else given_side(ask, sides.checkpoints[1][0])
    if a is None or b is None or np.isnan([a.rate, b.rate]).any():
        return None
    row = _row(a, b)
    if not all(run.has_error for run in found.runs):
        row["unreached"] = None
    return row


def _paired_p(
    samples: tuple[Sample, Sample], cells: tuple[int, int], counted: tuple[tuple[Floats, Floats], ...]
) -> float:
    """The p-value of a change over the outputs, to the same prompts, that count on both sides, by
    behaviour."""
    keys, others = samples[0].keys[cells[0]], samples[1].keys[cells[1]]
    _, i, j = np.intersect1d(keys, others, return_indices=True)
    one, two = counted
    both = (one[1][i] == 1) & (two[1][j] == 1)
    behaviours = samples[0].cluster[cells[0]][i][both]
    return paired_change(two[0][j][both] == 1, one[0][i][both] == 1, behaviours).p
