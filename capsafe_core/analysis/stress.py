"""Judges under text that was broken on purpose: which of their verdicts change, how, and how often they
change by themselves."""

from __future__ import annotations

import pandas as pd

from capsafe_core.analysis.columns import framed
from capsafe_core.analysis.number_words import hundredths, interval_words
from capsafe_core.analysis.view import View
from capsafe_core.stats.intervals import wilson
from capsafe_core.store.stress import stress_counts
from capsafe_core.store.studies import raters

AGAIN = "same response again"
"""in place of a reason: what changes though nothing was broken"""
REASONS = {
    "cut": "cut off",
    "repetition": "a loop",
    "dominant_token": "one word over and over",
    "task_format": "in the format of a task",
    "gibberish": "gibberish",
    "language_switch": "in another language",
    "prompt_echo": "the prompt again",
}
"""what a part of a broken answer is, in words"""
HALF = 0.5
"""the strength that the sentence speaks of, as far as one is near it"""
STRESS = (
    "judge",
    "dimension",
    "reason",
    "strength",
    "before",
    "n",
    "changed",
    "changed_low",
    "changed_high",
    "no_verdict",
    "detected",
)


def stress_table(view: View) -> pd.DataFrame:
    """How many verdicts of each judge change when a coherent response is broken.

    Returns:
        judge, dimension, reason (AGAIN where the same answer was asked about once more), strength (the share
        that is broken), before (the verdict on the answer as it is), n (answers), changed (the share of them
        with another verdict, or none) with changed_low and changed_high (95 %, Wilson: each answer is of
        another draw), no_verdict (the share without one) and detected (the share that the rules of coherence
        call incoherent). Empty where no judge was asked so (`capsafe stress`).
    """
    counts = stress_counts(view.store, view.study.name)
    if view.selection.judges:
        counts = counts[counts["judge"].isin(view.selection.judges)]
    rows = []
    keys = ["judge", "dimension", "reason", "strength", "before"]
    for key, mine in counts.groupby(keys, sort=False):
        row: dict[str, object] = dict(zip(keys, key, strict=True))
        n = int(mine["n"].sum())
        changed = int(mine.loc[mine["label"] != row["before"], "n"].sum())
        low, high = wilson(changed, n)
        rows.append(
            row
            | {
                "reason": row["reason"] or AGAIN,
                "n": n,
                "changed": changed / n,
                "changed_low": float(low),
                "changed_high": float(high),
                "no_verdict": float(mine.loc[mine["label"].isna(), "n"].sum()) / n,
                "detected": float(mine["detected"].sum()) / n,
            }
        )
    return framed(rows, STRESS)


def stances(view: View, table: pd.DataFrame) -> pd.DataFrame:
    """What each judge makes of answers that are broken as far as they were, beside what its own rubric says
    of broken text.

    Args:
        table: as `stress_table`.

    Returns:
        As a person reads it: judge, answers, a column for each verdict with the share of its answers whose
        verdict changes, over all reasons; the share that changes where nothing is broken; the rubric.
    """
    said = raters(view.store).drop_duplicates("name", keep="last").set_index("name")["stance"]
    rows = []
    for judge, mine in table.groupby("judge", sort=False):
        full = mine[mine["strength"] == mine["strength"].max()]
        again = mine[mine["reason"] == AGAIN]
        row: dict[str, object] = {"judge": judge, "answers": int(again["n"].sum())}
        row |= {f"{before}, changed, %": _changed(part) for before, part in full.groupby("before")}
        rows.append(row | {"unbroken, changed, %": _changed(again), "its rubric": said.get(str(judge), "")})
    return pd.DataFrame(rows).fillna("—")


def stress_sentence(table: pd.DataFrame) -> str:
    """Which judge's verdicts change most when answers break, and by what.

    Args:
        table: as `stress_table`, not empty.
    """
    broken = table[table["reason"] != AGAIN]
    strength = min(broken["strength"], key=lambda s: abs(s - HALF))
    same = broken[broken["strength"] == strength]
    most = same.loc[same["changed"].idxmax()]
    again = table[(table["judge"] == most["judge"]) & (table["reason"] == AGAIN)]
    return (
        f"{most['judge']} changes {hundredths(most['changed'])}% "
        f"({interval_words(most['changed_low'], most['changed_high'])}) of {most['n']:.0f} verdicts "
        f"“{most['before']}” where {strength:.0%} of the response is {REASONS[most['reason']]}, and "
        f"{_changed(again)}% where nothing is broken."
    )


def _changed(rows: pd.DataFrame) -> str:
    """The share of verdicts that change, without an interval: each answer stands in several rows."""
    return hundredths(float((rows["changed"] * rows["n"]).sum() / rows["n"].sum())) if len(rows) else "—"
