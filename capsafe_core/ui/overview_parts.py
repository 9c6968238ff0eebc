"""Sections of the page Overview."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd
import streamlit as st

from capsafe_core.analysis.conclusions import STATES, State
from capsafe_core.analysis.outputs import outputs_table
from capsafe_core.analysis.overview import Overview
from capsafe_core.analysis.view import View, open_view
from capsafe_core.figures.overview import gained_against_unsafe, outcome_bars
from capsafe_core.figures.training import capability_against_unsafe
from capsafe_core.quoting import split_names
from capsafe_core.ui import identity, screen
from capsafe_core.ui.drawn import drawn
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.ui.tables import show_table

_BADGES: dict[State | None, tuple[Literal["green", "yellow", "orange", "gray"], str]] = {
    State.ROBUST: ("green", ":material/check_circle:"),
    State.MIXED: ("yellow", ":material/contrast:"),
    State.CONTESTED: ("orange", ":material/call_split:"),
    None: ("gray", ":material/rule:"),
}
MOST_BUTTONS = 8
"""recipes that stand side by side as buttons; more are a table to choose from"""
MOST_BARS = 12


def state_badge(chip: str, state: State | None) -> None:
    """How far the conclusion holds, in a word, a colour and a shape, and in how many analysis variants."""
    colour, icon = _BADGES[state]
    words = f"{state.value.capitalize()}: {chip}" if state else chip
    st.badge(plain_label(words), icon=icon, color=colour, help=STATES)


def recipe_choice(found: Overview) -> None:
    """Which recipe the page is about; the choice goes into the link."""
    recipes = list(dict.fromkeys(found.matched["recipe"]))
    if len(recipes) == 1:
        return
    label = "Recipe"
    chosen = (
        st.segmented_control(
            label,
            recipes,
            default=found.recipe,
            format_func=plain_label,
            label_visibility="collapsed",
            key=f"recipe-{found.recipe}",
        )
        if len(recipes) <= MOST_BUTTONS
        else st.selectbox(
            label,
            recipes,
            recipes.index(found.recipe),
            format_func=visible,
            label_visibility="collapsed",
            key=f"recipe-{found.recipe}",
            width=320,
        )
    )
    if chosen and chosen != found.recipe:
        screen.select(recipes=(chosen,))
        st.rerun()


def recipe_list(found: Overview) -> None:
    """Every recipe at its goal, to sort and to choose from, where there are too many for buttons."""
    names = found.every["recipe"].tolist()
    if len(names) <= MOST_BUTTONS:
        return
    st.markdown("**Which recipe?** Sort by a column; choose a row to see it above.")
    shown = pd.DataFrame(
        {
            "Recipe": names,
            "Seeds at the goal": found.every["reached"],
            "Seeds": found.every["seeds"],
            "Unsafe rate (%)": 100 * found.every["unsafe"],
            "Start (%)": 100 * found.every["start_unsafe"],
            "Change (pts)": 100 * found.every["delta"],
        }
    )
    event = show_table(
        shown.round(1),
        on_select="rerun",
        selection_mode="single-row",
        key=f"every-recipe-{found.recipe}",
        height=320,
    )
    rows = event.selection.rows
    if rows and names[rows[0]] != found.recipe:
        screen.select(recipes=(names[rows[0]],))
        st.rerun()


def at_the_goal(found: Overview, view: View) -> None:
    """How each recipe answers at its goal; a click on a part of a bar opens the answers."""
    st.markdown("**At its capability goal, how does each recipe answer harmful requests?**")
    names = list(dict.fromkeys(found.bars["recipe"]))
    few = dict.fromkeys([found.recipe, *names][:MOST_BARS])
    starts = found.bars.loc[found.bars["start"] != "", "recipe"].unique()
    bars = found.bars[found.bars["recipe"].isin([*starts, *few])]
    clicked = screen.chart(
        drawn(outcome_bars, bars, found.notes, view.outcome_words, found.recipe),
        "bars",
        "Share of refusals, safe, harmful and incoherent responses of each recipe at its goal",
    )
    if clicked:
        bar, outcome = split_names(clicked)
        screen.open_outputs(
            checkpoints=found.behind[bar],
            benchmarks=(view.specification.benchmark,),
            outcomes=(outcome,),
            recipes=(),
        )


def way_there(paths: pd.DataFrame, recipes: Sequence[str], chosen: str) -> str | None:
    """Capability against unsafe rate, by share of the goal gained where there is one to gain; the checkpoint
    of a click."""
    st.markdown(
        f"**How does safety change along training?** {plain_label(chosen)} by the selected judge; "
        "band: range across judges."
    )
    if paths["gained"].notna().any():
        alt = "Share of goal gained against unsafe rate, one line per recipe"
        return screen.chart(drawn(gained_against_unsafe, paths, recipes, chosen), "gained", alt)
    return screen.chart(
        drawn(capability_against_unsafe, paths, recipes), "plane", "Unsafe rate against accuracy"
    )


def doors(view: View, claim: str) -> None:
    """Where to go on: an output that split the judges, the pages behind the numbers, labelling.

    Args:
        claim: key of the claim that Conclusions opens with; "" for the most contested.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("An output that split the judges", icon=":material/call_split:"):
            chosen = screen.selection().but(
                benchmarks=(view.specification.benchmark,), outcomes=("incoherent",)
            )
            rows, count = outputs_table(open_view(view.store, chosen), limit=1, order="disputed")
            if count:
                screen.open_output(str(rows["generation_id"].iloc[0]))
        for page, label, icon, of in (
            ("disagreement.py", "Where judges disagree", ":material/balance:", ""),
            ("conclusions.py", "Does it survive? All analysis variants", ":material/rule:", claim),
            ("incoherence.py", "Where responses become incoherent", ":material/blur_on:", ""),
            ("report.py", "Build a report", ":material/description:", ""),
        ):
            query = screen.selection().but(claim=of) if of else screen.selection()
            st.page_link(str(screen.PAGES / page), label=label, icon=icon, query_params=query.to_query())
        if identity.role() == "researcher":
            st.page_link(
                str(screen.PAGES / "annotate.py"), label="Label a few yourself", icon=":material/edit_note:"
            )
