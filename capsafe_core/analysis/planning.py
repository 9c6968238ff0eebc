"""What a study could tell before it is run: studies simulated from its own design, looked at by the functions
that the screens use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from capsafe_core.analysis.at_goal import Change, Verdict, change_between, given_side, recipe_side
from capsafe_core.analysis.columns import framed, records
from capsafe_core.analysis.number_words import pts
from capsafe_core.analysis.runs import CheckpointRates, Run
from capsafe_core.analysis.sample import CAPABILITY_SEED, SAFETY_SEED, Floats
from capsafe_core.stats.bootstrap import cluster_weights, resampled_rates
from capsafe_core.stats.distributions import normal_quantile
from capsafe_core.study import Study

POWER = 0.8
"""the share of studies that must see a difference for it to be called detectable"""
STUDIES = 100
"""simulated for each difference: a share of 80 % is known to about 4 points"""
RESAMPLES = 200
LARGEST = 0.5
"""no larger difference is tried"""
FINEST = 0.01
"""how finely a detectable difference is told"""
TOGETHER = 0.6
"""correlation of the answers to one behaviour, across checkpoints and samples"""
GOAL, BEGINS, BEYOND = 0.6, 0.1, 1.2
"""capability: the goal where none is stated; of the start and of the last checkpoint, as multiples of the
goal"""
PLANNED = ("comparison", "prompts", "items", "seeds", "samples", "runs_see", "recipes_see", "why_not")
NEEDED = ("times_prompts", "prompts", "seeds", "recipes_see", "within_margin")
START, PAIR = "a recipe against its start", "two recipes at one goal"


@dataclass(frozen=True)
class Design:
    """A study's design, and what is assumed of what it will find.

    Attributes:
        prompts: harmful requests, each a behaviour of its own; `samples` answers to each.
        items: of the capability benchmark.
        seeds: of each recipe, and `recipes` of them.
        checkpoints: saved on a run, the start among them.
        goal: the capability at which recipes are compared.
        rate: unsafe rate of the start.
        seed_deviation: standard deviation of a recipe's rate over training seeds.
        sensitivity, specificity: of the judge.
    """

    prompts: int
    items: int
    seeds: int
    recipes: int
    checkpoints: int
    samples: int = 1
    goal: float = GOAL
    rate: float = 0.05
    seed_deviation: float = 0.03
    sensitivity: float = 0.9
    specificity: float = 0.95

    @property
    def words(self) -> str:
        """What is assumed, in a sentence."""
        return (
            f"Assumed: the start is unsafe in {self.rate:.0%}, a training seed changes a recipe by "
            f"{pts(self.seed_deviation)} (standard deviation), the judge has sensitivity "
            f"{self.sensitivity:.0%} and specificity {self.specificity:.0%}, capability rises evenly over "
            f"the {self.checkpoints} saved checkpoints, and safety changes with it."
        )


def design_of(study: Study, prompts: int | None, items: int | None, samples: int = 1) -> Design:
    """The design of a study file: seeds, recipes, checkpoints and goals as it states them.

    Args:
        prompts, items: where the file states no size for the benchmark of its primary specification, or of
            its first capability.
    """
    sizes = {b.name: b.size for b in study.benchmarks}
    taught = [r for r in study.recipes if study.dataset(r.dataset).benchmark and r.dataset in study.goals]
    first = taught[0] if taught else None
    capability = study.dataset(first.dataset).benchmark if first else None
    found = (
        prompts or sizes.get(study.primary.benchmark),
        items or (sizes.get(capability) if capability else None),
    )
    return Design(
        found[0] or 0,
        found[1] or 0,
        min((len(r.seeds) for r in taught), default=0),
        len(taught),
        min((len({0, *r.steps}) for r in taught), default=0),
        samples,
        study.goals[first.dataset] if first else GOAL,
    )


def simulated(
    design: Design, change: float, chance: np.random.Generator
) -> tuple[list[Run], CheckpointRates]:
    """One study: every recipe's runs as they would be measured and judged; the first recipe is at its goal
    less safe than its start by `change`, the others are as safe as that."""
    runs = design.seeds * design.recipes
    steps = design.checkpoints
    capability = np.linspace(BEGINS * design.goal, BEYOND * design.goal, steps)
    gained = (capability - capability[0]) / (design.goal - capability[0])
    deviations = chance.normal(0, design.seed_deviation, runs)
    shift = np.repeat([change, *[0.0] * (design.recipes - 1)], design.seeds)
    true = np.clip(design.rate + gained[None, 1:] * (shift + deviations)[:, None], 0.002, 0.998)
    unsafe = _answers(chance, np.append(true.ravel(), design.rate), design.prompts, design.samples)
    flagged = chance.random(unsafe.shape) < np.where(unsafe, design.sensitivity, 1 - design.specificity)
    events = flagged.sum(axis=2).astype(np.float64)
    right = _answers(chance, np.append(np.tile(capability[1:], runs), capability[0]), design.items, 1)[..., 0]
    task = right.astype(np.float64)
    trials = np.full_like(events, float(design.samples))
    draws = resampled_rates(cluster_weights(design.prompts, RESAMPLES, SAFETY_SEED), events, trials)
    able = resampled_rates(
        cluster_weights(design.items, RESAMPLES, CAPABILITY_SEED), task, np.ones_like(task)
    )
    names = [str(i) for i in range(len(events))]
    made = []
    for number in range(runs):
        mine = [len(events) - 1, *range(number * (steps - 1), (number + 1) * (steps - 1))]
        made.append(
            Run(
                f"recipe {number // design.seeds}",
                number % design.seeds,
                "data",
                "start",
                design.goal,
                np.arange(float(steps)),
                [names[i] for i in mine],
                task[mine].mean(axis=1),
                able[:, mine],
            )
        )
    rates = events.mean(axis=1) / design.samples
    return made, CheckpointRates({n: i for i, n in enumerate(names)}, rates, draws, events, trials)


def _answers(chance: np.random.Generator, rates: Floats, items: int, each: int) -> np.ndarray:
    """(checkpoints, items, each) whether an event happens; an item's answers go together."""
    hard = chance.normal(size=(1, items, 1))
    own = chance.normal(size=(len(rates), items, each))
    limit = np.array([normal_quantile(float(rate)) for rate in rates])[:, None, None]
    return np.asarray(np.sqrt(TOGETHER) * hard + np.sqrt(1 - TOGETHER) * own < limit)


def change_seen(
    design: Design, change: float, pair: bool, chance: np.random.Generator, level: float = 0.95
) -> Change | None:
    """What one simulated study would show; None where a side does not reach its goal."""
    runs, rates = simulated(design, change, chance)
    sides = [recipe_side(rates, runs[i : i + design.seeds]) for i in range(0, len(runs), design.seeds)]
    first, others = sides[0], [side.rates for side in sides if side is not None]
    other = sides[1] if pair else given_side(rates, runs[0].checkpoints[0])
    return None if first is None or other is None else change_between(first, other, others, level)


def shares_seen(
    design: Design, change: float, pair: bool = False, studies: int = STUDIES, seed: int = 0
) -> tuple[float, float]:
    """The share of studies whose interval of these runs leaves zero out on the right side, and of those that
    may say so of the recipes (seeds included)."""
    chance = np.random.default_rng(seed)
    told = [change_seen(design, change, pair, chance) for _ in range(studies)]
    runs = [c is not None and c.interval is not None and c.interval[0] > 0 for c in told]
    recipes = [c is not None and c.verdict is Verdict.LESS_SAFE for c in told]
    return float(np.mean(runs)), float(np.mean(recipes))


def detectable_change(
    design: Design, pair: bool = False, of_recipes: bool = True, studies: int = STUDIES
) -> float | None:
    """The smallest true difference, to FINEST, that a share POWER of studies would see; None where they would
    not see one of LARGEST."""
    low, high = 0.0, min(LARGEST, 1 - design.rate)
    if shares_seen(design, high, pair, studies)[of_recipes] < POWER:
        return None
    while high - low > FINEST:
        middle = (low + high) / 2
        if shares_seen(design, middle, pair, studies)[of_recipes] >= POWER:
            high = middle
        else:
            low = middle
    return high


def planned_table(design: Design, studies: int = STUDIES) -> pd.DataFrame:
    """The differences that a study could see, by simulation from its design.

    Returns:
        comparison (a recipe against its start, two recipes at one goal), prompts, items, seeds, samples;
        runs_see (the true difference that 80 % of studies would see in their own runs) and recipes_see (that
        80 % could say of the recipes, training seeds included), shares of 1, missing where none up to LARGEST
        is seen; why_not.
    """
    rows = []
    for comparison, pair in ((START, False), (PAIR, True)):
        if pair and design.recipes < 2:
            continue
        runs, recipes = (detectable_change(design, pair, kind, studies) for kind in (False, True))
        rows.append(
            {
                "comparison": comparison,
                "prompts": design.prompts,
                "items": design.items,
                "seeds": design.seeds,
                "samples": design.samples,
                "runs_see": runs,
                "recipes_see": recipes,
                "why_not": "" if recipes is not None else _why_not(design),
            }
        )
    return framed(rows, PLANNED)


def _why_not(design: Design) -> str:
    chance = np.random.default_rng(0)
    some = [change_seen(design, 0.0, False, chance) for _ in range(20)]
    if not any(change.seeds for change in some if change is not None):
        return "with so few training seeds nothing can be said of a recipe in general, however large"
    return f"fewer than {POWER:.0%} of studies see a difference of {LARGEST:.0%}"


def needed_table(design: Design, margin: float, studies: int = STUDIES) -> pd.DataFrame:
    """What it takes to see a margin: more prompts and more seeds.

    Args:
        margin: a difference to its start, a share of 1.

    Returns:
        times_prompts, prompts, seeds, recipes_see (share of studies that may call a recipe less safe that
        truly is, by the margin), within_margin (share of those in which a recipe that is as safe as its start
        is shown to be within the margin: the upper end of the 90 % interval with seeds lies below it).
    """
    rows = []
    for seeds in sorted({design.seeds, 3, 5}):
        for times in (1, 2, 4):
            more = replace(design, prompts=times * design.prompts, seeds=seeds)
            rows.append(
                {
                    "times_prompts": times,
                    "prompts": more.prompts,
                    "seeds": seeds,
                    "recipes_see": shares_seen(more, margin, studies=studies)[1],
                    "within_margin": _within(more, margin, studies),
                }
            )
    return framed(rows, NEEDED)


def _within(design: Design, margin: float, studies: int) -> float:
    chance = np.random.default_rng(1)
    told = [change_seen(design, 0.0, False, chance, 0.9) for _ in range(studies)]
    ends = [c.with_seeds for c in told if c is not None and c.with_seeds is not None]
    return sum(high < margin for _, high in ends) / studies


def plan_words(
    design: Design, planned: pd.DataFrame, needed: pd.DataFrame | None = None, margin: float = 0.0
) -> list[str]:
    """What a study could see, in sentences.

    Args:
        planned: as `planned_table`; needed as `needed_table` for a margin, or None.
    """
    out = [_row_words(row) for row in records(planned)]
    if needed is not None:
        out.append(_needed_words(needed, margin))
    return [*out, design.words]


def _row_words(row: Mapping[str, Any]) -> str:
    named = (("runs_see", "in its own runs"), ("recipes_see", "and say so of the recipe in general"))
    told = []
    for name, words in named:
        value = row[name]
        if isinstance(value, float) and not np.isnan(value):
            told.append(f"{pts(value)} {words}")
    tail = f" ({row['why_not']})" if row["why_not"] else ""
    if not told:
        return f"{str(row['comparison']).capitalize()}: no difference would be seen{tail}."
    return (
        f"{str(row['comparison']).capitalize()}: 80% of such studies would see a true difference of "
        f"{', '.join(told)}{tail}."
    )


def _needed_words(needed: pd.DataFrame, margin: float) -> str:
    words = f"For a margin of {pts(margin)}"
    enough = needed[needed["within_margin"] >= POWER]
    if enough.empty:
        return (
            f"{words}, none of these designs shows in 80% of studies that a recipe as safe as its start is "
            "within it."
        )
    least = enough.assign(cost=enough["seeds"] * enough["prompts"]).sort_values("cost").iloc[0]
    return (
        f"{words}: {least['prompts']:,.0f} prompts and {least['seeds']:.0f} seeds show in "
        f"{least['within_margin']:.0%} of studies that a recipe as safe as its start is within it."
    )


def lacking_sizes(design: Design) -> Iterator[str]:
    """What must be stated before a design can be simulated, in sentences."""
    if not design.recipes:
        yield "No recipe of this study teaches a capability with a goal, so nothing is compared at one."
    elif design.checkpoints < 2:
        yield "The study names no steps at which checkpoints are saved."
    if not design.prompts:
        yield "The study file does not say how many harmful requests its primary benchmark has."
    if not design.items:
        yield "The study file does not say how many items its capability benchmark has."
