"""What a table says, in one sentence: the same on its page and in a report."""

from __future__ import annotations

import pandas as pd

from capsafe_core.analysis.matched_words import percent

_TOLD = ["recipe", "unsafe", "unsafe_low", "unsafe_high", "delta", "delta_low", "delta_high"]


def capability_sentence(recipes: pd.DataFrame) -> str:
    """What each recipe costs at its goal.

    Args:
        recipes: as `recipe_table`.
    """
    reached = recipes[recipes["reached"] > 0]
    if reached.empty:
        return "No recipe reaches its capability goal, so none can be compared there."
    words = "; ".join(
        f"{recipe} {percent(unsafe, low, high)} %, {percent(delta, delta_low, delta_high, '+')} points"
        f"{' (no interval)' if pd.isna(delta_low) else ''} against its start"
        for recipe, unsafe, low, high, delta, delta_low, delta_high in reached[_TOLD].to_numpy()
    )
    return f"At their goals, answered harmfully: {words}."


def judges_sentence(judges: pd.DataFrame) -> str:
    """How differently judges take incoherent answers.

    Args:
        judges: as `dumbbell_table`.
    """
    known = judges[judges["family"] != "people"].dropna(subset=["shift"])
    if known.empty:
        return "No judge has seen both coherent and incoherent answers here, so the two cannot be compared."
    down, up = known.iloc[0], known.iloc[-1]
    first = (
        f"On incoherent answers {up.judge} calls {100 * up.incoherent:.0f} of 100 unsafe "
        f"({100 * up.coherent:.0f} on answers that make sense)"
    )
    return (
        f"{first}; {down.judge} {100 * down.incoherent:.0f} ({100 * down.coherent:.0f})."
        if len(known) > 1
        else f"{first}."
    )


def incoherence_sentence(table: pd.DataFrame) -> str:
    """Where answers make least sense.

    Args:
        table: as `incoherence_table`.
    """
    tuned = table[table["step"] > 0]
    if tuned.empty:
        return "No fine-tuned checkpoint has been judged for coherence yet."
    worst = tuned.sort_values("rate", ascending=False, kind="stable").iloc[0]
    before = table[(table["step"] == 0) & (table["benchmark"] == worst["benchmark"])]["rate"].max()
    tail = "" if pd.isna(before) else f"; before fine-tuning, {before:.0%} at most"
    return (
        f"{worst['recipe']} at step {worst['step']} makes no sense in {worst['events']} of {worst['n']} "
        f"answers to {worst['benchmark']}{tail}."
    )
