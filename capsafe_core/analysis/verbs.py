"""What a change allows to be said, and how: the one place that decides verbs.

A verb about a recipe stands on an interval that includes training seeds. Where nobody can know how much a
seed changes, the numbers are told of the runs that were made, and no verb.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from capsafe_core.analysis.at_goal import Change, Verdict
from capsafe_core.analysis.number_words import hundredths, pts, true_minus

_VERBS = {
    Verdict.LESS_SAFE: "is less safe than",
    Verdict.SAFER: "is safer than",
    Verdict.OPEN: "cannot be told apart from",
}
ONE_MORE_SEED = (
    "Too few training seeds were run to know how much another one would change, so this says nothing of the "
    "recipe in general"
)


def comparison(
    a: str, b: str, change: Change, rates: tuple[str, str], answers: str, why_none: str = ""
) -> str:
    """Two sides and their difference in one sentence, without a full stop.

    Args:
        a, b: the sides in words, and `rates` their unsafe rates, in words too.
        answers: what is counted, as `Harm.answers`.
        why_none: why there is no interval, where there is none.
    """
    numbers = f"{pts(change.estimate, '+')} {span(change, why_none)}"
    if change.verdict is Verdict.WITHHELD:
        runs = runs_words(change.runs)
        return f"in {runs}, {a} has {rates[0]} {answers} and {b} {rates[1]}: {numbers}"
    return f"{a} {_VERBS[change.verdict]} {b}: {rates[0]} {answers} against {rates[1]}, {numbers}"


def refusal_words(recipe: str, sensitivity: Change, bias: Change) -> str:
    """What became of refusing in a recipe at its goal, in one sentence: whether it tells harmful from
    harmless requests apart as well as before, and whether it refuses as much of both.

    Args:
        sensitivity, bias: how d′ and c changed from its start.
    """
    d, c = (
        true_minus(f"{name} {shift.estimate:+.1f}{_units(shift)}")
        for name, shift in (("d′", sensitivity), ("c", bias))
    )
    if sensitivity.with_seeds is None or bias.with_seeds is None:
        return f"In {runs_words(sensitivity.runs)}, from its start to {recipe} at its goal: {d}; {c}."
    tells = {
        1: "tells harmful from harmless requests apart better than its start",
        -1: "tells harmful from harmless requests apart less well than its start",
        0: "cannot be told from its start in how well it tells harmful from harmless requests apart",
    }[sensitivity.direction or 0]
    leans = {
        1: "complies with more of both",
        -1: "refuses more of both",
        0: "whether it refuses more or less of both is open",
    }[bias.direction or 0]
    return f"{recipe} at its goal {tells} ({d}); {leans} ({c})."


def capability_verdict(change: Change) -> str:
    """What the change of a capability from the start to the goal of another one allows to be said: gained,
    lost, open, or withheld."""
    return {1: "gained", -1: "lost", 0: Verdict.OPEN.value, None: Verdict.WITHHELD.value}[change.direction]


def profile_words(recipe: str, benchmark: str, change: Change, rates: tuple[float, float]) -> str:
    """What became of another capability in a recipe at its goal, in one sentence.

    Args:
        rates: shares of right answers, at the goal and at the start.
    """
    numbers = (
        f"{rates[1]:.0%} right before, {rates[0]:.0%} at its goal, {pts(change.estimate, '+')} {span(change)}"
    )
    if change.direction is None:
        return f"{benchmark} in {runs_words(change.runs)} of {recipe}: {numbers}."
    did = {1: "got better at", -1: "lost some of", 0: "cannot be told from its start on"}[change.direction]
    return f"{recipe} {did} {benchmark}: {numbers}."


def _units(change: Change) -> str:
    """The interval of a change that is not a rate, in brackets."""
    interval = change.with_seeds or change.interval
    if interval is None:
        return " (no interval)"
    return f" ({interval[0]:+.1f} to {interval[1]:+.1f}, {seeds_words(change.seeds, change.runs)})"


def span(change: Change, why_none: str = "") -> str:
    """The interval that the words stand on, and what it holds of training seeds, in brackets."""
    interval = change.with_seeds or change.interval
    if interval is None:
        return f"(no interval: {why_none})" if why_none else "(no interval)"
    told = [f"{hundredths(interval[0], '+')} to {hundredths(interval[1], '+')}"]
    if change.seeds != "none":
        told.append(seeds_words(change.seeds, change.runs))
    return f"({', '.join(told)})"


def limits(change: Change | None) -> str:
    """What a reader must know of a change before what it says, as sentences that others follow; "" where
    nothing limits it."""
    told = []
    if change is not None and change.verdict is Verdict.WITHHELD and change.interval is not None:
        told.append(f"{ONE_MORE_SEED}. ")
    if change is not None and change.is_wide:
        told.append(
            "The checkpoints around the goal are far apart, so the interval holds the rates of both. "
        )
    return "".join(told)


def seeds_words(seeds: str, runs: int) -> str:
    """What an interval holds of training seeds.

    Args:
        seeds: as `Change.seeds`.
        runs: the seeds of the side that has fewer.
    """
    return {
        "none": "",
        "own": "with training seeds",
        "pooled": "with training seeds, taken to spread alike for every recipe",
    }.get(seeds, conditional(runs))


def conditional(runs: int) -> str:
    """That an interval speaks of these seeds only."""
    return f"conditional on {runs} seed{'s' if runs > 1 else ''}"


def runs_words(runs: int) -> str:
    """The runs that were made, where nothing can be said of others."""
    return "this run" if runs == 1 else f"these {runs} runs"


def change_means(row: Mapping[str, Any], harm: str) -> str:
    """What the change of a recipe at its goal allows to be said, for people who read no intervals.

    Args:
        row: of `recipe_table`.
        harm: what is counted, as `Harm.answers`.
    """
    low, high, seeds, runs = (row[name] for name in ("verb_low", "verb_high", "seeds_known", "reached"))
    if row["verdict"] == Verdict.WITHHELD.value:
        low, high = row["delta_low"], row["delta_high"]
    if pd.isna(low) or pd.isna(high):
        return "There is no interval, so nothing is said about the change."
    chance = "as far as chance in the requests and test items goes"
    if row["verdict"] == Verdict.WITHHELD.value:
        return (
            f"In {runs_words(int(runs))} the change lies between {hundredths(low, '+')} and "
            f"{hundredths(high, '+')} of 100 requests, {chance}. {ONE_MORE_SEED}."
        )
    if row["verdict"] == Verdict.OPEN.value:
        return (
            f"Whether {harm} became more or less frequent is open: the change lies between "
            f"{hundredths(low, '+')} and {hundredths(high, '+')} of 100 requests "
            f"({seeds_words(seeds, int(runs))})."
        )
    more = row["verdict"] == Verdict.LESS_SAFE.value
    ends = (low, high) if more else (-high, -low)
    return (
        f"{harm[0].upper()}{harm[1:]} became {'more' if more else 'less'} frequent: by "
        f"{hundredths(ends[0])} to {hundredths(ends[1])} of 100 requests, as far as chance in the "
        "requests, the test items and the training seeds goes"
        f"{' (taken to spread alike for every recipe)' if seeds == 'pooled' else ''}."
    )
