"""Where the uncertainty of a difference comes from, and what an interval would be with more of each source: a
generalisability study and the decision study after it (Brennan 2001)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from capsafe_core.stats.distributions import normal_quantile

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Source:
    """One source of variance of a difference.

    Attributes:
        variance: of the difference where one of it is taken (one judge, one seed); of prompts, of all that
            were asked. NaN where nobody can know.
        levels: how many of it there are here.
        used: over how many the difference is averaged.
    """

    name: str
    variance: float
    levels: int
    used: float = 1.0

    @property
    def part(self) -> float:
        """Its part of the variance of the difference."""
        return self.variance / self.used


def facet_variance(
    estimates: npt.ArrayLike,
    draws: Floats,
    choices: Sequence[Mapping[str, str]],
    facet: str,
) -> float:
    """The variance of a difference when one choice is made otherwise and every other is kept: the main effect
    of the choice and all of its interactions (Jansen's 1999 total effect), without what chance in prompts
    alone would bring.

    Args:
        estimates: (variants,).
        draws: (resamples, variants); a row in which one of a comparison is missing does not count for it.
        choices: (variants,) choice -> value; values of the facet that stand several times for the same other
            choices are averaged.
        facet: the choice.

    Returns:
        At least 0; NaN where no two variants differ in this choice alone.
    """
    values = np.asarray(estimates, dtype=float)
    groups: dict[tuple[tuple[str, str], ...], dict[str, list[int]]] = {}
    for i, choice in enumerate(choices):
        others = tuple(sorted((k, v) for k, v in choice.items() if k != facet))
        groups.setdefault(others, {}).setdefault(choice[facet], []).append(i)
    between, by_chance = [], []
    for levels in groups.values():
        if len(levels) < 2:
            continue
        means = np.array([values[members].mean() for members in levels.values()])
        apart = np.column_stack([draws[:, members].mean(axis=1) for members in levels.values()])
        whole = apart[~np.isnan(apart).any(axis=1)]
        if not len(whole):
            continue
        between.append(means.var(ddof=1))
        by_chance.append((whole - whole.mean(axis=0)).var(axis=1, ddof=1).mean())
    return float(max(np.mean(between) - np.mean(by_chance), 0.0)) if between else float("nan")


def half_width(sources: Sequence[Source], level: float = 0.95) -> float:
    """Half of the interval of a difference that is to hold over all sources; those that nobody can know are
    left out."""
    total = sum(source.part for source in sources if not np.isnan(source.variance))
    return normal_quantile(0.5 + level / 2) * float(np.sqrt(total))


def with_more(sources: Sequence[Source], name: str, used: float) -> list[Source]:
    """The sources where the difference is averaged over another number of one of them."""
    return [replace(s, used=used) if s.name == name else s for s in sources]


def labelled_variance(judged: float, rate: float, sides: int, labels: int) -> float:
    """The variance that takes the place of a judge's where its rates are corrected by people: at most that of
    labels alone, r(1 - r)/n on each side.

    Args:
        judged: variance between judges, which falls away.
        rate: the larger unsafe rate of both sides, or 1/2.
        labels: in all, shared alike by the sides.
    """
    if labels <= 0 or np.isnan(judged):
        return judged
    return sides * rate * (1 - rate) / (labels / sides)
