"""Outputs under a selection."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from capsafe_core.analysis.view import View
from capsafe_core.selection import Selection, vote_words
from capsafe_core.store.output_lists import find_outputs

PAGE = 50
"""outputs on a page of a list"""


def outputs_table(
    view: View, limit: int = 50, offset: int = 0, order: str = "position"
) -> tuple[pd.DataFrame, int]:
    """A page of the outputs that the view's selection leaves, and how many there are; columns as
    `find_outputs`."""
    return find_outputs(view.store, view.selection, view.specification, view.listed, limit, offset, order)


def page_table(view: View) -> tuple[pd.DataFrame, int, int]:
    """The page of outputs that a link names, the last one where there are fewer: as `outputs_table`, and
    which page it is."""
    order, page = view.selection.order or "position", max(1, view.selection.page)
    rows, found = outputs_table(view, PAGE, (page - 1) * PAGE, order)
    last = max(1, -(-found // PAGE))
    if page > last:
        return (*outputs_table(view, PAGE, (last - 1) * PAGE, order), last)
    return rows, found, page


@dataclass(frozen=True)
class Place:
    """Where an output stands in a list: from 1, of how many, and the ids of those beside it ("" at an
    end)."""

    place: int
    count: int
    before: str
    after: str

    def page(self, step: int) -> int:
        """The page of the output that is some places on."""
        return 1 + (self.place - 1 + step) // PAGE


def place_of(view: View, generation_id: str) -> Place | None:
    """Where an output stands in the list of the view's selection; None where it is not on the page that the
    selection names."""
    first = (max(1, view.selection.page) - 1) * PAGE
    begin = max(0, first - 1)
    rows, count = outputs_table(view, PAGE + 1 + first - begin, begin, view.selection.order or "position")
    ids = list(rows["generation_id"])
    if generation_id not in ids:
        return None
    at = ids.index(generation_id)
    return Place(begin + at + 1, count, ids[at - 1] if at else "", ids[at + 1] if at + 1 < len(ids) else "")


def list_words(chosen: Selection, count: int) -> str:
    """What a list of outputs holds: how many, of which models, to what, and in which order."""
    parts = [f"{count:,} {chosen.marks} output{'s' if count != 1 else ''}".replace("  ", " ")]
    if chosen.outcomes:
        parts.append(f"with the outcome {_either(chosen.outcomes)}")
    if chosen.strata:
        parts.append(f"of the kind {_either(chosen.strata)}")
    if chosen.checkpoints:
        n = len(chosen.checkpoints)
        parts.append("of one checkpoint" if n == 1 else f"of {n} checkpoints")
    if chosen.recipes:
        parts.append(f"by {_either(chosen.recipes)}")
    if chosen.benchmarks:
        parts.append(f"to {_either(chosen.benchmarks)}")
    if chosen.prompt:
        parts.append(f"to the prompt {chosen.prompt}")
    if chosen.categories:
        parts.append(f"in the category {_either(chosen.categories)}")
    if chosen.before:
        checkpoint, _, outcome = chosen.before.partition(":")
        parts.append(f"to prompts with the outcome {outcome} at checkpoint {checkpoint[:8]}")
    if chosen.pattern:
        parts.append(f"where {vote_words(chosen.pattern)}")
    if chosen.search:
        parts.append(f"that contain “{chosen.search}”")
    if not chosen.truncated:
        parts.append("without truncated ones")
    order = {"disputed": "most disputed first", "random": "in random order"}.get(chosen.order, "by prompt")
    return f"{' '.join(parts)}, {order}"


def _either(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]


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
