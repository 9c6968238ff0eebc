"""Runs that can be compared at a capability goal, and the unsafe rates of their checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.sample import CAPABILITY_SEED, RESAMPLES, Sample, sample_of
from capsafe_core.analysis.view import View
from capsafe_core.records import digest_text
from capsafe_core.stats.matching import at_place, crossing, detectable, plateau

Floats = npt.NDArray[np.float64]


class Standing(StrEnum):
    """Where a run stands to its goal; only a run that reaches it is compared there."""

    REACHED = "reached"
    NOT_REACHED = "not reached"
    AT_START = "start at or above the goal"
    PLATEAU = "plateau"


@dataclass(frozen=True)
class Run:
    """A path of one recipe and seed, with its capability.

    Attributes:
        steps: (steps,) training steps, and `checkpoints` their ids.
        capability: (steps,); `capability_draws` (resamples, steps) the same in each resample.
        paired: whether the capability was measured item by item, so that resamples are shared with other
            checkpoints; where it is known only in aggregate, draws are Normal(value, standard error).
        plateau: whether the capability measure does not separate the checkpoints, so that a match at a goal
            would mean nothing.
        detectable: the difference between two checkpoints that it would show in 80 % of studies.
    """

    recipe: str
    seed: int
    dataset: str
    start: str
    goal: float
    steps: Floats
    checkpoints: list[str]
    capability: Floats
    capability_draws: Floats
    paired: bool = True
    plateau: bool = False
    detectable: float = float("nan")

    @property
    def has_start(self) -> bool:
        """Whether the first checkpoint is the start; else nothing can be said against it."""
        return bool(self.steps[0] == 0)

    @property
    def has_error(self) -> bool:
        """Whether its capability is known with a standard error, without which no interval can be given."""
        return not bool(np.isnan(self.capability_draws).all())

    @property
    def standing(self) -> Standing:
        """Where the run stands to its goal, by its capability alone."""
        return self.standing_at(self.goal)

    def standing_at(self, goal: float) -> Standing:
        """Where the run stands to some goal. One that its first checkpoint has already would compare that one
        with itself."""
        if self.plateau:
            return Standing.PLATEAU
        if self.capability[0] >= goal:
            return Standing.AT_START
        return Standing.REACHED if self.capability.max() >= goal else Standing.NOT_REACHED


@dataclass(frozen=True)
class CheckpointRates:
    """Unsafe rates of checkpoints under one specification.

    Attributes:
        place: checkpoint -> its column.
        rates: (checkpoints,); `draws` (resamples, checkpoints).
        events, trials: (checkpoints, behaviours).
    """

    place: dict[str, int]
    rates: Floats
    draws: Floats
    events: Floats
    trials: Floats

    def along(self, run: Run) -> tuple[Floats, Floats]:
        """Rates along a run, (steps,), and in each resample, (resamples, steps)."""
        columns = [self.place[c] for c in run.checkpoints]
        return self.rates[columns], self.draws[:, columns]

    def at_goal(self, run: Run, rule: str, goal: float | None = None) -> tuple[float, Floats, float]:
        """A run's rate at the goal, (resamples,) of it, and the place on the path; NaN where the run does not
        reach it after its first checkpoint."""
        rates, draws = self.along(run)
        target = run.goal if goal is None else goal
        if run.standing_at(target) in (Standing.PLATEAU, Standing.AT_START):
            return np.nan, np.full(len(draws), np.nan), np.nan
        place = float(crossing(run.capability, target, rule, rates))
        return (
            float(at_place(rates, place)),
            at_place(draws, crossing(run.capability_draws, target, rule, draws)),
            place,
        )


def checkpoint_rates(sample: Sample, counted: Sequence[tuple[Floats, Floats]]) -> CheckpointRates:
    """Rates of a sample's cells, by checkpoint.

    Args:
        counted: events and trials of each output of each cell.
    """
    events, trials = sample.sums(counted)
    rates, draws = sample.rates(events, trials)
    return CheckpointRates(sample.place, rates, draws, events, trials)


def matched_runs(view: View, paths: pd.DataFrame) -> list[Run]:
    """The runs that can be compared at a goal: those that teach a capability and have it measured at every
    checkpoint."""
    comparable = paths[paths["recipe"].isin(view.matched_recipes)]
    whole = (
        comparable.assign(known=comparable["capability"].notna())
        .groupby("path_id")["known"]
        .agg(["all", "size"])
    )
    comparable = comparable[comparable["path_id"].isin(whole.index[whole["all"] & (whole["size"] > 1)])]
    draws: dict[tuple[str, str], Floats] = {}
    by_items = comparable[~comparable["measured"].astype(bool)]
    for benchmark, points in by_items.drop_duplicates(["checkpoint_id", "capability_benchmark"]).groupby(
        "capability_benchmark"
    ):
        checkpoints = list(points["checkpoint_id"])
        sample = sample_of(view, str(benchmark), checkpoints, seed=CAPABILITY_SEED)
        if sample is not None:
            _, found = sample.rates(*sample.sums(sample.right()))
            draws |= {(c, str(benchmark)): found[:, i] for i, c in enumerate(checkpoints)}
    runs = []
    columns = {name: comparable[name].to_numpy() for name in comparable.columns}
    for rows in comparable.groupby("path_id", sort=False).indices.values():
        c = {name: values[rows] for name, values in columns.items()}
        keys = [
            (point, str(benchmark))
            for point, benchmark in zip(c["checkpoint_id"], c["capability_benchmark"], strict=True)
        ]
        paired = all(key in draws for key in keys)
        if paired:
            resampled = np.column_stack([draws[key] for key in keys])
        elif not np.isnan(c["capability_stderr"].astype(float)).any():
            resampled = np.column_stack(
                [
                    _measured(*point)
                    for point in zip(
                        keys, c["capability"].astype(float), c["capability_stderr"].astype(float), strict=True
                    )
                ]
            )
        else:
            resampled = np.full(
                (RESAMPLES, len(keys)), np.nan
            )  # a value without a standard error: no interval can be given
        capability = c["capability"].astype(float)
        known = not np.isnan(resampled).any()
        flat = known and plateau(capability, resampled)
        least = detectable(capability, resampled) if known else float("nan")
        where = (
            str(c["recipe"][0]),
            int(c["seed"][0]),
            str(c["dataset"][0]),
            str(c["start"][0]),
            float(c["goal"][0]),
        )
        runs.append(
            Run(
                *where,
                c["step"].astype(float),
                list(c["checkpoint_id"]),
                capability,
                resampled,
                paired,
                flat,
                least,
            )
        )
    return runs


def _measured(key: tuple[str, str], value: float, error: float) -> Floats:
    """Draws of an aggregate capability: the same for a checkpoint wherever it stands, independent of every
    other."""
    seed = int(digest_text(f"{key[0]} {key[1]}")[:16], 16)
    return np.random.default_rng(seed).normal(value, error, RESAMPLES)


def primary_rates(view: View, runs: Sequence[Run]) -> CheckpointRates | None:
    """Unsafe rates of every checkpoint on some runs under the view's specification; None where not all have
    answered it."""
    spec = view.specification
    checkpoints = list(dict.fromkeys(c for run in runs for c in run.checkpoints))
    sample = sample_of(view, spec.benchmark, checkpoints, spec.attack) if checkpoints else None
    if sample is None or not sample.looked(spec.judge, "safety"):
        return None
    return checkpoint_rates(sample, sample.unsafe(spec.judge, spec.policy, spec.coherence))
