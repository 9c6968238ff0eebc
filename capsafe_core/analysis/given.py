"""What can be shown of checkpoints that no capability goal makes comparable: each as it is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from capsafe_core.analysis.arms import Arm, Claim, arm_rates, checkpoint_name, claims
from capsafe_core.analysis.conclusions import Conclusion, State, conclusion
from capsafe_core.analysis.harm import harm_words
from capsafe_core.analysis.number_words import hundredths, interval_words, pts, share_words
from capsafe_core.analysis.overview import (
    BAR_ORDER,
    BARS,
    Numbers,
    chip,
    outcome_shares,
    shares_numbers,
    variants_number,
)
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.rates import cell_rates, study_counts
from capsafe_core.analysis.runs import Run
from capsafe_core.analysis.view import View

MOST_BARS = 12
"""checkpoints on the first screen; starts and last checkpoints go before those between"""
GIVEN = [
    "name",
    "recipe",
    "seed",
    "step",
    "checkpoint_id",
    "capability",
    "capability_low",
    "capability_high",
    "capability_benchmark",
    "unsafe",
    "unsafe_low",
    "unsafe_high",
    "unsafe_events",
    "unsafe_n",
    "judges_low",
    "judges_high",
    "incoherent",
    "no_verdict",
]


def given_table(view: View, paths: pd.DataFrame | None = None) -> pd.DataFrame:
    """Every checkpoint as it is given: not at a capability goal, so not capability-matched.

    Returns:
        name, then columns of `path_table`; a checkpoint that several paths share stands once. Starts first,
        then recipes in order of step.
    """
    paths = path_table(view) if paths is None else paths
    table = paths.assign(
        name=[checkpoint_name(point) for point in paths.itertuples()], is_tuned=paths["step"] > 0
    )
    table = table.sort_values(["is_tuned", "recipe", "seed", "step"], kind="stable", ignore_index=True)
    first = ~table["checkpoint_id"].duplicated()
    return table.loc[first, GIVEN].reset_index(drop=True)


@dataclass(frozen=True)
class AsGiven:
    """The first screen without a goal.

    Attributes:
        headline: the largest difference between two checkpoints as given, or what is there.
        chip: in how many analysis variants its direction holds.
        bars: a table with BARS; `recipe` is the name of a checkpoint, of at most MOST_BARS.
        table: as `given_table`.
        claim: key of the headline's claim; "" where nothing can be compared.
        state: how far that claim holds.
        numbers: as on the first screen at a goal.
    """

    headline: str
    chip: str
    bars: pd.DataFrame
    table: pd.DataFrame
    claim: str
    state: State | None
    numbers: Numbers


def as_given(view: View, runs: list[Run]) -> AsGiven:
    """The first screen of a study whose recipes are not compared at a goal.

    Args:
        runs: as `matched_runs`.
    """
    counts = study_counts(view)
    table = given_table(view, path_table(view, cell_rates(view, counts)))
    claim = _largest(view, runs, counts)
    found = conclusion(view, claim, runs) if claim else None
    first = _side(table, found.claim.a) if found else _known(table)
    return AsGiven(
        _headline(view, table, found),
        chip(found),
        _bars(view, table),
        table,
        found.claim.key if found else "",
        found.state if found else None,
        _numbers(view, first, found),
    )


def _largest(view: View, runs: list[Run], counts: pd.DataFrame) -> Claim | None:
    """The claim whose sides differ most under the primary benchmark, judge and policy; else the first."""
    known = arm_rates(view, runs, counts)
    listed = claims(view, known)
    spec = view.specification
    mine = [
        (v.benchmark, v.judge, v.policy) == (spec.benchmark, spec.judge, spec.policy) for v in known.variants
    ]
    changes = [np.abs(known.change(c)[mine]).max(initial=0.0) if any(mine) else 0.0 for c in listed]
    sizes = np.nan_to_num(np.array(changes), nan=-1.0)
    return listed[int(sizes.argmax())] if listed else None


def _side(table: pd.DataFrame, arm: Arm) -> pd.DataFrame:
    """The row of an arm's checkpoint."""
    is_last = (table["recipe"] == arm.name) & (table["step"] > 0)
    rows = table.loc[is_last if arm.kind == "last" else table["name"] == arm.name]
    return rows.sort_values(["seed", "step"], ascending=[True, False]).head(1)


def _known(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["unsafe"].notna()].head(1)


def _headline(view: View, table: pd.DataFrame, found: Conclusion | None) -> str:
    spec, known = view.specification, _known(table)
    if found is not None:
        given = "" if found.claim.matched else " They are compared as given, not at one capability."
        return f"{found.first}{given}"
    if len(known):
        row = known.iloc[0]
        low, high = row["unsafe_low"], row["unsafe_high"]
        interval = "" if pd.isna(low) else f" (95% CI {interval_words(low, high)})"
        return (
            f"By {spec.judge}, {row['name']} {harm_words(spec.judge).verb} "
            f"{share_words(row['unsafe'], int(row['unsafe_n']))} requests of "
            f"{spec.benchmark}{interval}. No other checkpoint has "
            "verdicts that it can be compared with."
        )
    able = table.dropna(subset=["capability"])
    if able.empty:
        return "No checkpoint has a safety verdict or a capability yet."
    low, high = able["capability"].min(), able["capability"].max()
    span = f"{hundredths(low)}%" if low == high else f"{hundredths(low)} to {hundredths(high)}%"
    return (
        f"No response has a safety verdict yet; the capability of {len(able)} "
        f"checkpoint{'s' if len(able) > 1 else ''} on {able['capability_benchmark'].iloc[0]} is {span}."
    )


def _bars(view: View, table: pd.DataFrame) -> pd.DataFrame:
    """Outcome shares of the checkpoints, in the order of the table."""
    shares = outcome_shares(view)
    there = table[table["checkpoint_id"].isin(shares.dropna(how="all").index)]
    ends = (there["step"] == 0) | (
        there["step"] == there.groupby(["recipe", "seed"])["step"].transform("max")
    )
    chosen = pd.concat([there[ends], there[~ends]]).head(MOST_BARS).sort_index()
    rows = [
        (name, outcome, float(share), "")
        for name, checkpoint in zip(chosen["name"], chosen["checkpoint_id"], strict=True)
        for outcome, share in zip(BAR_ORDER, shares.loc[checkpoint], strict=True)
    ]
    return pd.DataFrame(rows, columns=BARS)


def _numbers(view: View, first: pd.DataFrame, found: Conclusion | None) -> Numbers:
    change, words = "—", "no two checkpoints can be compared"
    if found is not None:
        main = found.curve[found.curve["primary"]]
        change = pts(float(main["estimate"].iloc[0]), "+") if len(main) else "—"
        words = f"{found.claim.words}; judge {view.specification.judge}"
    row = first.iloc[0] if len(first) else None
    name, incoherent, spread = (
        ("the checkpoint", np.nan, np.nan)
        if row is None
        else (str(row["name"]), float(row["incoherent"]), float(row["judges_high"] - row["judges_low"]))
    )
    return {
        "Difference in unsafe rate": (change, words),
        **shares_numbers(view, name, incoherent, spread),
        **variants_number(found),
    }
