"""Harmless requests at the goal: how often recipes refuse them, where they reach their goals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from capsafe_core.analysis.matched import Matching
from capsafe_core.analysis.runs import Run, checkpoint_rates
from capsafe_core.analysis.sample import SAFETY_SEED, policy_arrays, sample_of
from capsafe_core.analysis.view import View
from capsafe_core.specification import Code, Policy


def harmless_benchmarks(view: View) -> list[str]:
    """The benchmarks of harmless requests that checkpoints of the view answered."""
    cells = view.cells
    return sorted(cells.loc[cells["kind"] == "over_refusal", "benchmark"].unique())


def refused_at_goal(
    view: View,
    found: Matching,
    benchmark: str,
    runs: Sequence[Run],
    attack: str = "",
    seed: int = SAFETY_SEED,
) -> Matching | None:
    """The same matching with the rates of refusals on a benchmark, of harmless requests say, in place of
    unsafe ones; None where not all checkpoints answered it, or the refusal judge has not seen all.

    Args:
        attack: under which its prompts were asked.
        seed: of the resampling.
    """
    judge = view.specification.refusal_judge
    checkpoints = list(dict.fromkeys(c for run in (*runs, *found.beside) for c in run.checkpoints))
    sample = sample_of(view, benchmark, checkpoints, attack, seed)
    if not runs or sample is None or not sample.looked(judge, "refusal"):
        return None
    counted = [
        policy_arrays(np.where(code == Code.FULL, Code.POSITIVE, code), np.zeros_like(code), Policy.AS_JUDGED)
        for code in sample.codes(judge, "refusal")
    ]
    return replace(found, runs=list(runs), left_out=()).with_rates(checkpoint_rates(sample, counted))
