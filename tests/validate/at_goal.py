"""Simulated studies of rates at a goal and of their differences, by the functions that the screens use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import beta, norm

from capsafe_core.analysis.at_goal import Side, change_between, given_side, recipe_side
from capsafe_core.analysis.runs import CheckpointRates, Run
from capsafe_core.specification import Crossing
from capsafe_core.stats.bootstrap import cluster_weights, resampled_rates
from capsafe_core.stats.intervals import newcombe, wilson
from capsafe_core.stats.matching import at_place, crossing
from capsafe_core.stats.resampled import Resampled, difference
from capsafe_core.stats.specification import joint_test
from capsafe_core.stats.worst_of_k import worst_of_k
from tests.validate.simulated import Floats, Interval, Study, answers

GOAL = 0.5


@dataclass(frozen=True)
class Path:
    """What one run truly is: (steps,) capability and unsafe rates; `there` the true rate at the goal where
    the path does not run straight between its checkpoints."""

    capability: Floats
    unsafe: Floats
    there: float | None = None

    def at_goal(self, goal: float, rule: str) -> float:
        if self.there is not None:
            return self.there
        return float(at_place(self.unsafe, crossing(self.capability, goal, rule, self.unsafe)))


A = Path(
    np.array([0.1, 0.25, 0.43, 0.47, 0.53, 0.57, 0.8]), np.array([0.08, 0.15, 0.28, 0.32, 0.4, 0.45, 0.5])
)
B = Path(
    np.array([0.1, 0.3, 0.42, 0.48, 0.52, 0.58, 0.75]), np.array([0.08, 0.12, 0.2, 0.21, 0.22, 0.25, 0.4])
)
"""checkpoints close enough around the goal"""
APART = Path(np.array([0.1, 0.25, 0.45, 0.7, 0.8]), np.array([0.08, 0.15, 0.3, 0.45, 0.5]))
"""checkpoints further apart, between which the path runs straight"""
FAR = Path(np.array([0.1, 0.3, 0.8]), np.array([0.05, 0.1, 0.5]), there=0.14)
"""far-apart checkpoints, between which safety falls late: a straight line says 0.26"""
RARE = Path(np.array([0.1, 0.25, 0.47, 0.53, 0.8]), np.array([0.005, 0.005, 0.01, 0.02, 0.03]))
NEVER = Path(np.array([0.1, 0.25, 0.47, 0.53, 0.8]), np.array([0.002, 0.002, 0.002, 0.002, 0.002]))
STALLED = Path(np.array([0.1, *[0.44] * 8]), np.array([0.08, *[0.3] * 8]))
"""stays 6 pts below the goal: one that stops there stops by chance"""
EDGE = Path(np.array([0.1, 0.3, 0.42, 0.48, 0.54]), np.array([0.08, 0.12, 0.2, 0.3, 0.35]))
"""ends just above the goal: resamples that do not get there are left out of what is told"""


@dataclass(frozen=True)
class Design:
    """What is asked: capability items, behaviours and prompts of each."""

    items: int = 200
    behaviours: int = 100
    each: int = 2
    resamples: int = 500


USUAL = Design()


def measured(
    chance: np.random.Generator,
    paths: Sequence[tuple[str, Path]],
    design: Design = USUAL,
    rule: Crossing = Crossing.FIRST,
) -> tuple[list[Run], CheckpointRates]:
    """Runs as a study measures them.

    Args:
        paths: (recipe, path) of each run.
    """
    right = answers(chance, np.concatenate([p.capability for _, p in paths]), design.items).sum(axis=2)
    harmful = answers(
        chance, np.concatenate([p.unsafe for _, p in paths]), design.behaviours, design.each
    ).sum(axis=2)
    task = resampled_rates(cluster_weights(design.items, design.resamples, 2), right, np.ones_like(right))
    trials = np.full_like(harmful, float(design.each))
    draws = resampled_rates(cluster_weights(design.behaviours, design.resamples, 1), harmful, trials)
    runs, place, begin = [], {}, 0
    for number, (recipe, path) in enumerate(paths):
        end = begin + len(path.capability)
        names = [f"{number} {step}" for step in range(end - begin)]
        place |= {name: begin + i for i, name in enumerate(names)}
        steps = np.arange(end - begin, dtype=float)
        where = (recipe, number, "task", "start", GOAL, steps, names)
        runs.append(Run(*where, right[begin:end].mean(axis=1), task[:, begin:end], rule=rule))
        begin = end
    return runs, CheckpointRates(place, harmful.mean(axis=1) / design.each, draws, harmful, trials)


def rate_at_goal(path: Path, rule: Crossing = Crossing.FIRST, design: Design = USUAL) -> Study:
    """The unsafe rate of one run at its goal."""

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        [run], rates = measured(chance, [("a", path)], design, rule)
        side = recipe_side(rates, [run])
        if side is None:
            return np.nan, None, 0.0
        return side.rate, side.interval(), path.at_goal(GOAL, rule)

    return study


def difference_at_goal(
    a: Path, b: Path | None = None, rule: Crossing = Crossing.FIRST, seeds: int = 1, design: Design = USUAL
) -> Study:
    """The difference at the goal of one path against another, or against its own start; the seeds of a recipe
    are truly alike."""
    truth = a.at_goal(GOAL, rule) - (float(a.unsafe[0]) if b is None else b.at_goal(GOAL, rule))

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        paths = [("a", a)] * seeds + ([] if b is None else [("b", b)])
        runs, rates = measured(chance, paths, design, rule)
        one = recipe_side(rates, runs[:seeds])
        two = given_side(rates, runs[0].checkpoints[0]) if b is None else recipe_side(rates, runs[seeds:])
        if one is None or two is None:
            return np.nan, None, truth
        change = change_between(one, two)
        return change.estimate, change.interval, truth

    return study


def stopped(path: Path, tolerance: float, false_match: bool = False, design: Design = USUAL) -> Study:
    """The unsafe rate of a run whose training stops at the first checkpoint that reaches the goal on items of
    its own, compared where it stopped.

    Args:
        false_match: whether to ask, instead, if it is compared though its capability is further below the
            goal than the tolerance; studies in which it is not compared make no mistake.
    """

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        probe = answers(chance, path.capability, design.items).mean(axis=(1, 2))
        end = int(np.argmax(probe >= GOAL)) + 1 if (probe >= GOAL).any() else len(probe)
        walked = Path(path.capability[:end], path.unsafe[:end])
        [run], rates = measured(chance, [("a", walked)], design)
        side = recipe_side(rates, [replace(run, rule=Crossing.STOPPED, tolerance=tolerance)])
        if false_match:
            wrong = side is not None and walked.capability[-1] < GOAL - tolerance
            return 0.0, (1.0, 1.0) if wrong else (-1.0, 1.0), 0.0
        if side is None:
            return np.nan, None, 0.0
        return side.rate, side.interval(), float(walked.unsafe[-1])

    return study


def seeds_apart(seeds: int, spread: float, recipes: int = 2, start: bool = False, rate: float = 0.3) -> Study:
    """Recipes that are the same, whose runs differ: the difference of two, or of one to its start, by the
    interval that verbs stand on. The truth is not a difference."""

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        rates = np.clip(chance.normal(rate, spread, seeds * recipes), 0.01, 0.99)
        unsafe = answers(chance, np.append(rates, rate), 100, 2).sum(axis=2)
        draws = resampled_rates(cluster_weights(100, 1000, 1), unsafe, np.full_like(unsafe, 2.0))
        observed = unsafe.mean(axis=1) / 2
        sides = [
            Side(observed[i : i + seeds], draws[:, i : i + seeds], 100, 200)
            for i in range(0, seeds * recipes, seeds)
        ]
        given = Side(observed[-1:], draws[:, -1:], 100, 200, trained=False)
        change = change_between(sides[0], given if start else sides[1], [side.rates for side in sides])
        return change.estimate, change.with_seeds, 0.0

    return study


def over_seeds(seeds: int, spread: float) -> Study:
    """The mean rate of a recipe whose training seeds differ, over the seeds that it might have had."""

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        rates = np.clip(chance.normal(0.3, spread, seeds), 0.02, 0.98)
        unsafe = answers(chance, rates, 100, 2).sum(axis=2)
        draws = resampled_rates(cluster_weights(100, 1000, 1), unsafe, np.full_like(unsafe, 2.0))
        side = Side(unsafe.mean(axis=1) / 2, draws, 100, 200)
        return side.rate, side.interval([side.rates]), 0.3

    return study


def one_rate(low: float, high: float, n: int = 100) -> Study:
    """A rate of its own for each study: at one fixed rate Wilson's coverage jumps with the rate, because
    counts are whole numbers."""

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        rate = float(chance.uniform(low, high))
        k = int(chance.binomial(n, rate))
        bottom, top = wilson(k, n)
        return k / n, (float(bottom), float(top)), rate

    return study


def two_rates(one: float, two: float, n: int = 100) -> Study:
    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        k, m = (int(chance.binomial(n, p)) for p in (one, two))
        return (k - m) / n, newcombe(k, n, m, n), one - two

    return study


def success_among(k: int, answers_each: int = 5, behaviours: int = 100, each: int = 2) -> Study:
    """The chance that the worst of k responses to a prompt is unsafe; one behaviour's prompts go together."""
    prompts = behaviours * each
    clusters = np.arange(behaviours).repeat(each)
    grid = np.linspace(0.0005, 0.9995, 1000)
    truth = float((1 - (1 - beta.ppf(grid, 0.6, 2.0)) ** k).mean())

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        hard = chance.normal(size=behaviours)[clusters] * 0.8 + chance.normal(size=prompts) * 0.6
        risk = beta.ppf(norm.cdf(hard), 0.6, 2.0)
        unsafe = chance.binomial(answers_each, risk).astype(float)
        worst = worst_of_k(unsafe, np.full(prompts, answers_each), k)
        events = np.bincount(clusters, weights=worst)[None]
        trials = np.full((1, behaviours), float(each))
        draws = resampled_rates(cluster_weights(behaviours, 500, 1), events, trials)
        found = Resampled(float(worst.mean()), draws[:, 0], behaviours)
        return found.rate, found.interval(), truth

    return study


def no_difference(judges: int, test: str, behaviours: int = 100) -> Study:
    """Two arms that are the same, by judges that err alike or apart: whether the joint test of all variants
    says that something differs; the interval holds the truth where it does not."""

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        unsafe = answers(chance, np.array([0.25, 0.25]), behaviours).squeeze(2)
        miss = chance.uniform(0.05, 0.4, judges)[:, None, None]
        wrong = chance.random((judges, 2, behaviours)) < miss
        verdicts = np.where(wrong, 1 - unsafe, unsafe).reshape(2 * judges, behaviours)
        draws = resampled_rates(cluster_weights(behaviours, 500, 1), verdicts, np.ones_like(verdicts))
        rates = [Resampled(float(v.mean()), draws[:, i], behaviours) for i, v in enumerate(verdicts)]
        pairs = list(zip(rates[::2], rates[1::2], strict=True))
        ends = np.array([difference(a, b) or (np.nan, np.nan) for a, b in pairs])
        change = np.column_stack([a.draws - b.draws for a, b in pairs])
        found = joint_test([a.rate - b.rate for a, b in pairs], change, ends[:, 0], ends[:, 1])
        p = 1.0 if found is None else float(getattr(found, test))
        return 0.0, (-1.0, 1.0) if p > 0.05 else (1.0, 1.0), 0.0

    return study
