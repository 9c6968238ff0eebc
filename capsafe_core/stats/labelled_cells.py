"""The rate of some cells of a comparison, corrected by people's labels of a part of their outputs, with the
resamples of the comparison.

`LabelledCells` is PPI++ (Angelopoulos, Duchi and Zrnic 2023) within each stratum of outputs (coherent,
incoherent), with the labels of those cells alone: how often a judge errs is nowhere taken over from another
arm, another stratum or another step of training. `ErrorRates` is Rogan and Gladen's (1978), with the labels
of the whole arm. Every sum is taken again in each resample of behaviours, labels and all, so a corrected
difference is paired as the uncorrected one is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capsafe_core.stats.distributions import normal_quantile, t_quantile

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
ENOUGH_LABELS = 20
"""labels of an arm and stratum from which on it is corrected; a stratum with fewer outputs is read together
with the largest"""
EACH_CLASS = 10
"""behaviours with a labelled event, and as many with a non-event, from which on an arm and stratum has error
rates of its own"""


@dataclass(frozen=True)
class Mixture:
    """Which cells make a rate: the weight of each, and in each resample.

    Attributes:
        weights: (cells,) that add up to 1: one cell, or the two around a goal.
        draws: (resamples, cells); rows of NaN where a resample does not reach the goal.
    """

    weights: Floats
    draws: Floats


@dataclass(frozen=True)
class LabelledCells:
    """Sums of outputs by behaviour: of all that count, and of those whose verdict counts by stratum.

    Attributes:
        resampling: (resamples, behaviours) how often each behaviour is drawn.
        fixed: (cells, behaviours) events that no verdict decides (incoherent outputs that count as unsafe).
        trials: (cells, behaviours).
        flagged, outputs: (strata, cells, behaviours) outputs that the judge calls an event, and all.
        labels: (strata, cells, behaviours) labelled outputs, as numbers; `weights` the same by one over their
            inclusion probability, and `true`, `flagged_labels`, `agreed` those of them that people, the
            judge, and both call an event.
    """

    resampling: npt.NDArray[np.float32]
    fixed: Floats
    trials: Floats
    flagged: Floats
    outputs: Floats
    labels: Floats
    weights: Floats
    true: Floats
    flagged_labels: Floats
    agreed: Floats

    def lacking(self, cells: Sequence[int]) -> Ints:
        """(strata,) how many labels some cells lack for their rate, those of strata that are read together
        with the largest; 0 where there are enough."""
        labels, outputs = (x[:, list(cells)].sum(axis=(1, 2)) for x in (self.labels, self.outputs))
        out = np.zeros(len(outputs), dtype=np.int64)
        for group in _groups(outputs):
            short = min(ENOUGH_LABELS, float(outputs[group].sum())) - float(labels[group].sum())
            out[group[0]] = max(int(np.ceil(short)), 0)
        return out

    def rate(self, mixture: Mixture) -> tuple[float, Floats] | None:
        """The corrected rate, and (resamples,) of it; None where labels lack or nothing counts."""
        cells = np.flatnonzero(mixture.weights)
        if not len(cells) or (self.trials[cells].sum(axis=1) == 0).any() or self.lacking(list(cells)).any():
            return None
        used = np.union1d(cells, np.flatnonzero((np.nan_to_num(mixture.draws) > 0).any(axis=0)))
        rows = _Rows(self, used, np.vstack([mixture.weights[used], mixture.draws[:, used]]))
        total = rows.part(self.fixed)
        for group in _groups(self.outputs[:, cells].sum(axis=(1, 2))):
            total = total + self._corrected(rows, group, cells)
        total = np.clip(total, 0, 1)
        return float(total[0]), np.asarray(total[1:])

    def _corrected(self, rows: _Rows, group: Ints, cells: Ints) -> Floats:
        """(rows,) what some strata add to the rate.

        A resample whose own cells hold no label takes the labels of all cells that resamples are made of.
        """
        share, flagged = (rows.part(x[group].sum(axis=0)) for x in (self.outputs, self.flagged))
        weights, true, flagged_labels = (
            x[group].sum(axis=0) for x in (self.weights, self.true, self.flagged_labels)
        )
        own = rows.part(weights)
        with np.errstate(divide="ignore", invalid="ignore"):
            truth, verdict = (
                np.where(
                    own == 0, rows.part(x, rows.usual) / rows.part(weights, rows.usual), rows.part(x) / own
                )
                for x in (true, flagged_labels)
            )
            judged = np.where(share > 0, flagged / share, 0.0)
        tuning = _tuning(truth[1:], (judged - verdict)[1:])
        labels = self.labels[np.ix_(group, cells)]
        census = float(labels.sum() / self.outputs[np.ix_(group, cells)].sum())
        off = truth - tuning * verdict
        off[1:] = _spread_of_few(off, labels, census, [int(i) for i in (*cells, *group)])
        return np.asarray(np.where(share == 0, 0.0, share * (tuning * judged + off)))


@dataclass(frozen=True)
class ErrorRates(LabelledCells):
    """The same by Rogan and Gladen: sensitivity and specificity of the judge in each arm and stratum, taken
    to be those of every step of the arm.

    Where an arm and stratum has labels of one class in too few behaviours, those of all arms count too,
    unless they show that the arm differs.

    Attributes:
        arms: (cells,) number of the arm of each.
    """

    arms: Ints

    def lacking(self, cells: Sequence[int]) -> Ints:
        outputs = self.outputs[:, list(cells)].sum(axis=(1, 2))
        out = np.zeros(len(outputs), dtype=np.int64)
        for group in _groups(outputs):
            known = [len(self._source(group, np.asarray(cells), event)) > 0 for event in (True, False)]
            out[group[0]] = 0 if all(known) else EACH_CLASS
        return out

    def assumes(self, cells: Sequence[int]) -> bool:
        """Whether the rate of some cells takes over error rates from other arms."""
        own = self._own(np.asarray(cells))
        return any(
            len(self._source(group, np.asarray(cells), event)) > len(own)
            for group in _groups(self.outputs[:, list(cells)].sum(axis=(1, 2)))
            for event in (True, False)
        )

    def _own(self, cells: Ints) -> Ints:
        return np.flatnonzero(np.isin(self.arms, self.arms[cells]))

    def _source(self, group: Ints, cells: Ints, event: bool) -> Ints:
        """The cells whose labels tell one error rate; none where there are too few, or the arm differs."""
        own, every = self._own(cells), np.arange(len(self.arms))
        others = np.setdiff1d(every, own)
        n, n_others = (self._behaviours(group, x, event) for x in (own, others))
        if n >= EACH_CLASS:
            return own
        if n + n_others < EACH_CLASS or (n and self._differ(group, own, others, event)):
            return own[:0]
        return every

    def _differ(self, group: Ints, one: Ints, two: Ints, event: bool) -> bool:
        """Whether one error rate of two sets of cells differs (at 5 %, by the adjusted Wald interval of
        Agresti and Caffo 2000, behaviours as independent)."""
        apart, variance = 0.0, 0.0
        for sign, cells in ((1, one), (-1, two)):
            n = self._behaviours(group, cells, event)
            rate = (float(self._caught(group, cells, event)[0]) * n + 1) / (n + 2) if n else 0.5
            apart += sign * rate
            variance += rate * (1 - rate) / (n + 2)
        return bool(abs(apart) > normal_quantile(0.975) * np.sqrt(variance))

    def _behaviours(self, group: Ints, cells: Ints, event: bool) -> int:
        mine = np.ix_(group, cells)
        held = self.true[mine] if event else self.weights[mine] - self.true[mine]
        return int((held.sum(axis=(0, 1)) > 1e-9).sum())

    def _caught(self, group: Ints, cells: Ints, event: bool) -> Floats:
        """(1 + resamples,) sensitivity, or specificity, of the judge over some cells."""
        drawn = np.vstack([np.ones(self.trials.shape[1]), self.resampling])
        weights, true, flagged, agreed = (
            drawn @ x[np.ix_(group, cells)].sum(axis=(0, 1))
            for x in (self.weights, self.true, self.flagged_labels, self.agreed)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(agreed / true if event else 1 - (flagged - agreed) / (weights - true))

    def _corrected(self, rows: _Rows, group: Ints, cells: Ints) -> Floats:
        share, flagged = (rows.part(x[group].sum(axis=0)) for x in (self.outputs, self.flagged))
        q1, q0 = (self._caught(group, self._source(group, cells, event), event) for event in (True, False))
        with np.errstate(divide="ignore", invalid="ignore"):
            judged = np.where(share > 0, flagged / share, 0.0)
            rate = np.where(q1 + q0 > 1, (judged + q0 - 1) / (q1 + q0 - 1), np.nan)
        return np.asarray(np.where(share == 0, 0.0, share * np.clip(rate, 0, 1)))


def _groups(outputs: Floats) -> list[Ints]:
    """Strata that are read together, the largest first: each alone, but those with few outputs.

    Args:
        outputs: (strata,) of some cells.
    """
    if not outputs.any():
        return []
    largest = int(np.argmax(outputs))
    others = [int(i) for i in np.flatnonzero(outputs) if i != largest]
    small = [i for i in others if outputs[i] < ENOUGH_LABELS]
    return [np.array([largest, *small]), *(np.array([i]) for i in others if i not in small)]


class _Rows:
    """A mixture of cells as it was observed (the first row) and in each resample.

    Args:
        used: the cells that it is ever made of.
        mixed: (1 + resamples, used) the weight of each.
    """

    def __init__(self, data: LabelledCells, used: Ints, mixed: Floats) -> None:
        self.data, self.used, self.mixed = data, used, mixed
        there = mixed[~np.isnan(mixed).any(axis=1)]
        self.usual = np.broadcast_to(there.mean(axis=0), mixed.shape)
        self.drawn = np.vstack([np.ones(data.trials.shape[1]), data.resampling]).T
        self.trials = data.trials[used] @ self.drawn

    def part(self, values: Floats, mixed: Floats | None = None) -> Floats:
        """(rows,) sums over behaviours as shares of the trials of their cell, by the weights of the cells.

        Args:
            values: (cells, behaviours).
        """
        weights = (self.mixed if mixed is None else mixed).T
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = values[self.used] @ self.drawn / self.trials
        return np.asarray(np.where(weights == 0, 0.0, weights * shares).sum(axis=0))


def _tuning(truth: Floats, helps: Floats) -> float:
    """Lambda of PPI++, which makes the variance smallest, within [0, 1]; from resamples."""
    known = ~np.isnan(truth + helps)
    spread = float(helps[known].var()) if known.any() else 0.0
    return (
        float(np.clip(-np.cov(truth[known], helps[known], bias=True)[0, 1] / spread, 0, 1)) if spread else 0.0
    )


def _spread_of_few(off: Floats, labels: Floats, census: float, seed: Sequence[int]) -> Floats:
    """(resamples,) of a mean of few labels: Student's t in place of the normal, and never less spread than
    one more error to either side would bring.

    Args:
        off: (1 + resamples,), the first as observed.
        labels: how many labels each stratum, cell and behaviour has.
        census: the share of the outputs that is labelled; where all are, nothing was drawn by lot.
    """
    n, behaviours = float(labels.sum()), int((labels.sum(axis=(0, 1)) > 0).sum())
    apart = off[1:] - off[0]
    if census >= 1:
        return np.asarray(off[1:])
    if behaviours < 2:
        return np.full(len(apart), np.nan)
    wider = t_quantile(0.975, behaviours - 1) / normal_quantile(0.975)
    apart = apart * wider * np.sqrt(behaviours / (behaviours - 1))
    least, known = 2 * (1 - census) / (n + 2) ** 2, float(np.nanvar(apart))
    if known < least:
        apart = apart + np.random.default_rng(seed).normal(0.0, np.sqrt(least - known), len(apart))
    return np.asarray(off[0] + apart)
