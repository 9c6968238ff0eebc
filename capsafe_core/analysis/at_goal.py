"""A recipe at its capability goal over its training seeds, what it changes there, and what may be said of
that.

A number is of the runs that were made. A verb (safer, less safe) is of a recipe, so it stands on an interval
that includes training seeds, and is withheld where nobody can know how much a seed changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import numpy as np

from capsafe_core.analysis.runs import CheckpointRates, Run
from capsafe_core.analysis.sample import Floats
from capsafe_core.stats.intervals import interval_p
from capsafe_core.stats.matching import at_place
from capsafe_core.stats.resampled import Interval, Resampled, difference_between, interval_of
from capsafe_core.stats.seeds import SeedSpread, own_noise, seed_spread, with_seeds

WIDE_GAP = 0.1
"""A capability gap above this, between the checkpoints around a goal, leaves open where in it the rate is."""


class Verdict(StrEnum):
    """What the change of a recipe allows to be said; `verdict_words` says it."""

    LESS_SAFE = "less safe"
    SAFER = "safer"
    OPEN = "open"
    WITHHELD = "withheld"
    """too few seeds to know how much one changes, or no interval"""


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a recipe at its goal over its seeds, or a checkpoint that is given.

    Attributes:
        rates: (runs,) unsafe rates of the runs that reach the goal; of the checkpoint, one.
        draws: (resamples, runs).
        n: independent outputs behind a rate (behaviours), and `outputs` that count in it.
        around: (2, runs) rates of the checkpoints below and above the goal, and `around_draws`
            (2, resamples, runs), where those of a run are more than WIDE_GAP apart (else the run's own rate);
            empty where no run's are.
        trained: whether other seeds would give other rates.
    """

    rates: Floats
    draws: Floats
    n: int
    outputs: int
    around: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    around_draws: Floats = field(default_factory=lambda: np.zeros((0, 0, 0)))
    trained: bool = True

    @property
    def rate(self) -> float:
        """The mean over runs."""
        return float(self.rates.mean())

    @property
    def is_wide(self) -> bool:
        """Whether checkpoints around the goal are far apart."""
        return bool(len(self.around))

    @cached_property
    def variants(self) -> list[Resampled]:
        """The mean rate, and what it is at the checkpoints around the goal where those are far apart."""
        return [
            Resampled(float(rates.mean()), draws.mean(axis=1), self.n)
            for rates, draws in zip([self.rates, *self.around], [self.draws, *self.around_draws], strict=True)
        ]

    @property
    def unreached(self) -> float:
        """The share of resamples in which a run does not reach the goal."""
        return self.variants[0].missing

    def spread(self, recipes: Sequence[Floats]) -> SeedSpread | None:
        """How much a seed changes, given the rates of every recipe; None where nobody can know."""
        return seed_spread(self.rates, recipes)

    def interval(self, recipes: Sequence[Floats] = ()) -> Interval | None:
        """The interval of the mean rate: with the seeds where there are enough of its own, else conditional
        on them."""
        found, spread = interval_of(self.variants), self.spread(recipes)
        if found is None or spread is None or spread.pooled:
            return found
        prompts = float(np.nanvar(self.variants[0].draws))
        return _within(with_seeds(self.rate, *found, prompts, [self._seeds(spread)]), 0.0)

    def _seeds(self, spread: SeedSpread) -> tuple[int, float, SeedSpread]:
        return len(self.rates), own_noise(self.draws), spread


def given_side(unsafe: CheckpointRates, checkpoint: str) -> Side:
    """A checkpoint as a side: nothing about it would be another with another seed."""
    counted = unsafe.trials[unsafe.place[checkpoint]]
    rate, draws = unsafe.of(checkpoint)
    return Side(
        np.array([rate]),
        draws[:, None],
        int((counted > 0).sum()),
        int(counted.sum()),
        trained=False,
    )


def recipe_side(unsafe: CheckpointRates, runs: Sequence[Run], goal: float | None = None) -> Side | None:
    """A recipe at its goal; None where no run reaches it.

    Args:
        goal: instead of the runs' own.
    """
    sides = [side for run in runs if (side := _run_side(unsafe, run, goal)) is not None]
    if not sides:
        return None
    rates = np.concatenate([side.rates for side in sides])
    draws = np.concatenate([side.draws for side in sides], axis=1)
    around, around_draws = np.zeros((0, 0)), np.zeros((0, 0, 0))
    if any(side.is_wide for side in sides):
        around = np.concatenate([s.around if s.is_wide else np.stack([s.rates] * 2) for s in sides], axis=1)
        around_draws = np.concatenate(
            [s.around_draws if s.is_wide else np.stack([s.draws] * 2) for s in sides], axis=2
        )
    return Side(
        rates,
        draws,
        min(side.n for side in sides),
        min(side.outputs for side in sides),
        around,
        around_draws,
    )


def _run_side(unsafe: CheckpointRates, run: Run, goal: float | None) -> Side | None:
    rate, draws, place = unsafe.at_goal(run, goal)
    if np.isnan(rate):
        return None
    ends = [int(np.floor(place)), int(np.ceil(place))]
    trials = unsafe.trials[[unsafe.place[run.checkpoints[i]] for i in ends]]
    around, around_draws = np.zeros((0, 0)), np.zeros((0, 0, 0))
    if abs(run.capability[ends[1]] - run.capability[ends[0]]) > WIDE_GAP:
        neighbours = [unsafe.of(run.checkpoints[i]) for i in ends]
        around = np.array([[rate] for rate, _ in neighbours])
        around_draws = np.stack([draws[:, None] for _, draws in neighbours])
    return Side(
        np.array([rate]),
        draws[:, None],
        int((trials > 0).sum(axis=1).min()),
        round(float(at_place(trials.sum(axis=1), place - ends[0]))),
        around,
        around_draws,
    )


@dataclass(frozen=True)
class Change:
    """The difference of two sides, the first minus the second.

    Attributes:
        estimate: of the mean rates.
        interval: as it is printed: with the seeds where each trained side has enough of its own, else
            conditional on them. None where too many resamples are out of reach.
        with_seeds: the interval that a verb stands on; None where nobody can know how much a seed changes.
        seeds: "own", "pooled" (assumed to spread alike for all recipes), "none" where no side was trained, ""
            where it is not known.
        unreached: share of resamples in which a side is out of reach.
        is_wide: whether checkpoints around a goal are far apart, so that the interval holds their rates too.
        n: outputs that the rates count, of the side that has fewer.
        runs: training seeds of the side that has fewer, of the sides that were trained.
    """

    estimate: float
    interval: Interval | None
    with_seeds: Interval | None
    seeds: str
    unreached: float
    is_wide: bool
    n: int
    runs: int

    @property
    def direction(self) -> int | None:
        """1 or -1 where the interval that a verb stands on leaves zero out on that side, 0 where it does not;
        None where there is none."""
        if self.with_seeds is None:
            return None
        low, high = self.with_seeds
        return 1 if low > 0 else -1 if high < 0 else 0

    @property
    def verdict(self) -> Verdict:
        """What may be said of the recipes."""
        told = {1: Verdict.LESS_SAFE, -1: Verdict.SAFER, 0: Verdict.OPEN, None: Verdict.WITHHELD}
        return told[self.direction]

    @property
    def p(self) -> float | None:
        """Of no difference, by the interval with seeds where there is one; None without an interval."""
        told = self.with_seeds or self.interval
        return None if told is None else interval_p(self.estimate, *told)


def change_between(a: Side, b: Side, recipes: Sequence[Floats] = (), level: float = 0.95) -> Change:
    """What changes from side b to side a.

    Args:
        recipes: the rates over seeds of every recipe of the study at its goal, from which the spread of seeds
            is pooled.
    """
    estimate = a.rate - b.rate
    draws = a.variants[0].draws - b.variants[0].draws
    found = difference_between(a.variants, b.variants, level)
    spreads = [(side, side.spread(recipes)) for side in (a, b) if side.trained]
    known = [side._seeds(spread) for side, spread in spreads if spread is not None]
    seeds = ""
    if len(known) == len(spreads):
        seeds = "none" if not known else "pooled" if any(spread.pooled for *_, spread in known) else "own"
    whole = None
    if found is not None and seeds:
        prompts = float(np.nanvar(draws))
        whole = found if not known else _within(with_seeds(estimate, *found, prompts, known, level), -1.0)
    return Change(
        estimate,
        whole if seeds == "own" else found,
        whole,
        seeds,
        float(np.isnan(draws).mean()),
        a.is_wide or b.is_wide,
        min(a.outputs, b.outputs),
        min((len(side.rates) for side in (a, b) if side.trained), default=1),
    )


def _within(interval: Interval, lowest: float) -> Interval:
    return max(interval[0], lowest), min(interval[1], 1.0)
