"""How a queue draws the outputs that people label, so that the chance of each is known.

A draw divides outputs into strata and puts each stratum in an order. In a stratum of random order the first n
of N outputs are a simple random sample, however early people stop. A stratum of adaptive order (the most
disputed outputs) says something about a rate only when all of it was labelled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
LEAST = 4
"""outputs drawn from a stratum, where it has so many, and labels from which on it has a variance of its
own"""


@dataclass(frozen=True)
class Stratum:
    """Outputs that are drawn alike.

    Attributes:
        draw: number of the draw that it belongs to; the strata of a draw do not overlap.
        size, drawn: outputs in it, and how many of them are in the queue.
        adaptive: whether its order depends on what judges said, so that only the whole of it counts.
    """

    name: str
    draw: int
    size: int
    drawn: int
    adaptive: bool = False

    @property
    def probability(self) -> float:
        return self.drawn / self.size if self.size else 0.0


@dataclass(frozen=True)
class Design:
    """A queue's draws over N outputs.

    Attributes:
        strata: of all draws.
        codes: (draws, N) the place of each output's stratum from 1; 0 where it cannot be drawn.
        rank: (draws, N) the place of each output in the order of its stratum, from 0.
    """

    strata: tuple[Stratum, ...]
    codes: Ints
    rank: Ints

    def drawn(self, stratum: int) -> Ints:
        """The outputs that a stratum put into the queue, in its order."""
        s = self.strata[stratum]
        mine = np.flatnonzero(self.codes[s.draw] == stratum + 1)
        return np.asarray(mine[np.argsort(self.rank[s.draw][mine])][: s.drawn])


def random_rank(ids: Sequence[str], seed: str) -> npt.NDArray[np.uint64]:
    """(N,) a random number for each id: the same for the same seed, whatever else is drawn.

    Two queues need two seeds, for their chances to combine as those of independent draws.
    """
    return np.array(
        [int.from_bytes(hashlib.blake2b(f"{seed} {i}".encode(), digest_size=8).digest(), "big") for i in ids],
        dtype=np.uint64,
    )


def power_allocation(sizes: Sequence[int], total: int, power: float = 0.5) -> list[int]:
    """How many of `total` to draw from each stratum: in proportion to size ** power (Bankier 1988), at least
    LEAST, at most all.

    With power 1 small strata get too few to say anything, with 0 large ones do; one half lies between.
    """
    n = np.asarray(sizes, dtype=np.int64)
    least = np.minimum(n, LEAST)
    given = least.copy()
    while (left := min(total, int(n.sum())) - int(given.sum())) > 0:
        room = n - given
        share = np.where(room > 0, n.astype(float) ** power, 0.0)
        more = np.minimum(np.floor(left * share / share.sum()).astype(np.int64), room)
        if not more.any():
            more[np.argsort(-share, kind="stable")[:left]] = 1
            more = np.minimum(more, room)
        given += more
    return [int(g) for g in given]


def stratified_design(names: npt.NDArray[np.object_], rank: npt.NDArray[np.uint64], total: int) -> Design:
    """One draw over outputs, in random order within each named stratum; simple random sampling where all have
    one name."""
    known, codes = np.unique(names.astype(str), return_inverse=True)
    sizes = np.bincount(codes, minlength=len(known))
    strata = tuple(
        Stratum(str(name), 0, int(size), n)
        for name, size, n in zip(known, sizes, power_allocation(list(sizes), total), strict=True)
    )
    return Design(strata, (codes + 1)[None].astype(np.int64), _ranks_within(codes, rank)[None])


def priority_design(
    priority: Floats, rank: npt.NDArray[np.uint64], total: int, share: float, name: str
) -> Design:
    """Two draws: the outputs of highest priority, all of them, and a random share of everything (those among
    them too).

    Args:
        priority: (N,) NaN where an output has none.
        share: of the total, drawn at random.
        name: of the stratum of highest priority.
    """
    n = len(priority)
    at_random = min(n, round(share * total))
    first = min(int((~np.isnan(priority)).sum()), total - at_random)
    order = np.lexsort((rank, -np.nan_to_num(priority, nan=-np.inf)))
    top = np.zeros(n, dtype=np.int64)
    top[order[:first]] = 2
    places = np.empty(n, dtype=np.int64)
    places[order] = np.arange(n)
    strata = (Stratum("at random", 0, n, at_random), Stratum(name, 1, first, first, adaptive=True))
    return Design(
        strata,
        np.stack([np.ones(n, dtype=np.int64), top]),
        np.stack([_ranks_within(np.zeros(n, dtype=np.int64), rank), places]),
    )


def _ranks_within(codes: Ints, rank: npt.NDArray[np.uint64]) -> Ints:
    order = np.lexsort((rank, codes))
    begins = np.searchsorted(codes[order], np.arange(codes.max(initial=0) + 1))
    places = np.empty(len(codes), dtype=np.int64)
    places[order] = np.arange(len(codes)) - begins[codes[order]]
    return places


def completed(stratum_answered: Sequence[bool], adaptive: bool) -> int:
    """How many outputs at the beginning of a stratum's order were all answered; 0 for an unfinished adaptive
    one."""
    done = next((i for i, answered in enumerate(stratum_answered) if not answered), len(stratum_answered))
    return 0 if adaptive and done < len(stratum_answered) else done


def collapsed(labels: npt.ArrayLike) -> Ints:
    """(strata,) groups of neighbours with at least LEAST labels each, numbered from 0; one group where
    there are too few for two.

    A stratum without a label says nothing of its outputs, and one with a single label nothing of its spread:
    they are read with the next one (collapsed strata, Cochran 1977, 5A.12), so that no output leaves the
    population.

    Args:
        labels: (strata,) labels in each; strata that are alike stand side by side.
    """
    counts = np.asarray(labels, dtype=np.int64)
    groups, group, held = np.zeros(len(counts), dtype=np.int64), 0, 0
    for i, n in enumerate(counts):
        groups[i] = group
        held += int(n)
        if held >= LEAST:
            group, held = group + 1, 0
    if held < LEAST and group:  # what is left over at the end joins the last whole group
        groups[groups == group] = group - 1
    return groups


def inclusion(codes: Ints, done: Sequence[float]) -> Floats:
    """The probability with which each output was labelled in some draw.

    Args:
        codes: (draws, N) as in `Design`.
        done: for each stratum the share of it that is completed.

    Returns:
        (N,) one less the chance of being missed by every draw.
    """
    share = np.concatenate([[0.0], np.asarray(done, dtype=float)])
    return np.asarray(1 - np.prod(1 - share[codes], axis=0))


def alike(codes: Ints, done: Sequence[float]) -> Ints:
    """(N,) numbers of the groups of outputs that had the same chances in every draw, those of neighbouring
    strata side by side; arguments as for `inclusion`."""
    counted = np.concatenate([[0], np.where(np.asarray(done) > 0, np.arange(1, len(done) + 1), 0)])
    return np.asarray(np.unique(counted[codes], axis=1, return_inverse=True)[1].ravel(), dtype=np.int64)
