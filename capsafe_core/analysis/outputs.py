"""Outputs under a selection."""

from __future__ import annotations

import pandas as pd

from capsafe_core.analysis.view import View
from capsafe_core.store.outputs import Asking, find_outputs


def asking(view: View) -> Asking:
    """The raters by whom the view tells outcomes."""
    spec = view.specification
    return Asking(spec.judge, spec.refusal_judge, spec.coherence)


def outputs_table(view: View, limit: int = 50, offset: int = 0, order: str = "position") -> tuple[pd.DataFrame, int]:
    """A page of the outputs that the view's selection leaves, and how many there are; columns as `find_outputs`."""
    return find_outputs(view.store, view.selection, asking(view), limit, offset, order)


def story_table(view: View, benchmark: str, item: str) -> pd.DataFrame:
    """Every answer to one prompt along every path: recipe, seed, step and the columns of `find_outputs`."""
    answers, _ = find_outputs(view.store, view.selection.but(benchmarks=(benchmark,), prompt=item, recipes=(), checkpoints=(), outcomes=(), search="", pattern=""), asking(view), limit=500)
    columns = ["checkpoint_id", "generation_id", "answer", "outcome", "unsafe_votes", "safe_votes", "finish_reason"]
    return view.points[["recipe", "seed", "step", "checkpoint_id"]].merge(answers[columns], on="checkpoint_id")
