"""Mitigations in words: the answer, what it rests on, and the table as a person reads it."""

from __future__ import annotations

from typing import Any

import pandas as pd

from capsafe_core.analysis.at_goal import Verdict
from capsafe_core.analysis.columns import records
from capsafe_core.analysis.matched import Matching
from capsafe_core.analysis.mitigations import HALVED, MITIGATION, STOPPED, families
from capsafe_core.analysis.number_words import hundredths, p_words, percent, pts
from capsafe_core.analysis.verbs import conditional, seeds_words
from capsafe_core.analysis.view import View

LEVEL = 0.05
"""of the adjusted p-values from which on a difference has a verb"""
VERBS = (Verdict.SAFER, Verdict.LESS_SAFE)
NOT_MEASURED = "not measured"
Row = dict[str, Any]


def answer(view: View, table: pd.DataFrame, refusals: pd.DataFrame) -> list[str]:
    """For each recipe that is mitigated: which mitigation is safer at the same capability, or that none is
    shown to be.

    A difference has a verb only where its interval with training seeds leaves out zero (`at_goal.Change`),
    also when adjusted for all that are read together, and under the primary specification.

    Args:
        table: as `mitigations_table`, and `refusals` as `over_refusal_table`.
    """
    sentences = []
    for of, rows in table.groupby("of", sort=False):
        known = records(rows)
        base = next(row for row in known if row["kind"] == STOPPED)
        goal = f"{base['goal']:.0%} on {view.capability_benchmark(view.study.recipe(str(of)).dataset)}"
        if not base["reached"]:
            sentences.append(f"{base['why_not']}, so no mitigation of it can be compared there.")
            continue
        there = [row for row in known if row["kind"] == MITIGATION and pd.notna(row["delta"])]
        proven = [row for row in there if verb(view, row) == "safer"]
        lead = f"At {goal}, {of} {view.harm.verb} {_rate(base)} of harmful requests"
        if proven:
            best = min(proven, key=lambda row: row["delta"])
            price = _price(best, _refused(best, refusals))
            sentences.append(f"{lead}, and {best['recipe']} is safer: {_change(best)}.{price}")
        elif there:
            least = min(there, key=lambda row: row["delta"])
            sentences.append(
                f"{lead}. No mitigation is shown to be safer at that capability; {least['recipe']}: "
                f"{_change(least)}{_why_open(view, least)}."
            )
        else:
            sentences.append(f"{lead}. No mitigation of it reaches {goal}, so none is compared.")
    return sentences


def verb(view: View, row: Row) -> str:
    """safer, less safe, or "" where the difference to the unmitigated recipe is not shown."""
    told = view.completes_primary and row["p_holm"] <= LEVEL and row["verdict"] in VERBS
    return str(row["verdict"]) if told else ""


def _span(row: Row) -> tuple[float, float, float]:
    return row["unsafe"], row["unsafe_low"], row["unsafe_high"]


def _rate(row: Row) -> str:
    """An unsafe rate with its interval and n."""
    rate, n = f"{percent(row['unsafe'])}%", f"n = {row['n']:.0f}"
    if pd.isna(row["unsafe_low"]):
        return f"{rate} ({n})"
    return f"{rate} (95% CI {percent(row['unsafe_low'])}–{percent(row['unsafe_high'])}, {n})"


def _change(row: Row) -> str:
    """The difference to the unmitigated recipe, with its interval."""
    points = pts(row["delta"], "+")
    low, high = (row[f"{'delta' if pd.isna(row['verb_low']) else 'verb'}_{end}"] for end in ("low", "high"))
    if pd.isna(low):
        return f"{points} (no interval)"
    seeds = seeds_words(row["seeds_known"], int(row["reached"]))
    return f"{points} (95% CI {hundredths(low, '+')} to {hundredths(high, '+')}, {seeds})"


def _price(row: Row, refused: str) -> str:
    """Whether the best one breaks answers and refuses more, and whether it beats halving the adapter."""
    words = f" Over-refusal: {refused}{'' if refused == NOT_MEASURED else ' pts'}."
    if pd.notna(row["incoherent"]) and pd.notna(row["incoherent_of"]):
        words += (
            f" Incoherent: {row['incoherent']:.0%} of its responses, {row['incoherent_of']:.0%} without it."
        )
    if row["half_verdict"] in VERBS:
        words += f" It is also {row['half_verdict']} than halving the adapter, which is free."
    elif pd.notna(row["half_delta"]):
        words += " Whether it beats halving the adapter, which is free, is open."
    return words


def _why_open(view: View, row: Row) -> str:
    """What keeps a difference from being a conclusion."""
    if not view.completes_primary:
        return ", not under the primary specification"
    if row["verdict"] == Verdict.WITHHELD and pd.notna(row["delta_low"]):
        return f", {conditional(int(row['reached']))}; too few were run to know how much another would change"
    safer = row["verdict"] == Verdict.SAFER
    return ", which does not hold once adjusted for all comparisons" if safer else ""


def not_compared(view: View, found: Matching, table: pd.DataFrame) -> list[str]:
    """Mitigations that are not compared, and why, in sentences with a next step."""
    runs, goals = found.by_recipe(), view.goals
    listed = {str(row["recipe"]): row for row in records(table) if row["kind"] == MITIGATION}
    sentences = []
    for family in families(view):
        base = view.study.recipe(family.base)
        for recipe in family.mitigations:
            name, row = recipe.name, listed.get(recipe.name)
            if family.base not in runs:
                sentences.append(f"{name}: {family.base}, which it mitigates, cannot be compared at a goal.")
            elif name not in runs:
                if name not in {run.recipe for run in found.left_out}:
                    sentences.append(f"{name} has no checkpoints here yet: run it on the Runs page.")
            elif row is None:
                sentences.append(
                    f"{name} is read at {goals[recipe.dataset]:.0%} and {family.base} at "
                    f"{goals[base.dataset]:.0%}: set one goal for both."
                )
            elif not row["reached"]:
                sentences.append(f"{row['why_not']}, so nothing is said of its safety there.")
    return sentences


def order_sentence(orders: pd.DataFrame, of: str) -> str:
    """Whether the order of a recipe's mitigations survives other choices; "" where there is none.

    Args:
        orders: as `orders_table`.
    """
    mine = orders[orders["of"] == of]
    main = mine[mine["primary"].astype(bool)]
    if mine.empty:
        return ""
    if main.empty:
        return f"The order under the current choice is not known, though {len(mine)} other variants have one."
    same, safest = (int(mine[name].astype(bool).sum()) for name in ("same_order", "same_safest"))
    first = main.iloc[0]
    return (
        f"Safest first: {first['order']}. The order is the same in {same} of {len(mine)} analysis variants, "
        f"and {first['safest']} comes first in {safest}."
    )


def in_words(table: pd.DataFrame, refusals: pd.DataFrame) -> pd.DataFrame:
    """The table as a person reads it.

    Args:
        table: as `mitigations_table`, of one unmitigated recipe; `refusals` as `over_refusal_table`.
    """
    rows = records(table)
    names = {
        STOPPED: "{of}, stopped at the goal",
        HALVED: "{recipe}: half the adapter",
        MITIGATION: "{recipe} ({mitigation})",
    }
    return pd.DataFrame(
        {
            "": [names[row["kind"]].format(**row) for row in rows],
            "at": [f"{row['goal']:.0%}" for row in rows],
            "seeds there": [f"{row['reached']:.0f} of {row['seeds']:.0f}" for row in rows],
            "n": [f"{row['n']:.0f}" for row in rows],
            "unsafe %": [percent(*_span(row)) for row in rows],
            "change, pts": [
                "reference" if row["kind"] == STOPPED else _points(row, "delta", "delta") for row in rows
            ],
            "p (Holm)": [p_words(row["p_holm"]) for row in rows],
            "against half, pts": [_points(row, "half_delta", "half") for row in rows],
            "incoherent %": [percent(row["incoherent"]) for row in rows],
            "over-refusal, pts": [_refused(row, refusals) for row in rows],
            "steps": ["—" if pd.isna(row["steps"]) else f"{row['steps']:.0f}" for row in rows],
            "time": ["not recorded" if pd.isna(row["seconds"]) else _time(row["seconds"]) for row in rows],
            "memory": ["not recorded" if pd.isna(row["memory"]) else _bytes(row["memory"]) for row in rows],
        }
    )


def _points(row: Row, value: str, ends: str) -> str:
    return percent(row[value], row[f"{ends}_low"], row[f"{ends}_high"], "+")


def _refused(row: Row, refusals: pd.DataFrame) -> str:
    """The change in refusals of harmless requests, on each benchmark of them."""
    if row["kind"] != MITIGATION:
        return "—"
    mine = records(refusals[(refusals["recipe"] == row["recipe"]) & (refusals["of"] == row["of"])])
    where = [f" on {one['benchmark']}" if len(mine) > 1 else "" for one in mine]
    words = [f"{_points(one, 'delta', 'delta')}{on}" for one, on in zip(mine, where, strict=True)]
    return "; ".join(words) or NOT_MEASURED


def _time(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _bytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
