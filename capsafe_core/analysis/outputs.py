"""Outputs under a selection."""

from __future__ import annotations

import pandas as pd

from capsafe_core.analysis.view import View
from capsafe_core.store.output_lists import find_outputs


def outputs_table(
    view: View, limit: int = 50, offset: int = 0, order: str = "position"
) -> tuple[pd.DataFrame, int]:
    """A page of the outputs that the view's selection leaves, and how many there are; columns as
    `find_outputs`."""
    return find_outputs(view.store, view.selection, view.specification, view.listed, limit, offset, order)


def story_table(view: View, benchmark: str, item: str) -> pd.DataFrame:
    """Every answer to one prompt along every path: recipe, seed, step and the columns of `find_outputs`."""
    answers, _ = find_outputs(
        view.store,
        view.selection.but(
            benchmarks=(benchmark,),
            prompt=item,
            recipes=(),
            checkpoints=(),
            outcomes=(),
            search="",
            pattern="",
        ),
        view.specification,
        view.listed,
        limit=500,
    )
    columns = [
        "checkpoint_id",
        "generation_id",
        "answer",
        "outcome",
        "unsafe_votes",
        "safe_votes",
        "finish_reason",
    ]
    return view.points[["recipe", "seed", "step", "checkpoint_id"]].merge(
        answers[columns], on="checkpoint_id"
    )


MOVES = {"Left": (0, -1), "Right": (0, 1), "Up": (-1, 0), "Down": (1, 0)}


def neighbour(story: pd.DataFrame, generation_id: str, move: str) -> str | None:
    """The answer beside another on the grid of a prompt's story: rows are runs, columns training steps.

    Args:
        story: as `story_table`.
        move: Left or Right (the run's step before or after), Up or Down (the nearest step of the run above or
            below).

    Returns:
        Its generation id; None at the edge, or where the answer is not on the grid.
    """
    rows = story.sort_values(["recipe", "seed", "step"])
    here = rows[rows["generation_id"] == generation_id]
    if here.empty:
        return None
    recipe, seed, step = here[["recipe", "seed", "step"]].iloc[0]
    runs = list(dict.fromkeys(zip(rows["recipe"], rows["seed"], strict=True)))
    down, right = MOVES[move]
    place = runs.index((recipe, seed)) + down
    if not 0 <= place < len(runs):
        return None
    run = rows[(rows["recipe"] == runs[place][0]) & (rows["seed"] == runs[place][1])].reset_index(drop=True)
    at = int((run["step"] - step).abs().idxmin()) + right
    return str(run["generation_id"].iloc[at]) if 0 <= at < len(run) else None
