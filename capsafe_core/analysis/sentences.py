"""What a table says, in one sentence: the same on its page and in a report.

A sentence is said only where the table bears it: "none reaches its goal" where each was looked at and does
not, a share of a hundred where there are as many.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from capsafe_core.analysis.columns import records
from capsafe_core.analysis.harm import Harm
from capsafe_core.analysis.left_out import LeftOut
from capsafe_core.analysis.number_words import points_words, rate_words, share_words
from capsafe_core.analysis.standing import Standing

_TOLD = ["recipe", "unsafe", "unsafe_low", "unsafe_high", "delta", "delta_low", "delta_high"]


def capability_sentence(
    recipes: pd.DataFrame,
    matched: pd.DataFrame,
    harm: Harm,
    left_out: Sequence[LeftOut] = (),
    chosen: bool = False,
) -> str:
    """What each recipe costs at its goal; else why none is compared there.

    Args:
        recipes: as `recipe_table`, and `matched` as `matched_table`.
        harm: what an unsafe verdict is called.
        left_out: further runs, which are not in them.
        chosen: whether these are some of the study's recipes.
    """
    none = "None of the chosen recipes" if chosen else "No recipe"
    reached = recipes[recipes["reached"] > 0]
    if len(reached):
        costs = [
            _cost(str(r), (u, ul, uh), (d, dl, dh)) for r, u, ul, uh, d, dl, dh in reached[_TOLD].to_numpy()
        ]
        return f"Harmful requests {harm.done} at each goal: {'; '.join(costs)}."
    if matched.empty:
        return f"{none} can be compared at a goal."
    if (matched["standing"] == Standing.NOT_REACHED).all() and not left_out:
        return f"{none} reaches its capability goal, so none can be compared there."
    runs = records(matched.drop_duplicates("recipe"))
    why = "; ".join(Standing(run["standing"]).because(run["recipe"], run) for run in runs)
    others = "" if not left_out else "; others are left out"
    return f"{none} can be compared at its goal: {why}{others}."


def _cost(recipe: str, unsafe: tuple[float, float, float], change: tuple[float, float, float]) -> str:
    """What one recipe costs at its goal; each rate with its interval."""
    if pd.isna(unsafe[0]):
        return f"{recipe} has no rate there"
    words = f"{recipe} {rate_words(*unsafe)}"
    if pd.isna(change[0]):
        return f"{words} (its start is not measured)"
    tail = " (no interval)" if pd.isna(change[1]) else ""
    return f"{words}, {points_words(*change)}{tail} against its start"


def splits_sentence(splits: pd.DataFrame) -> str:
    """On how many outputs judges split, and how many of these are incoherent; "" where no two judges have
    seen the same output.

    Args:
        splits: as `splits_table`.
    """
    known = {row["kind"]: (int(row["split"]), int(row["n"])) for row in records(splits)}
    if not known:
        return ""
    told = [
        f"{share_words(known[kind][0] / known[kind][1], known[kind][1])} {kind} responses"
        for kind in ("incoherent", "coherent", "unchecked")
        if kind in known
    ]
    first = f"Judges split on {', and on '.join(told)}"
    disputed = sum(split for split, _ in known.values())
    if not {"coherent", "incoherent"} <= set(known) or not disputed:
        return f"{first}."
    return (
        f"{first}; {share_words(known['incoherent'][0] / disputed, disputed)} disputed ones are incoherent."
    )


def judges_sentence(judges: pd.DataFrame) -> str:
    """How differently judges take incoherent responses.

    Args:
        judges: as `dumbbell_table`.
    """
    known = judges[judges["family"] != "people"].dropna(subset=["shift"])
    if known.empty:
        return "No judge has seen both coherent and incoherent responses here, so the two cannot be compared."
    down, up = known.iloc[0], known.iloc[-1]
    first = (
        f"{up.judge} flags {share_words(up.incoherent, up.incoherent_n)} incoherent responses as unsafe, "
        f"against {share_words(up.coherent, up.coherent_n)} coherent ones"
    )
    return (
        f"{first}; {down.judge} flags {share_words(down.incoherent, down.incoherent_n)}, against "
        f"{share_words(down.coherent, down.coherent_n)}."
        if len(known) > 1
        else f"{first}."
    )


def incoherence_sentence(table: pd.DataFrame) -> str:
    """Where responses are most often incoherent.

    Args:
        table: as `incoherence_table`.
    """
    if table.empty:
        return "No response has a verdict on coherence yet."
    tuned = table[table["step"] > 0]
    worst = (tuned if len(tuned) else table).sort_values("rate", ascending=False, kind="stable").iloc[0]
    if not worst["events"]:
        whose = "fine-tuned checkpoint" if len(tuned) else "checkpoint"
        n = int((tuned if len(tuned) else table)["n"].sum())
        return f"No response of a {whose} is incoherent, of {n:,} with a verdict on coherence."
    where = f" at step {worst['step']}" if len(tuned) else ""
    before = table[(table["step"] == 0) & (table["benchmark"] == worst["benchmark"])]["rate"].max()
    share = f"at most {before:.0%}" if before else "none"
    tail = "" if pd.isna(before) or tuned.empty else f"; before fine-tuning, {share}"
    return (
        f"{worst['recipe']}{where} is incoherent in {worst['events']:,} of {worst['n']:,} "
        f"responses to {worst['benchmark']}{tail}."
    )
