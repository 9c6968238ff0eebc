"""What people said of a sample's outputs, and which part of it corrects a rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.sample import Flags, Floats, Sample
from capsafe_core.errors import CapsafeError
from capsafe_core.stats.correction import one_over
from capsafe_core.stats.design import alike, collapsed, completed, inclusion
from capsafe_core.store.labels import queue_frames, queue_items, queue_strata, truths

HAND_PICKED = (
    "These labels were picked by hand, not drawn at random, so nobody knows how likely each "
    "output was to be labelled, and no rate can be corrected from them."
)
HAND_PICKED_HINT = (
    "Make a queue, which draws outputs with known probabilities, and label those. (On "
    "XSTest, labels of only those responses on which two judges differ show a judge wrong in "
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
    queues combine. A stratum of random order in which nobody has told anything yet is read with its
    neighbour, so that its outputs stay in the population. Where labels were imported with probabilities,
    nobody knows those of the other outputs: the cells that have such labels then count as reached. A cell of
    which people answered every output, and from which no queue drew, needs no probabilities.
    """
    reading = _Reading(sample, dimension)
    frames, strata_of = queue_frames(sample.store), queue_strata(sample.store)
    items = queue_items(sample.store)
    for queue, rows in items[items["probability"].notna()].groupby("queue", sort=False):
        strata = {s["name"]: s for s in strata_of.get(str(queue), [])}
        reading.take(rows, strata, frames.get(str(queue), {}))
    return reading.labels()


class _Reading:
    """What is known of each output of a sample while the queues are read, one after another."""

    def __init__(self, sample: Sample, dimension: str) -> None:
        self.offsets, size = sample.begins, sum(sample.sizes)
        self.bounds = np.array([*self.offsets.values(), size])
        known = truths(sample.store, dimension)
        self.told = set(known["generation_id"])
        self.usable = set(known.loc[known["code"].isin([1, 2, 3]), "generation_id"])
        known = known[known["cell_id"].isin(list(self.offsets))]
        self.place = {
            g: self.offsets[c] + p
            for g, c, p in zip(known["generation_id"], known["cell_id"], known["position"], strict=True)
        }
        self.event = np.full(size, np.nan)
        for generation, code in zip(known["generation_id"], known["code"], strict=True):
            self.event[self.place[generation]] = {1: 0.0, 2: 1.0, 3: 1.0}.get(code, np.nan)
        self.asked, self.behind, self.adaptive, self.reached = (np.zeros(size, dtype=bool) for _ in range(4))
        self.missed, self.drawn_alike = np.ones(size), [np.zeros(size, dtype=np.int64)]

    def take(
        self,
        rows: pd.DataFrame,
        strata: Mapping[str, Mapping[str, Any]],
        frame: Mapping[tuple[int, str], npt.NDArray[np.int64]],
    ) -> None:
        """Read one queue.

        Args:
            rows: its items that were drawn with a probability.
            strata: name -> stratum, where it is known what the queue drew from.
            frame: (draw, cell) -> the stratum of each output of the cell, from 1; 0 for none.
        """
        done, answered = dict[str, int](), dict[str, int]()
        for name, stratum in rows.groupby("stratum", sort=False):
            if strata:  # what is left of the queue's frame
                stratum = stratum[stratum["cell_id"].isin({cell for _, cell in frame})]
            ordered = stratum.sort_values("place")
            adaptive = bool(strata.get(str(name), {}).get("adaptive"))
            first = completed(list(ordered["generation_id"].isin(self.told)), adaptive)
            self._stratum(ordered, first, adaptive, framed=bool(strata))
            done[str(name)] = first
            answered[str(name)] = int(ordered["generation_id"].iloc[:first].isin(self.usable).sum())
        if strata:
            self._frame(list(strata.values()), frame, done, answered)

    def _stratum(self, ordered: pd.DataFrame, first: int, adaptive: bool, framed: bool) -> None:
        """Read a stratum of which the `first` items are completed."""
        begun = ordered.iloc[:first]
        here = [
            (self.place[g], p)
            for g, p in zip(begun["generation_id"], begun["probability"], strict=True)
            if g in self.place
        ]
        self.asked[[i for i, _ in here]] = True
        waiting = self.adaptive if adaptive else self.behind
        waiting[[self.place[g] for g in ordered["generation_id"].iloc[first:] if g in self.place]] = True
        if framed:
            return
        for i, probability in here:
            self.missed[i] *= 1 - probability * first / len(ordered)
            cell = int(np.searchsorted(self.bounds, i, side="right")) - 1
            self.reached[self.bounds[cell] : self.bounds[cell + 1]] = True

    def _frame(
        self,
        strata: Sequence[Mapping[str, Any]],
        frame: Mapping[tuple[int, str], npt.NDArray[np.int64]],
        done: Mapping[str, int],
        answered: Mapping[str, int],
    ) -> None:
        """Read the chances of all outputs that a queue could have drawn."""
        sizes = np.bincount(
            np.concatenate([*frame.values()] or [np.zeros(0, dtype=np.int64)]), minlength=len(strata) + 1
        )[1:]
        shares = _shares(strata, sizes, done, answered)
        cells = list(zip(self.offsets, np.diff(self.bounds), strict=True))
        codes = np.stack(
            [
                np.concatenate([frame.get((draw, c), np.zeros(n, dtype=np.int64)) for c, n in cells])
                for draw in sorted({s["draw"] for s in strata})
            ]
        )
        self.missed *= 1 - inclusion(codes, shares)
        self.drawn_alike.append(alike(codes, shares))

    def labels(self) -> Labels:
        """What was read; a cell of which everything is answered, and which no queue drew from, was no
        sample."""
        whole = np.zeros(len(self.event), dtype=bool)
        whole[list(self.place.values())] = True
        designed = self.asked | self.reached | (self.missed < 1) | self.adaptive | self.behind
        for begin, end in pairwise(self.bounds):
            whole[begin:end] &= whole[begin:end].all() and not designed[begin:end].any()
        asked, missed = self.asked | whole, np.where(whole, 0.0, self.missed)
        strata = np.unique(np.stack(self.drawn_alike), axis=1, return_inverse=True)[1]
        usable = ~np.isnan(self.event) & ~asked
        return Labels(
            self.event,
            1 - missed,
            asked,
            self.reached | whole | (missed < 1),
            strata.ravel().astype(np.int64),
            int((usable & ~self.behind & ~self.adaptive).sum()),
            int((usable & self.adaptive).sum()),
            int((usable & self.behind & ~self.adaptive).sum()),
            int((asked & np.isnan(self.event)).sum()),
        )


def _shares(
    strata: Sequence[Mapping[str, Any]],
    sizes: npt.NDArray[np.int64],
    done: Mapping[str, int],
    answered: Mapping[str, int],
) -> list[float]:
    """The share of each stratum of a queue that is completed; of those with few answers together with their
    neighbours.

    Args:
        sizes: (strata,) outputs in each.
        done: completed items of each by name, and `answered` those of them that tell something.
    """
    shares = np.array([done.get(s["name"], 0) / n if n else 0.0 for s, n in zip(strata, sizes, strict=True)])
    for draw in {s["draw"] for s in strata}:
        mine = np.array(
            [i for i, s in enumerate(strata) if s["draw"] == draw and not s["adaptive"]], dtype=int
        )
        names = [strata[i]["name"] for i in mine]
        if not any(answered.get(name, 0) for name in names):
            continue
        groups = collapsed([answered.get(name, 0) for name in names])
        finished = np.bincount(groups, weights=[done.get(name, 0) for name in names])
        shares[mine] = (finished / np.maximum(np.bincount(groups, weights=sizes[mine]), 1))[groups]
    return [float(share) for share in shares]


def usable_part(sample: Sample, labels: Labels, dimension: str) -> Flags:
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
            f"{labels.behind} labels wait for earlier items of their queue that have not been answered yet; "
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
