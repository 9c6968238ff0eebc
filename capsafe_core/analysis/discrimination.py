"""Safety and over-refusal together: whether a recipe complies with more of everything at its goal, or tells
harmful from harmless requests less well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from capsafe_core.analysis.at_goal import Change, Side
from capsafe_core.analysis.columns import framed, records
from capsafe_core.analysis.matched import Matching, matching
from capsafe_core.analysis.number_words import hundredths, rate_words, true_minus
from capsafe_core.analysis.refusals import harmless_benchmarks, refused_at_goal
from capsafe_core.analysis.sample import HARMLESS_SEED, SAFETY_SEED
from capsafe_core.analysis.verbs import refusal_words
from capsafe_core.analysis.view import View
from capsafe_core.stats.discrimination import Detected, Refused, detected_interval, detection
from capsafe_core.stats.resampled import envelope
from capsafe_core.stats.seeds import own_noise, seed_spread, with_seeds

VALUES = ("sensitivity", "bias")
DISCRIMINATION = (
    "recipe",
    "harmful",
    "harmless",
    "judge",
    "goal",
    "seeds",
    "reached",
    *(
        f"{where}refused_{kind}{end}"
        for where in ("start_", "")
        for kind in ("harmful", "harmless")
        for end in ("", "_low", "_high")
    ),
    *(
        column
        for name in VALUES
        for column in (
            f"start_{name}",
            name,
            f"{name}_low",
            f"{name}_high",
            f"{name}_change",
            f"{name}_change_low",
            f"{name}_change_high",
            f"{name}_verb_low",
            f"{name}_verb_high",
        )
    ),
    "seeds_known",
    "words",
)


@dataclass(frozen=True)
class Detector:
    """Refusing by one side of a comparison.

    Attributes:
        values: (sensitivity, bias) as they are, and at the checkpoints around the goal where those are far
            apart.
    """

    harmful: Side
    harmless: Side
    values: list[tuple[Detected, Detected]]

    def mean(self, which: int) -> Detected:
        """Sensitivity (0) or bias (1)."""
        return self.values[0][which]


def detector(harmful: Side | None, harmless: Side | None) -> Detector | None:
    """Both kinds of requests by the same runs; None where one has no rate."""
    if harmful is None or harmless is None or len(harmful.rates) != len(harmless.rates):
        return None
    if np.isnan([*harmful.rates, *harmless.rates]).any():
        return None
    kinds = [
        [
            Refused(rates, draws, side.n)
            for rates, draws in zip([side.rates, *side.around], [side.draws, *side.around_draws], strict=True)
        ]
        for side in (harmful, harmless)
    ]
    return Detector(harmful, harmless, [detection(h, f) for h, f in zip(*kinds, strict=True)])


def discrimination_table(view: View, found: Matching | None = None) -> pd.DataFrame:
    """Each recipe at its goal and its start as a detector of harm: shares refused of harmful and of harmless
    requests, sensitivity d' and bias c.

    By the refusal judge; incoherent outputs count as it says. One row a recipe and benchmark of harmless
    requests, where both are answered.

    Returns:
        recipe, harmful, harmless (benchmarks), judge, goal, seeds, reached; start_refused_harmful,
        start_refused_harmless, refused_harmful, refused_harmless and their _low, _high; start_sensitivity,
        sensitivity, sensitivity_low, sensitivity_high, sensitivity_change (at the goal minus at the start)
        and its _low, _high (conditional on the seeds where there are fewer than ENOUGH_SEEDS),
        sensitivity_verb_low, sensitivity_verb_high (with training seeds, where anybody can know how much one
        changes); the same of bias; seeds_known as `recipe_table`; words (what that allows to be said).
    """
    found = matching(view) if found is None else found
    spec = view.specification
    rows: list[dict[str, object]] = []
    harmful = refused_at_goal(view, found, spec.benchmark, found.runs, spec.attack, SAFETY_SEED)
    for benchmark in harmless_benchmarks(view):
        harmless = refused_at_goal(view, found, benchmark, found.runs, "", HARMLESS_SEED)
        if harmful is None or harmless is None:
            continue
        known = {
            recipe: detector(side, harmless.over_seeds[recipe]) for recipe, side in harmful.over_seeds.items()
        }
        for recipe, there in known.items():
            runs = found.by_recipe()[recipe]
            row: dict[str, object] = {
                "recipe": recipe,
                "harmful": spec.benchmark,
                "harmless": benchmark,
                "judge": spec.refusal_judge,
                "goal": runs[0].goal,
                "seeds": len(runs),
                "reached": 0 if there is None else len(there.harmful.rates),
            }
            start = detector(harmful.start(runs[0]), harmless.start(runs[0])) if runs[0].has_start else None
            every = [other for other in known.values() if other is not None]
            row |= _shares(there, "") | _shares(start, "start_")
            changes: list[Change] = []
            if there is not None and start is not None:
                changes = [shift(there, start, every, which) for which in range(len(VALUES))]
                row["words"] = refusal_words(recipe, *changes)
            rows.append(row | _values(there, start, changes))
    return framed(rows, DISCRIMINATION)


def _shares(side: Detector | None, where: str) -> dict[str, object]:
    if side is None:
        return {}
    out: dict[str, object] = {}
    for kind, refused in (("harmful", side.harmful), ("harmless", side.harmless)):
        low, high = refused.interval() or (None, None)
        name = f"{where}refused_{kind}"
        out |= {name: refused.rate, f"{name}_low": low, f"{name}_high": high}
    return out


def _values(there: Detector | None, start: Detector | None, changes: Sequence[Change]) -> dict[str, object]:
    """Sensitivity and bias at the start and at the goal, and how they changed where both are known."""
    out: dict[str, object] = {}
    for which, name in enumerate(VALUES):
        if start is not None:
            out[f"start_{name}"] = start.mean(which).value
        if there is None:
            continue
        low, high = envelope([detected_interval(value[which]) for value in there.values]) or (None, None)
        out |= {name: there.mean(which).value, f"{name}_low": low, f"{name}_high": high}
        if changes:
            change = changes[which]
            (low, high), (verb_low, verb_high) = (
                x or (None, None) for x in (change.interval, change.with_seeds)
            )
            out |= {
                f"{name}_change": change.estimate,
                f"{name}_change_low": low,
                f"{name}_change_high": high,
                f"{name}_verb_low": verb_low,
                f"{name}_verb_high": verb_high,
                "seeds_known": change.seeds,
            }
    return out


def shift(there: Detector, start: Detector, every: Sequence[Detector], which: int) -> Change:
    """How sensitivity (0) or bias (1) changed, as a `Change`, whose interval with seeds a verb stands on.

    Args:
        every: all recipes at their goals, which tell how much a seed changes.
    """
    now, before = there.mean(which), start.mean(which)
    interval = envelope([detected_interval(value[which], before) for value in there.values])
    estimate = now.value - before.value
    spread = seed_spread(now.runs, [other.mean(which).runs for other in every])
    draws = now.draws.mean(axis=1) - before.draws.mean(axis=1)
    seeds = "" if spread is None else "pooled" if spread.pooled else "own"
    whole = None
    if interval is not None and spread is not None:
        arm = (len(now.runs), own_noise(now.draws), spread)
        whole = with_seeds(estimate, *interval, float(np.nanvar(draws)), [arm])
    return Change(
        estimate,
        whole if seeds == "own" else interval,
        whole,
        seeds,
        float(np.isnan(draws).mean()),
        there.harmful.is_wide,
        min(there.harmful.outputs, there.harmless.outputs),
        len(now.runs),
    )


def discrimination_words(table: pd.DataFrame) -> pd.DataFrame:
    """The table as a person reads it.

    Args:
        table: as `discrimination_table`.
    """
    rows = records(table)

    def way(row: dict[str, Any], kind: str) -> str:
        here = rate_words(*(row[f"refused_{kind}{end}"] for end in ("", "_low", "_high")))
        start = row[f"start_refused_{kind}"]
        return here if pd.isna(start) else f"{hundredths(start)}% → {here}"

    def change(row: dict[str, Any], name: str) -> str:
        value, low, high = (row[f"{name}_change{end}"] for end in ("", "_low", "_high"))
        if pd.isna(value):
            return "—"
        span = "" if pd.isna(low) or pd.isna(high) else f" ({low:+.1f} to {high:+.1f})"
        return true_minus(f"{row[f'start_{name}']:.1f} → {row[name]:.1f}, {value:+.1f}{span}")

    return pd.DataFrame(
        {
            "recipe": table["recipe"],
            "harmful requests refused": [way(row, "harmful") for row in rows],
            "harmless requests refused": [way(row, "harmless") for row in rows],
            "of": table["harmless"],
            "sensitivity d′": [change(row, "sensitivity") for row in rows],
            "bias c (higher: refuses less)": [change(row, "bias") for row in rows],
        }
    )
