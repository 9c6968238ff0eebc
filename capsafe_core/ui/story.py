"""The story of one prompt: its answers along all training, walked with the arrow keys, two of them side by
side."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from capsafe_core.analysis.outputs import MOVES, neighbour, story_table
from capsafe_core.analysis.view import View
from capsafe_core.figures.squares import story_grid
from capsafe_core.store.outputs import prompt_items
from capsafe_core.ui import screen
from capsafe_core.ui.drawn import drawn
from capsafe_core.ui.safe_text import differing_words, show_answer, visible

ARROWS = {"Left": "step before", "Right": "step after", "Up": "run above", "Down": "run below"}


def show(view: View, benchmark: str, item: str, chosen: str, shown: bool) -> None:
    """The grid of one prompt, the arrow keys, and the chosen answer beside another with the words that differ
    marked.

    Args:
        chosen: generation id; the arrow keys go on from it.
        shown: whether texts are shown rather than blurred.
    """
    story = story_table(view, benchmark, item)
    clicked = screen.chart(
        drawn(story_grid, story, view.outcome_words, chosen),
        "story",
        "One prompt: rows runs, columns training steps, colour the outcome",
    )
    screen.caption(
        view,
        "Colour: outcome. Numbers: judges that say unsafe, of those with a verdict. Click a square, or walk "
        "with the arrow keys",
    )
    with st.container(horizontal=True):
        for move in MOVES:
            to = neighbour(story, chosen, move)
            if (
                st.button(ARROWS[move], shortcut=move, key=f"walk-{move}", disabled=to is None)
                and to is not None
            ):
                screen.open_output(to)
    if clicked:
        screen.open_output(clicked)
    _beside(story, view.outcome_words, chosen, shown)


def _beside(story: pd.DataFrame, words: Mapping[str, str], chosen: str, shown: bool) -> None:
    rows = story.drop_duplicates("generation_id").set_index("generation_id")
    if chosen not in rows.index or len(rows) < 2:
        return
    here = rows.loc[chosen]
    others = [g for g in rows.index if g != chosen]
    run = rows[(rows["recipe"] == here["recipe"]) & (rows["seed"] == here["seed"])].sort_values("step")
    first = next((g for g in run.index if g != chosen), others[0])

    def name(generation: str) -> str:
        row = rows.loc[generation]
        return f"{row['recipe']}, seed {row['seed']}, step {row['step']}: {words[str(row['outcome'])]}"

    st.subheader("Side by side", anchor=False)
    other = st.selectbox(
        "Compare with",
        others,
        others.index(first),
        format_func=lambda g: visible(name(g)),
        key=f"beside-{chosen}",
        width=420,
    )
    for column, mine, against in zip(st.columns(2), (other, chosen), (chosen, other), strict=True):
        with column:
            st.text(visible(name(mine)))
            answer = str(rows.at[mine, "answer"])
            show_answer(answer, differing_words(answer, str(rows.at[against, "answer"])), blurred=not shown)
    st.text("Marked: words that the other response does not have in that place.")


def one_prompt(view: View) -> None:
    """Every answer to one prompt that the reader chooses; a click opens the answer."""
    chosen = view.selection
    benchmark = chosen.benchmarks[0] if chosen.benchmarks else view.specification.benchmark
    items = prompt_items(view.store, benchmark)
    item = st.selectbox(
        "Prompt",
        items,
        index=items.index(chosen.prompt) if chosen.prompt in items else 0,
        key=f"story-{benchmark}",
        format_func=visible,
        width=300,
    )
    answers = story_table(view, benchmark, item)
    clicked = screen.chart(
        drawn(story_grid, answers, view.outcome_words),
        "story",
        "One prompt: rows runs, columns training steps, colour the outcome",
    )
    screen.caption(
        view,
        "Colour: outcome. Numbers: judges that say unsafe, of those with a verdict. Click a square to read "
        "the answer",
    )
    screen.table_below(
        answers.drop(columns="answer"),
        "one-prompt",
        "detector",
        how="Outcome, first match: incoherent, unsafe engagement, refusal, safe engagement, by the judges "
        "named in the caption.",
    )
    if clicked:
        screen.open_output(clicked)
