"""Sections of the page Incoherence: each draws a chart with its table, and gives back what was clicked."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from capsafe_core.analysis.disagreement import dumbbell_table
from capsafe_core.analysis.incoherence import (
    bounds_table,
    reason_table,
)
from capsafe_core.analysis.matched import Matching
from capsafe_core.analysis.people import correction_table
from capsafe_core.analysis.transitions import Transitions, pairs, transitions
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.figures.squares import reason_dots, transition_squares
from capsafe_core.figures.style import OUTCOME_COLOURS
from capsafe_core.figures.training import bounds_along
from capsafe_core.stats.paired import McNemar
from capsafe_core.ui import screen
from capsafe_core.ui.drawn import drawn
from capsafe_core.ui.heads import CORRECTION
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.ui.tables import show_table


def transitions_of(view: View, found: Matching, worst: str) -> tuple[Transitions | None, str | None]:
    """What became of each prompt of a recipe, the worst where none is chosen; and the square of a click."""
    names = list(pairs(view, found))
    recipe = (
        st.segmented_control(
            "How did the outcome of each prompt change?",
            names,
            format_func=plain_label,
            default=worst if worst in names else names[0],
            key="transition-recipe",
        )
        if names
        else None
    )
    moved = transitions(view, found, recipe or "")
    changed = None
    if moved is None:
        st.text("No two checkpoints that belong together have answered the same prompts.")
    else:
        changed = screen.chart(
            drawn(
                transition_squares,
                moved.table,
                list(OUTCOME_COLOURS),
                moved.pair.before,
                moved.pair.there.split(",")[0],
                view.outcome_words,
            ),
            "transitions",
            "The same prompts before and after",
        )
        pair, change = moved.pair, moved.change
        screen.caption(
            view,
            f"{pair.whose}: outcome of the same prompts at {pair.before} (rows) and at {pair.there}"
            f"{' of each seed' if len(pair.goals) > 1 else ''}. "
            f"{view.harm.answers.capitalize()}: {change.gained} new, {change.lost} gone, {_test(change)} p = "
            f"{change.p:.2g}. Click a square to read the later responses",
        )
        screen.table_below(moved.table, "transitions", "detector", "mcnemar")
    return moved, changed


def _test(change: McNemar) -> str:
    """Which test a p-value is of."""
    return "McNemar" if change.clustered_p is None else "permutation by behaviour,"


def reasons_of(view: View, benchmark: str, recipes: pd.Series) -> str | None:
    """Reasons for incoherence along training; the dot of a click."""
    reasons = reason_table(view, benchmark)
    reasons = reasons[reasons["recipe"].isin(recipes)]
    picked = None
    if reasons.empty:
        st.text(visible(f"The detector finds nothing incoherent on {benchmark}."))
    else:
        picked = screen.chart(
            reason_dots(reasons),
            "reasons",
            "Reasons for incoherence along training; dot size is the share of responses",
        )
        screen.caption(
            view, "Hollow dots: found by the detector; their area is the share of the checkpoint's responses"
        )
        screen.table_below(reasons, "reasons", "detector")
    return picked


def bounds_of(view: View, recipes: pd.Series) -> str | None:
    """What incoherent responses and missing verdicts leave open; the checkpoint of a click."""
    bounds = screen.remembered(view, "bounds", lambda: bounds_table(view))
    bounds = bounds[bounds["recipe"].isin(recipes)]
    bound = screen.chart(
        bounds_along(bounds),
        "bounds",
        "Each unsafe rate with the range that incoherent responses and missing verdicts leave open",
    )
    screen.caption(view, "A wide bar: the unsafe rate depends mostly on how incoherent responses are treated")
    screen.table_below(bounds, "bounds", "unsafe rate", "policy")
    return bound


def how_to_check(view: View) -> str:
    """How the answers get verdicts on coherence."""
    name = view.specification.coherence
    if any(judge.recorded for judge in view.study.judges if judge.name == name):
        return (
            f"The study goes by {name}, whose verdicts come with imported logs: import them on the Data page."
        )
    return f"Add {name} on the Runs page, or run `capsafe judge {view.study.name} {name}`."


def stances(view: View) -> None:
    """What judges make of incoherent responses, beside what their own rubrics say; of unchecked ones where no
    answer was looked at."""
    judges = screen.remembered(view, "judges", lambda: dumbbell_table(view))
    checked = judges[["incoherent_n", "coherent_n"]].to_numpy().any()
    group, words = ("incoherent", "incoherent and of coherent") if checked else ("unchecked", "unchecked")
    rates = [group, f"{group}_low", f"{group}_high", f"{group}_n", *(["coherent"] if checked else [])]
    judges = judges[["judge", *rates, "stance"]]
    heads = {
        group: f"{group}, unsafe %",
        f"{group}_low": "95% CI from, %",
        f"{group}_high": "to, %",
        f"{group}_n": f"{group}, n",
        "coherent": "coherent, unsafe %",
    }
    percents = {
        c: st.column_config.NumberColumn(heads[c], format="%d" if c.endswith("_n") else "%.0f") for c in rates
    }
    shares = [c for c in rates if not c.endswith("_n")]
    show_table(
        judges.assign(**{c: 100 * judges[c] for c in shares}),
        column_config={
            **percents,
            "stance": st.column_config.TextColumn(
                "what its own rubric says about incoherent text", width="large"
            ),
        },
    )
    screen.caption(
        view,
        f"Share called unsafe of {words} responses, beside each judge's documented stance",
    )


def detector(view: View) -> None:
    """The detector against people."""
    try:
        quality = correction_table(view, "coherence")
        show_table(quality[list(CORRECTION)], CORRECTION)
        screen.caption(
            view, "The detector against people; sensitivity is its share of what people call incoherent"
        )
        screen.table_below(quality, "detector-quality", "people", heads=CORRECTION)
    except CapsafeError as error:
        st.text(visible(f"{error.message} {error.hint}"))
