"""How much another training seed would change: intervals that hold for a recipe, and not for its runs alone.

An interval over prompts speaks of the runs that were made. Two recipes that are the same differ in their
runs, so a verdict on recipes takes the spread of their seeds in too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capsafe_core.stats.distributions import normal_quantile, t_quantile

Floats = npt.NDArray[np.float64]
ENOUGH_SEEDS = 5
"""From so many seeds on a recipe's own spread is used; below, that of all recipes of the study."""
LEAST_POOLED = 3
"""degrees of freedom below which a pooled spread says nothing"""


@dataclass(frozen=True)
class SeedSpread:
    """The spread of a recipe's rate over training seeds.

    Attributes:
        variance: of one seed.
        freedom: degrees of freedom that it is known with.
        pooled: whether it is that of all recipes, taken to be the same for each.
    """

    variance: float
    freedom: int
    pooled: bool


def seed_spread(mine: npt.ArrayLike, every: Sequence[npt.ArrayLike]) -> SeedSpread | None:
    """The spread of one recipe: its own from ENOUGH_SEEDS on, else pooled over recipes; None for one seed,
    and where too few seeds tell it.

    Args:
        mine: (seeds,) rates of the recipe.
        every: the same of each recipe of the study, this one among them.
    """
    rates = np.asarray(mine, dtype=float)
    if len(rates) < 2:
        return None
    if len(rates) >= ENOUGH_SEEDS:
        return SeedSpread(float(rates.var(ddof=1)), len(rates) - 1, False)
    groups = [np.asarray(r, dtype=float) for r in every if np.size(r) > 1]
    freedom = sum(len(r) - 1 for r in groups)
    if freedom < LEAST_POOLED:
        return None
    within = sum(float(((r - r.mean()) ** 2).sum()) for r in groups)
    return SeedSpread(within / freedom, freedom, True)


def own_noise(draws: Floats) -> float:
    """The variance of one seed's rate that comes from resampling alone and is not shared with the other
    seeds.

    Args:
        draws: (resamples, seeds); resamples in which a seed has no rate are left out.
    """
    seeds, whole = draws.shape[1], draws[~np.isnan(draws).any(axis=1)]
    if seeds < 2 or not len(whole):
        return 0.0
    apart = whole - whole.mean(axis=1, keepdims=True)
    return float(apart.var(axis=0).mean() * seeds / (seeds - 1))


def with_seeds(
    estimate: float,
    low: float,
    high: float,
    prompts: float,
    arms: Sequence[tuple[int, float, SeedSpread]],
    level: float = 0.95,
) -> tuple[float, float]:
    """An interval of a mean over seeds, or of a difference of such means, that includes the seeds.

    Half widths of prompts and of seeds add up as squares (as in the method of variance estimates recovery,
    Zou and Donner 2008). What the seeds' spread holds of chance in prompts is taken off the half widths of
    prompts first.

    Args:
        low, high: the interval over prompts, and `prompts` the variance of its resamples.
        arms: seeds, `own_noise` and spread of each side that was trained.
    """
    z = normal_quantile(0.5 + level / 2)
    seeds = sum(t_quantile(0.5 + level / 2, s.freedom) ** 2 * s.variance / k for k, _, s in arms)
    twice = z**2 * min(sum(noise / k for k, noise, _ in arms), prompts)
    below, above = (
        float(np.sqrt(max(half**2 - twice, 0.0) + seeds)) for half in (estimate - low, high - estimate)
    )
    return estimate - below, estimate + above
