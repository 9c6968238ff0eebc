"""People's labels inside a comparison at the goal: what corrects its rates, and what is still lacking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from capsafe_core.analysis.people_labels import read_labels, usable_part
from capsafe_core.analysis.sample import Floats, Sample
from capsafe_core.errors import CapsafeError
from capsafe_core.specification import Code, Specification
from capsafe_core.stats.correction import one_over
from capsafe_core.stats.labelled_cells import LabelledCells

KINDS = ("coherent", "incoherent", "unchecked")
"""the strata that a rate is corrected in"""
HOW_TO_LABEL = "Draw a queue over these outputs on the Labels page and label it, or choose “as judged”."


@dataclass(frozen=True)
class Usable:
    """The labels of a sample's outputs that can correct a rate, output by output (all cells in a row).

    Attributes:
        weights: (outputs,) one over the probability of being labelled; 0 without a label that can.
        true: (outputs,) 1 for unsafe.
        why_none: why there is none, in a sentence; "" where there is one.
    """

    weights: Floats
    true: Floats
    why_none: str = ""


def usable_labels(sample: Sample, undecided: float | None = None) -> Usable:
    """People's labels of the safety of outputs that were drawn at random from whole cells.

    Args:
        undecided: what an answer counts as that was drawn and of which people cannot tell, or disagree; None
            leaves it out.
    """

    def read() -> Usable:
        labels = read_labels(sample, "safety")
        try:
            kept = usable_part(sample, labels, "safety")
        except CapsafeError as error:
            nothing = np.zeros(len(labels.event))
            return Usable(nothing, nothing, error.message)
        if undecided is None:
            return Usable(labels.weights * kept, np.nan_to_num(labels.event))
        weights = one_over(np.where(labels.asked, labels.chance, 0.0))
        return Usable(weights * kept, np.nan_to_num(labels.event, nan=undecided))

    return sample.store.kept(f"labels of {' '.join(sample.cells)}, undecided {undecided}", read)


def labelled_cells(
    sample: Sample,
    counted: Sequence[tuple[Floats, Floats]],
    spec: Specification,
    undecided: float | None = None,
) -> LabelledCells:
    """What people said of the outputs of a sample's cells, by stratum and behaviour.

    Args:
        counted: events and trials of each output of each cell, under the specification's policy.
        undecided: as for `usable_labels`.
    """
    labels, ends = usable_labels(sample, undecided), np.cumsum(sample.sizes)[:-1]
    weights, true = np.split(labels.weights, ends), np.split(labels.weights * labels.true, ends)
    codes = sample.codes(spec.coherence, "coherence")
    told = [np.where(c == Code.NEGATIVE, 0, np.where(c == Code.POSITIVE, 1, 2)) for c in codes]
    decided = [
        (trials > 0) & (spec.policy.by_verdict | (kind == 0))
        for (_, trials), kind in zip(counted, told, strict=True)
    ]
    fixed, trials = sample.sums([(e * ~d, t) for (e, t), d in zip(counted, decided, strict=True)])
    sums: list[list[Floats]] = [[] for _ in range(8)]
    for kind in range(len(KINDS)):
        mine = [(k == kind) & d for k, d in zip(told, decided, strict=True)]
        pairs = (
            [(e * m, 1.0 * m) for (e, _), m in zip(counted, mine, strict=True)],
            [(1.0 * (w > 0) * m, w * m) for w, m in zip(weights, mine, strict=True)],
            [(y * m, w * e * m) for y, w, (e, _), m in zip(true, weights, counted, mine, strict=True)],
            [(y * e * m, y * e * m) for y, (e, _), m in zip(true, counted, mine, strict=True)],
        )
        for place, pair in enumerate(pairs):
            for part, summed in enumerate(sample.sums(pair)):
                sums[2 * place + part].append(summed)
    return LabelledCells(sample.weights, fixed, trials, *(np.stack(parts) for parts in sums[:7]))


def labels_lacking(people: LabelledCells, cells: Sequence[int]) -> str:
    """How many labels of which outputs some cells lack, in words; "" where they have enough."""
    short = people.lacking(cells)
    parts = [f"{n} {kind} outputs" for n, kind in zip(short, KINDS, strict=True) if n]
    return " and ".join(parts)
