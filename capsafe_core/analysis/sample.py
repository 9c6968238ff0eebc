"""The outputs of some cells of one benchmark as arrays: what a bootstrap, a pairing or a transition is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.analysis.policies import policy_arrays
from capsafe_core.analysis.view import View
from capsafe_core.stats.bootstrap import cluster_weights, resampled_rates
from capsafe_core.store import Store
from capsafe_core.store.arrays import behaviours, code_arrays, output_places, regular_cells, truncated_arrays
from capsafe_core.store.patterns import Seat, pattern_counts

RESAMPLES = 1000
SAFETY_SEED, CAPABILITY_SEED = 1, 2
"""Safety prompts and capability items are drawn apart; every benchmark of a kind uses the same seed."""
SAMPLES = 2**20
"""More samples of one prompt than anybody takes."""
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


class Sample:
    """Cells of one version of a benchmark, in a fixed order.

    Outputs stand in the order of prompts and samples. A cell may lack prompts or have more samples than another, so
    each has its own array.

    Args:
        benchmark_id: of the version.
        cells: checkpoint -> id of its cell; every array and rate below is in this order.
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
        self.place = {checkpoint: i for i, checkpoint in enumerate(cells)}
        self._truncated = truncated
        self._codes: dict[tuple[str, str], list[Codes]] = {}
        self.behaviour = pd.factorize(np.array(behaviours(store, benchmark_id), dtype=object))[0]
        """(prompts,) the behaviour of each prompt, numbered: the cluster of the bootstrap"""
        self.clusters = int(self.behaviour.max()) + 1 if len(self.behaviour) else 0

    @cached_property
    def whole(self) -> list[Flags]:
        """Which outputs of each cell were not cut off by the token limit."""
        cut = truncated_arrays(self.store, self.cells)
        return [~cut[c] for c in self.cells]

    def load(self, raters: Sequence[tuple[str, str]]) -> None:
        """Read the codes of several (name, dimension) pairs at once."""
        wanted = [r for r in dict.fromkeys(raters) if r not in self._codes]
        if wanted:
            for rater, found in zip(wanted, code_arrays(self.store, self.cells, wanted), strict=True):
                self._codes[rater] = [found.get(c, np.zeros(0, dtype=np.uint8)) for c in self.cells]

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
        """Positions and samples of the outputs of cells that have not exactly one output to each prompt."""
        odd = [c for c in self.cells if c not in regular_cells(self.store)]
        return output_places(self.store, odd) if odd else {}

    @cached_property
    def cluster(self) -> list[npt.NDArray[np.int64]]:
        """The behaviour of each output of each cell."""
        return [
            self.behaviour[self._places[c][0]] if c in self._places else self.behaviour for c in self.cells
        ]

    @cached_property
    def keys(self) -> list[npt.NDArray[np.int64]]:
        """For each cell a number for the prompt and sample of each output: outputs of two cells with the same number are paired."""
        plain = np.arange(len(self.behaviour)) * SAMPLES
        return [
            self._places[c][0] * SAMPLES + self._places[c][1] if c in self._places else plain
            for c in self.cells
        ]

    def unsafe(self, judge: str, policy: str, coherence: str) -> list[tuple[Floats, Floats]]:
        """Events and trials of each output of each cell under a policy."""
        self.load([(judge, "safety"), (coherence, "coherence")])
        return [
            policy_arrays(v, c, policy)
            for v, c in zip(self.codes(judge, "safety"), self.codes(coherence, "coherence"), strict=True)
        ]

    def right(self, verifier: str = "verifier") -> list[tuple[Floats, Floats]]:
        """Right answers and trials of each output of each cell."""
        return [policy_arrays(v, np.zeros_like(v), "as_judged") for v in self.codes(verifier, "correctness")]

    def sums(self, counted: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
        """Events and trials added up by behaviour: two arrays of (cells, clusters). Outputs that do not count are left out."""
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


def sample_of(
    view: View, benchmark: str, checkpoints: Sequence[str], attack: str = "", seed: int = SAFETY_SEED
) -> Sample | None:
    """The cells of some checkpoints on a benchmark, cut-off outputs counted as the selection says (always for capability); None where one of them has none, or they answered different versions of it."""
    known = view.cells[(view.cells["benchmark"] == benchmark) & (view.cells["attack"] == attack)].set_index(
        "checkpoint_id"
    )
    if not set(checkpoints) <= set(known.index):
        return None
    mine = known.loc[list(checkpoints)]
    if mine["benchmark_id"].nunique() != 1:
        return None
    return Sample(
        view.store,
        mine["benchmark_id"].iloc[0],
        dict(mine["cell_id"]),
        view.selection.truncated or seed == CAPABILITY_SEED,
        seed,
    )
