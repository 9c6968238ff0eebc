"""The matched table in words: cells as a person reads them, and what a reader must know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

UNREACHED_LIMIT = 0.05
"""Above this share of resamples out of reach no interval of a difference is given."""
WIDE_GAP = 0.1
"""A capability gap within a bracket above this asks for denser checkpoints."""
ENOUGH_SEEDS = 5
"""From so many training seeds on, seeds are resampled too; below, intervals are conditional on the seeds."""
Floats = npt.NDArray[np.float64]


WIDE_GAP = 0.1
"""A capability gap within a bracket above this asks for denser checkpoints."""


def in_words(matched: pd.DataFrame) -> pd.DataFrame:
    """The matched table as a person reads it: rates in per cent, intervals in brackets, "not reached" where
    it is so."""
    rows = matched.to_dict("records")
    return pd.DataFrame(
        {
            "recipe": matched["recipe"],
            "seed": matched["seed"],
            "goal": [f"{r['goal']:.0%} on {r['dataset']}" for r in rows],
            "reached at step": [
                "no match: plateau"
                if r["plateau"]
                else f"{r['step']:.0f}"
                if r["reached"]
                else f"not reached (best {r['best']:.0%})"
                for r in rows
            ],
            "unsafe % at the goal": [percent(r["unsafe"], r["unsafe_low"], r["unsafe_high"]) for r in rows],
            "unsafe % at the start": [percent(r["start_unsafe"]) for r in rows],
            "change in points": [percent(r["delta"], r["delta_low"], r["delta_high"], "+") for r in rows],
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


def percent(value: float, low: float | None = None, high: float | None = None, sign: str = "") -> str:
    """A rate in per cent with its interval; "—" where there is none."""
    if pd.isna(value):
        return "—"
    span = (
        ""
        if low is None or high is None or pd.isna(low) or pd.isna(high)
        else f" ({100 * low:{sign}.0f} to {100 * high:{sign}.0f})"
    )
    return f"{100 * value:{sign}.0f}{span}"


def warnings(matched: pd.DataFrame, left_out: Sequence[str] = ()) -> list[str]:
    """What a reader of the matched table must know, in sentences: runs left out, goals out of reach,
    plateaus, wide brackets, capability known only in aggregate."""
    out = list(left_out)
    for row in matched.to_dict("records"):
        name = f"{row['recipe']} (seed {row['seed']})"
        if row["plateau"]:
            out.append(
                f"{name}: this capability measure does not separate its checkpoints, so they are not matched."
            )
        elif not row["reached"]:
            out.append(f"{name} does not reach {row['goal']:.0%}: its best checkpoint has {row['best']:.0%}.")
        elif pd.isna(row["unsafe"]):
            out.append(
                f"{name}: no rate at the goal, because every answer of a checkpoint beside it is left out."
            )
        elif row["gap"] > WIDE_GAP:
            out.append(
                f"{name}: the checkpoints around the goal are {100 * row['gap']:.0f} points of capability "
                "apart; save more checkpoints between them (a geometric schedule does)."
            )
        if not row["paired"]:
            out.append(
                f"{name}: its capability is known only in aggregate (or not for the same items everywhere), "
                "so resamples are not paired item by item."
            )
    return out
