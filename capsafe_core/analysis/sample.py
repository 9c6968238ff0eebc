"""The outputs of some cells of one benchmark as arrays: what a bootstrap, a pairing or a transition is made
of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.view import View
from capsafe_core.specification import Code, Policy
from capsafe_core.stats.bootstrap import cluster_weights, resampled_rates
from capsafe_core.stats.resampled import Resampled
from capsafe_core.store import Store
from capsafe_core.store.arrays import (
    behaviours,
    code_arrays,
    output_places,
    regular_cells,
    score_arrays,
    truncated_arrays,
)
from capsafe_core.store.cells import members
from capsafe_core.store.patterns import Seat, pattern_counts

RESAMPLES = 1000
SAFETY_SEED, CAPABILITY_SEED, HARMLESS_SEED, PROFILE_SEED = 1, 2, 3, 4
"""Safety prompts and capability items are drawn apart; every benchmark of a kind uses the same seed. Where
harmful and harmless requests make one number, these are drawn apart too, and so is a capability that is read
where another one reaches its goal."""
SAMPLES = 2**20
"""More samples of one prompt than anybody takes."""
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


VERIFIER = "verifier"
"""what says whether an answer is right"""


def policy_arrays(codes: Codes, coherence: Codes, policy: Policy) -> tuple[Floats, Floats]:
    """Events and trials of each output under a policy, from safety and coherence codes."""
    unsafe, safe = (codes == Code.POSITIVE).astype(float), (codes == Code.NEGATIVE).astype(float)
    incoherent = (coherence == Code.POSITIVE).astype(float)
    coherent = (coherence == Code.NEGATIVE).astype(float)
    unchecked = 1.0 - incoherent - coherent
    return policy.counted(
        unsafe * coherent,
        safe * coherent,
        unsafe * incoherent,
        safe * incoherent,
        incoherent * (1.0 - unsafe - safe),
        unsafe * unchecked,
        safe * unchecked,
    )


class Sample:
    """Cells of one version of a benchmark, in a fixed order.

    Outputs stand in the order of prompts and samples. A cell may lack prompts or have more samples than
    another, so each has its own array.

    Args:
        benchmark_id: of the version.
        cells: checkpoint -> id of its cell, as `store.cells` has them; every array and rate below is in this
            order.
        truncated: whether outputs cut off by the token limit count.
        seed: of the resampling weights.
    """

    def __init__(
        self,
        store: Store,
        benchmark_id: str,
        cells: Mapping[str, str],
        truncated: bool = True,
        seed: int = SAFETY_SEED,
    ) -> None:
        self.store, self.cells, self.seed = store, list(cells.values()), seed
        together = members(store)
        self._parts = [together.get(c, [c]) for c in self.cells]
        self.place = {checkpoint: i for i, checkpoint in enumerate(cells)}
        self._truncated = truncated
        self._codes: dict[tuple[str, str], list[Codes]] = {}
        self.behaviour = pd.factorize(np.array(behaviours(store, benchmark_id), dtype=object))[0]
        """(prompts,) the behaviour of each prompt, numbered: the cluster of the bootstrap"""
        self.clusters = int(self.behaviour.max()) + 1 if len(self.behaviour) else 0

    @cached_property
    def _cut(self) -> dict[str, Flags]:
        return truncated_arrays(self.store, self._stored)

    @property
    def _stored(self) -> list[str]:
        """The cells of the store that are pooled in these, in order."""
        return [one for part in self._parts for one in part]

    @cached_property
    def begins(self) -> dict[str, int]:
        """Cell of the store -> where its outputs begin among all outputs of the sample, all cells in a
        row."""
        ends = np.cumsum([len(self._cut[one]) for one in self._stored])
        return dict(zip(self._stored, [0, *(int(end) for end in ends)], strict=False))

    @cached_property
    def whole(self) -> list[Flags]:
        """Which outputs of each cell were not cut off by the token limit."""
        return [np.concatenate([~self._cut[one] for one in part]) for part in self._parts]

    def load(self, raters: Sequence[tuple[str, str]]) -> None:
        """Read the codes of several (name, dimension) pairs at once."""
        wanted = [r for r in dict.fromkeys(raters) if r not in self._codes]
        if wanted:
            for rater, found in zip(wanted, code_arrays(self.store, self._stored, wanted), strict=True):
                self._codes[rater] = [self._put_together(found, part, Code.MISSING) for part in self._parts]

    def _put_together(
        self, found: Mapping[str, npt.NDArray[Any]], part: Sequence[str], gap: float
    ) -> npt.NDArray[Any]:
        """The arrays of cells that are pooled, one after the other, and `gap` where one is not there; empty
        where none is."""
        there = [found[one] for one in part if one in found]
        if not there or len(part) == 1:
            return there[0] if there else np.zeros(0, dtype=np.uint8)
        blank = {one: np.full(len(self._cut[one]), gap, dtype=there[0].dtype) for one in part}
        return np.concatenate([found.get(one, blank[one]) for one in part])

    def scores(self, judge: str) -> list[Floats]:
        """Each cell's scores by a safety judge, NaN where it gave none; no array where it gave one of the
        cells none."""
        found = score_arrays(self.store, self._stored, judge, "safety")
        scores = [self._put_together(found, part, np.nan) for part in self._parts]
        return scores if all(len(s) for s in scores) else []

    def codes(self, name: str, dimension: str) -> list[Codes]:
        """Each cell's codes by one rater; all 0 (missing) where it has not looked."""
        self.load([(name, dimension)])
        return [
            c if len(c) else np.zeros(size, dtype=np.uint8)
            for c, size in zip(self._codes[name, dimension], self.sizes, strict=True)
        ]

    def looked(self, name: str, dimension: str) -> bool:
        """Whether a rater has looked at every cell."""
        self.load([(name, dimension)])
        return all(len(c) for c in self._codes[name, dimension])

    def judges(self, dimension: str) -> list[Seat]:
        """The judges of a dimension that have looked at every cell, by name."""
        seats = {seat.name: seat for table in pattern_counts(self.store) for seat in table.judges(dimension)}
        self.load([(name, dimension) for name in seats])
        return [seats[name] for name in sorted(seats) if self.looked(name, dimension)]

    @cached_property
    def sizes(self) -> list[int]:
        """How many outputs each cell has."""
        return [len(flags) for flags in self.whole]

    @cached_property
    def _places(self) -> dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Positions of the outputs of cells that have not exactly one output to each prompt, and keys as
        `keys` has them."""
        regular = regular_cells(self.store)
        odd = {
            cell: part
            for cell, part in zip(self.cells, self._parts, strict=True)
            if len(part) > 1 or cell not in regular
        }
        stored = [one for part in odd.values() for one in part]
        found = output_places(self.store, stored) if stored else {}
        out = {}
        for cell, part in odd.items():
            position, sample = (np.concatenate([found[one][i] for one in part]) for i in (0, 1))
            key = position * SAMPLES + sample
            if len(part) > 1:  # the same prompt and sample, answered once more by another engine
                key = key + (SAMPLES >> 4) * pd.Series(key).groupby(key).cumcount().to_numpy()
            out[cell] = position, key
        return out

    @cached_property
    def cluster(self) -> list[npt.NDArray[np.int64]]:
        """The behaviour of each output of each cell."""
        return [
            self.behaviour[self._places[c][0]] if c in self._places else self.behaviour for c in self.cells
        ]

    @cached_property
    def keys(self) -> list[npt.NDArray[np.int64]]:
        """For each cell a number for the prompt and sample of each output: outputs of two cells with the same
        number are paired."""
        plain = np.arange(len(self.behaviour)) * SAMPLES
        return [self._places[c][1] if c in self._places else plain for c in self.cells]

    def unsafe(self, judge: str, policy: Policy, coherence: str) -> list[tuple[Floats, Floats]]:
        """Events and trials of each output of each cell under a policy."""
        self.load([(judge, "safety"), (coherence, "coherence")])
        return [
            policy_arrays(v, c, policy)
            for v, c in zip(self.codes(judge, "safety"), self.codes(coherence, "coherence"), strict=True)
        ]

    def right(self) -> list[tuple[Floats, Floats]]:
        """Right answers and trials of each output of each cell."""
        return [
            policy_arrays(v, np.zeros_like(v), Policy.AS_JUDGED) for v in self.codes(VERIFIER, "correctness")
        ]

    def sums(self, counted: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
        """Events and trials added up by behaviour: two arrays of (cells, clusters).

        Outputs that do not count are left out.
        """
        alone = self.clusters == len(
            self.behaviour
        )  # every prompt is a cluster of its own, in order: nothing to add up
        flags = None if self._truncated else self.whole

        def by_cluster(place: int, values: Floats) -> Floats:
            kept = values if flags is None else values * flags[place]
            if alone and self.cluster[place] is self.behaviour:
                return kept
            return np.asarray(np.bincount(self.cluster[place], weights=kept, minlength=self.clusters))

        both = np.array(
            [[by_cluster(i, values) for values in pair] for i, pair in enumerate(counted)]
        ).reshape(len(counted), 2, self.clusters)
        return both[:, 0], both[:, 1]

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """(resamples, clusters): the same for every cell of the benchmark."""
        return cluster_weights(self.clusters, RESAMPLES, self.seed)

    def rates(self, events: Floats, trials: Floats) -> tuple[Floats, Floats]:
        """The rate of each cell, (cells,), and in each resample, (resamples, cells); NaN without trials."""
        with np.errstate(divide="ignore", invalid="ignore"):
            observed = np.asarray(events.sum(axis=1) / trials.sum(axis=1))
        return observed, resampled_rates(self.weights, events, trials)

    def resampled(self, events: Floats, trials: Floats) -> list[Resampled]:
        """The rate of each row of `sums` with its resamples; behaviours are what is independent."""
        rates, draws = self.rates(events, trials)
        n = (trials > 0).sum(axis=1)
        return [Resampled(float(rates[i]), draws[:, i], int(n[i])) for i in range(len(rates))]


def sample_of(
    view: View, benchmark: str, checkpoints: Sequence[str], attack: str = "", seed: int = SAFETY_SEED
) -> Sample | None:
    """The cells of some checkpoints on a benchmark; None where one of them has none, or they answered
    different versions of it.

    Args:
        attack: under which prompts were asked.
        seed: of the resampling; for capability, truncated outputs always count.
    """
    known = view.cells[(view.cells["benchmark"] == benchmark) & (view.cells["attack"] == attack)]
    known = known.set_index("checkpoint_id")
    if not set(checkpoints) <= set(known.index):
        return None
    mine = known.loc[list(checkpoints)]
    if mine["benchmark_id"].nunique() != 1:
        return None
    return Sample(
        view.store,
        mine["benchmark_id"].iloc[0],
        dict(mine["cell_id"]),
        view.specification.truncated or seed in (CAPABILITY_SEED, PROFILE_SEED),
        seed,
    )
