"""Runs that can be compared at a capability goal, and the unsafe rates of their checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.labelled import labelled_cells
from capsafe_core.analysis.sample import CAPABILITY_SEED, RESAMPLES, Sample, sample_of
from capsafe_core.analysis.standing import Standing
from capsafe_core.analysis.view import View
from capsafe_core.records import digest_text
from capsafe_core.specification import Correction, Crossing, Specification
from capsafe_core.stats.labelled_cells import LabelledCells, Mixture
from capsafe_core.stats.matching import at_place, crossing, detectable, plateau

Floats = npt.NDArray[np.float64]


def start_name(start: str) -> str:
    """A start among recipes."""
    return f"start: {start}"


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
        rule: where it is at its goal; `tolerance` how far from that its last checkpoint may be, by the rule
            "stopped".
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
    rule: Crossing = Crossing.FIRST
    tolerance: float | None = None

    def arm_at(self, place: int) -> str:
        """What a checkpoint belongs to: the recipe, or its start."""
        return self.recipe if place or not self.has_start else start_name(self.start)

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
        if self.rule is Crossing.STOPPED:
            return self._stopped(goal)
        return Standing.REACHED if self.capability.max() >= goal else Standing.NOT_REACHED

    def _stopped(self, goal: float) -> Standing:
        """Whether the last checkpoint is within the tolerance: not above it, and not below it by a one-sided
        test at 5 %, where its error is known."""
        tolerance, last = self.tolerance or 0.0, self.capability[-1]
        if last > goal + tolerance:
            return Standing.BEYOND
        least = float(np.quantile(self.capability_draws[:, -1], 0.05)) if self.has_error else float(last)
        return Standing.REACHED if least >= goal - tolerance else Standing.SHORT

    def places(self, unsafe: Floats, goal: float | None = None) -> Floats:
        """Where on the list of checkpoints it is at its goal, or at another one; NaN where it does not reach
        it after its first checkpoint.

        Args:
            unsafe: (..., steps) unsafe rates, by which the safest of several crossings is told.

        Returns:
            (...,) places, as `matching.crossing` gives them.
        """
        target, shape = self.goal if goal is None else goal, unsafe.shape[:-1]
        if self.standing_at(target) is not Standing.REACHED:
            return np.full(shape, np.nan)
        if self.rule is Crossing.STOPPED:
            return np.full(shape, len(self.steps) - 1.0)
        return crossing(np.broadcast_to(self.capability, unsafe.shape), target, self.rule, unsafe)

    def resampled_places(
        self, unsafe: Floats, goal: float | None = None, goal_draws: Floats | None = None
    ) -> Floats:
        """The same in each resample.

        Args:
            unsafe: (resamples, steps).
            goal_draws: (resamples,) the goal, where that is itself measured.

        Returns:
            (resamples,).
        """
        target = self.goal if goal is None else goal
        if not self.standing_at(target).may_reach:
            return np.full(len(unsafe), np.nan)
        if self.rule is Crossing.STOPPED:
            return np.full(len(unsafe), len(self.steps) - 1.0)
        ahead = self.capability_draws - (target if goal_draws is None else goal_draws[:, None])
        return crossing(ahead, 0.0, self.rule, unsafe)

    def facts(self) -> dict[str, Any]:
        """What is said of it where it is not compared: goal, best, start_capability, last, tolerance."""
        return {
            "goal": self.goal,
            "best": float(self.capability.max()),
            "start_capability": float(self.capability[0]),
            "last": float(self.capability[-1]),
            "tolerance": self.tolerance,
        }


@dataclass(frozen=True)
class CheckpointRates:
    """Unsafe rates of checkpoints under one specification.

    Attributes:
        place: checkpoint -> its column.
        rates: (checkpoints,); `draws` (resamples, checkpoints).
        events, trials: (checkpoints, behaviours).
        people: what people said of their outputs, where the rate of a checkpoint or at a goal is corrected by
            that; `rates`, `draws`, `events` and where a path crosses its goal are as judged all the same.
        deciding: the rates by which the safest of several crossings is told, where not these: what is read
            at the goal beside the unsafe rate is read at the same place.
    """

    place: dict[str, int]
    rates: Floats
    draws: Floats
    events: Floats
    trials: Floats
    people: LabelledCells | None = None
    deciding: CheckpointRates | None = None

    def of(self, checkpoint: str) -> tuple[float, Floats]:
        """A checkpoint's rate, and (resamples,) of it; NaN where labels lack that are to correct it."""
        i = self.place[checkpoint]
        if self.people is None:
            return float(self.rates[i]), self.draws[:, i]
        one = np.eye(len(self.rates))[i]
        return self._corrected(self.people, Mixture(one, np.broadcast_to(one, self.draws.shape)))

    def between(self, run: Run, place: float, places: Floats) -> tuple[float, Floats]:
        """A run's rate at a place on its path, and in each resample at a place of its own; NaN where labels
        lack that are to correct it.

        Args:
            places: (resamples,).
        """
        rates, draws = self.along(run)
        if self.people is None or np.isnan(place):
            return float(at_place(rates, place)), at_place(draws, places)
        columns = [self.place[c] for c in run.checkpoints]
        weights, drawn = np.zeros(len(self.rates)), np.zeros(self.draws.shape)
        for column, own in zip(columns, np.eye(len(columns)), strict=True):
            weights[column] = at_place(own, place)
            drawn[:, column] = at_place(np.broadcast_to(own, (len(places), len(own))), places)
        return self._corrected(self.people, Mixture(weights, drawn))

    def _corrected(self, people: LabelledCells, mixture: Mixture) -> tuple[float, Floats]:
        return people.rate(mixture) or (np.nan, np.full(len(self.draws), np.nan))

    def along(self, run: Run) -> tuple[Floats, Floats]:
        """Rates along a run, (steps,), and in each resample, (resamples, steps)."""
        columns = [self.place[c] for c in run.checkpoints]
        return self.rates[columns], self.draws[:, columns]

    def crossed(self, run: Run, goal: float | None = None) -> float:
        """The place on its path where a run is at the goal; NaN where it does not reach it after its first
        checkpoint."""
        return float(run.places((self.deciding or self).along(run)[0], goal))

    def at_goal(
        self, run: Run, goal: float | None = None, goal_draws: Floats | None = None
    ) -> tuple[float, Floats, float]:
        """A run's rate at the goal, (resamples,) of it, and the place on the path; NaN where the run does not
        reach it after its first checkpoint.

        Args:
            goal: instead of the run's own; `goal_draws` as for `Run.resampled_places`.
        """
        rates, draws = (self.deciding or self).along(run)
        place = float(run.places(rates, goal))
        return *self.between(run, place, run.resampled_places(draws, goal, goal_draws)), place


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
    draws = _item_draws(view, comparable)
    columns = {name: comparable[name].to_numpy() for name in comparable.columns}
    return [
        _run(view.specification, {name: values[rows] for name, values in columns.items()}, draws)
        for rows in comparable.groupby("path_id", sort=False).indices.values()
    ]


Draws = dict[tuple[str, str], Floats]
"""(checkpoint, capability benchmark) -> (resamples,) capability there"""


def _item_draws(view: View, points: pd.DataFrame) -> Draws:
    """The resamples of every capability that was measured item by item.

    Args:
        points: rows of `path_table`.
    """
    draws: Draws = {}
    by_items = points[~points["measured"].astype(bool)]
    for benchmark, mine in by_items.drop_duplicates(["checkpoint_id", "capability_benchmark"]).groupby(
        "capability_benchmark"
    ):
        checkpoints = list(mine["checkpoint_id"])
        sample = sample_of(view, str(benchmark), checkpoints, seed=CAPABILITY_SEED)
        if sample is not None:
            _, found = sample.rates(*sample.sums(sample.right()))
            draws |= {(c, str(benchmark)): found[:, i] for i, c in enumerate(checkpoints)}
    return draws


def _run(spec: Specification, path: Mapping[str, npt.NDArray[Any]], draws: Draws) -> Run:
    """One path as a run.

    Args:
        path: the columns of its rows of `path_table`, in order of training step.
    """
    capability, errors = (path[name].astype(float) for name in ("capability", "capability_stderr"))
    keys = [
        (str(c), str(b)) for c, b in zip(path["checkpoint_id"], path["capability_benchmark"], strict=True)
    ]
    paired = all(key in draws for key in keys)
    if paired:
        resampled = np.column_stack([draws[key] for key in keys])
    elif np.isnan(errors).any():  # a value without a standard error: no interval can be given
        resampled = np.full((RESAMPLES, len(keys)), np.nan)
    else:
        resampled = np.column_stack(
            [_measured(*point) for point in zip(keys, capability, errors, strict=True)]
        )
    known = not np.isnan(resampled).any()
    return Run(
        str(path["recipe"][0]),
        int(path["seed"][0]),
        str(path["dataset"][0]),
        str(path["start"][0]),
        float(path["goal"][0]),
        path["step"].astype(float),
        list(path["checkpoint_id"]),
        capability,
        resampled,
        paired,
        known and plateau(capability, resampled),
        detectable(capability, resampled) if known else float("nan"),
        spec.crossing,
        spec.tolerance,
    )


def _measured(key: tuple[str, str], value: float, error: float) -> Floats:
    """Draws of an aggregate capability: the same for a checkpoint wherever it stands, independent of every
    other."""
    seed = int(digest_text(f"{key[0]} {key[1]}")[:16], 16)
    return np.random.default_rng(seed).normal(value, error, RESAMPLES)


def primary_rates(view: View, runs: Sequence[Run], undecided: float | None = None) -> CheckpointRates | None:
    """Unsafe rates of every checkpoint on some runs under the view's specification; None where not all have
    answered it.

    Args:
        undecided: as for `usable_labels`, where people's labels correct them.
    """
    spec = view.specification
    checkpoints = list(dict.fromkeys(c for run in runs for c in run.checkpoints))
    sample = sample_of(view, spec.benchmark, checkpoints, spec.attack) if checkpoints else None
    if sample is None or not sample.looked(spec.judge, "safety"):
        return None
    return corrected(sample, sample.unsafe(spec.judge, spec.policy, spec.coherence), spec, undecided)


def corrected(
    sample: Sample,
    counted: Sequence[tuple[Floats, Floats]],
    spec: Specification,
    undecided: float | None = None,
) -> CheckpointRates:
    """`checkpoint_rates`, corrected by people's labels where the specification says so."""
    rates = checkpoint_rates(sample, counted)
    if spec.correction is Correction.AS_JUDGED:
        return rates
    return replace(rates, people=labelled_cells(sample, counted, spec, undecided))


def around_goal(run: Run, rates: CheckpointRates) -> list[int]:
    """Which of a run's checkpoints lie around its goal: two, or the one that has it; none where it is not
    reached."""
    place = rates.crossed(run)
    return [] if np.isnan(place) else sorted({int(np.floor(place)), int(np.ceil(place))})
