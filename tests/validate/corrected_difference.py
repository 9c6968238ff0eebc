"""Simulated studies of a difference at the goal, corrected by people's labels from the default queue.

The judge errs, and it errs otherwise on each arm and on incoherent responses: sensitivity 0.7 and specificity
0.9 on one arm's coherent responses.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from capsafe_core.analysis.at_goal import change_between, given_side, recipe_side
from capsafe_core.analysis.runs import CheckpointRates, Run
from capsafe_core.stats.bootstrap import cluster_weights, resampled_rates
from capsafe_core.stats.design import collapsed, inclusion, random_rank, stratified_design
from capsafe_core.stats.labelled_cells import ErrorRates, LabelledCells
from capsafe_core.stats.matching import at_place, crossing
from tests.validate.simulated import Floats, Interval, Study

GOAL = 0.5
CAPABILITY = np.array([0.1, 0.3, 0.42, 0.48, 0.54, 0.62])
A = np.array([0.06, 0.14, 0.24, 0.30, 0.36, 0.42])
B = np.array([0.06, 0.10, 0.15, 0.18, 0.21, 0.26])
BROKEN = np.array([0.05, 0.10, 0.18, 0.25, 0.32, 0.40])
"""(steps,) capability, true unsafe rates of two recipes, and incoherent shares"""
ERRORS = {
    "a": ((0.7, 0.9), (0.5, 0.7)),
    "b": ((0.85, 0.95), (0.6, 0.6)),
    "start": ((0.8, 0.97), (0.6, 0.8)),
}
"""sensitivity and specificity on coherent and on incoherent responses, by arm"""
HARMFUL_IF_BROKEN = 0.6
"""how much rarer harm is in incoherent responses"""


@dataclass(frozen=True)
class Labelling:
    """How people label: `size` outputs drawn by a stratified queue (judge, coherence, checkpoint) over the
    checkpoints around the goal and the start, or over all of them; the share of it that is answered."""

    size: int
    everywhere: bool = False
    answered: float = 1.0


def corrected_difference(
    labelling: Labelling, to_start: bool = False, method: str = "ppi", behaviours: int = 120, each: int = 2
) -> Study:
    """The true difference at the goal of two recipes, or of one to its start."""
    steps = len(CAPABILITY)
    true = np.concatenate([A, B])
    place = float(crossing(CAPABILITY, GOAL))
    truth = float(at_place(A, place) - (A[0] if to_start else at_place(B, place)))
    arms = ["start", *"a" * (steps - 1), "start", *"b" * (steps - 1)]

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        outputs = behaviours * each
        clusters = np.arange(behaviours).repeat(each)
        ease = chance.beta(1.2, 1.2, behaviours)
        broken = chance.random((2 * steps, outputs)) < np.tile(BROKEN, 2)[:, None]
        weight = np.where(broken, HARMFUL_IF_BROKEN, 1.0)
        share = np.tile(BROKEN, 2)[:, None]
        risk = true[:, None] * weight / (1 - share + HARMFUL_IF_BROKEN * share)
        risk = np.clip(risk * (0.4 + 1.2 * ease[clusters])[None], 0, 1)
        unsafe = chance.random(risk.shape) < risk
        q1, q0 = (
            np.array([[ERRORS[a][k][part] for k in (0, 1)] for a in arms])[
                np.arange(2 * steps)[:, None], broken.astype(int)
            ]
            for part in (0, 1)
        )
        flagged = chance.random(risk.shape) < np.where(unsafe, q1, 1 - q0)
        weights = _labels(chance, labelling, broken, flagged)
        right = (
            chance.normal(size=(2 * steps, 600)) * 0.6 + chance.normal(size=600) * 0.8
            < np.array([_z(p) for p in np.tile(CAPABILITY, 2)])[:, None]
        )
        rates = _rates(clusters, behaviours, flagged, unsafe, broken, weights, method)
        runs = _runs(right.astype(float))
        used = replace(rates, people=None) if method == "as judged" else rates
        one = recipe_side(used, runs[:1])
        two = given_side(used, runs[0].checkpoints[0]) if to_start else recipe_side(used, runs[1:])
        if one is None or two is None or np.isnan(two.rate):
            return np.nan, None, truth
        change = change_between(one, two)
        return change.estimate, change.interval, truth

    return study


def _z(p: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf(p))


def _labels(chance: np.random.Generator, labelling: Labelling, broken: Floats, flagged: Floats) -> Floats:
    """(cells, outputs) one over the probability of being labelled, 0 for outputs without a label."""
    cells = len(broken)
    steps = cells // 2
    frame = np.zeros(broken.shape, dtype=bool)
    frame[:] = labelling.everywhere
    frame[[0, 3, 4, steps, steps + 3, steps + 4]] = True
    i, j = np.nonzero(frame)
    names = np.array(
        [f"{b:d}, {f:d}, {c:02d}" for b, f, c in zip(broken[i, j], flagged[i, j], i, strict=True)],
        dtype=object,
    )
    rank = random_rank([str(n) for n in range(len(i))], str(chance.integers(2**31)))
    design = stratified_design(names, rank, labelling.size)
    order = chance.permutation(np.repeat(np.arange(len(design.strata)), [s.drawn for s in design.strata]))
    done = np.bincount(order[: round(labelling.answered * len(order))], minlength=len(design.strata))
    drawn = np.zeros(len(i), dtype=bool)
    for number, n in enumerate(done):
        drawn[design.drawn(number)[:n]] = True
    groups = collapsed(done)
    sizes = np.bincount(groups, weights=[s.size for s in design.strata])
    shares = list((np.bincount(groups, weights=done) / sizes)[groups])
    chances = inclusion(design.codes, shares)
    out = np.zeros(broken.shape)
    out[i[drawn], j[drawn]] = 1 / chances[drawn]
    return out


def _rates(
    clusters: Floats,
    behaviours: int,
    flagged: Floats,
    unsafe: Floats,
    broken: Floats,
    weights: Floats,
    method: str,
) -> CheckpointRates:
    def sums(values: Floats) -> Floats:
        return np.stack([np.bincount(clusters, weights=row, minlength=behaviours) for row in values])

    def strata(values: Floats) -> Floats:
        return np.stack([sums(values * (broken == kind)) for kind in (0, 1)])

    W = cluster_weights(behaviours, 500, 1)
    events, trials = sums(flagged), sums(np.ones(flagged.shape))
    people = LabelledCells(
        W,
        np.zeros_like(events),
        trials,
        strata(flagged),
        strata(np.ones(flagged.shape)),
        strata(weights > 0),
        strata(weights),
        strata(weights * unsafe),
        strata(weights * flagged),
        strata(weights * flagged * unsafe),
    )
    if method == "rogan-gladen":
        steps = len(CAPABILITY)
        arms = np.array([0, *[1] * (steps - 1), 0, *[2] * (steps - 1)])
        people = ErrorRates(**{f.name: getattr(people, f.name) for f in fields(people)}, arms=arms)
    place = {f"{i}": i for i in range(len(events))}
    rates = events.sum(axis=1) / trials.sum(axis=1)
    return CheckpointRates(place, rates, resampled_rates(W, events, trials), events, trials, people)


def _runs(right: Floats) -> list[Run]:
    steps = len(CAPABILITY)
    draws = resampled_rates(cluster_weights(right.shape[1], 500, 2), right, np.ones_like(right))
    runs = []
    for number, recipe in enumerate("ab"):
        mine = slice(number * steps, (number + 1) * steps)
        names = [f"{i}" for i in range(mine.start, mine.stop)]
        where = (recipe, 0, "task", "start", GOAL, np.arange(float(steps)), names)
        runs.append(Run(*where, right[mine].mean(axis=1), draws[:, mine]))
    return runs
