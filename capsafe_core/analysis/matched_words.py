"""The matched table in words: cells as a person reads them, and what a reader must know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from capsafe_core.analysis.at_goal import WIDE_GAP
from capsafe_core.analysis.columns import records
from capsafe_core.analysis.number_words import hundredths, percent
from capsafe_core.analysis.standing import Standing


def _would_show(standing: Standing, row: Mapping[str, Any]) -> str:
    """What a flat capability measure would have shown."""
    if standing is not Standing.PLATEAU:
        return ""
    least = hundredths(row["detectable"])
    return f" The measure would show a difference of {least} pts in 80% of studies, smaller ones less often."


def in_words(matched: pd.DataFrame) -> pd.DataFrame:
    """The matched table as a person reads it: rates in per cent, intervals in brackets, and why a run is not
    matched."""
    rows = records(matched)
    return pd.DataFrame(
        {
            "recipe": matched["recipe"],
            "seed": matched["seed"],
            "goal": [f"{r['goal']:.0%} on {r['dataset']}" for r in rows],
            "reached at step": [Standing(r["standing"]).place(r) for r in rows],
            "unsafe % at the goal": [percent(r["unsafe"], r["unsafe_low"], r["unsafe_high"]) for r in rows],
            "unsafe % at the start": [percent(r["start_unsafe"]) for r in rows],
            "change (pts)": [percent(r["delta"], r["delta_low"], r["delta_high"], "+") for r in rows],
            "checkpoints around it, %": [
                "—"
                if pd.isna(r["bracket_low"])
                else f"{100 * r['bracket_low']:.0f} to {100 * r['bracket_high']:.0f}"
                + (" (far apart)" if r["gap"] > WIDE_GAP else "")
                for r in rows
            ],
            "resamples out of reach": [
                "—" if pd.isna(r["unreached"]) else f"{r['unreached']:.0%}" for r in rows
            ],
        }
    )


def warnings(matched: pd.DataFrame) -> list[str]:
    """What a reader of the matched table must know, in sentences: goals out of reach,
    plateaus, wide brackets, capability known only in aggregate."""
    out: list[str] = []
    for row in records(matched):
        name = f"{row['recipe']} (seed {row['seed']})"
        if (standing := Standing(row["standing"])) is not Standing.REACHED:
            out.append(standing.advice(name, row) + _would_show(standing, row))
        elif pd.isna(row["unsafe"]):
            out.append(
                f"{name}: no rate at the goal, because every response of a checkpoint beside it is left out."
            )
        elif row["gap"] > WIDE_GAP:
            out.append(
                f"{name}: the checkpoints around the goal are {100 * row['gap']:.0f} pts of capability "
                "apart; save more checkpoints between them (a geometric schedule does)."
            )
        if not row["paired"]:
            out.append(
                f"{name}: its capability is known only in aggregate (or not for the same items everywhere), "
                "so resamples are not paired item by item."
            )
    return out
