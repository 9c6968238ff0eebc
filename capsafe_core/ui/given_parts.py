"""Pages over checkpoints that no goal makes comparable: each as given, and what a comparison lacks."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from capsafe_core.analysis.given import as_given, given_table
from capsafe_core.analysis.lacking import lacking
from capsafe_core.analysis.matched import Matching
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import matched_runs
from capsafe_core.analysis.view import View
from capsafe_core.figures.given import rates_as_given
from capsafe_core.figures.overview import outcome_bars
from capsafe_core.figures.training import along_training, few_recipes
from capsafe_core.ui import controls, overview_parts, screen
from capsafe_core.ui.drawn import drawn
from capsafe_core.ui.safe_text import plain_label, visible

MARK = "As given: these checkpoints are not capability-matched."


def overview(view: View, at_goal: Matching) -> None:
    """The first screen without a goal: the largest difference as given, and every checkpoint's outcomes."""
    runs = screen.remembered(view, "runs", lambda: matched_runs(view, path_table(view)))
    found = screen.remembered(view, "as given", lambda: as_given(view, runs))
    st.markdown(f"**{plain_label(found.headline)}**")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge("as given, not capability-matched", icon=":material/warning:", color="orange")
        if found.claim:
            overview_parts.state_badge(found.chip, found.state)
        controls.back(view)
    tell_missing(lacking(view, at_goal))
    left, right = st.columns([6, 5])
    with left:
        if len(found.bars):
            st.markdown("**How does each checkpoint answer harmful requests?**")
            screen.picture(
                outcome_bars(found.bars, {}, view.outcome_words),
                "bars",
                "Share of refusals, safe, harmful and incoherent responses of each checkpoint as given",
            )
    with right:
        clicked = _rates(view)
    for column, (name, (value, words)) in zip(st.columns(4), found.numbers.items(), strict=True):
        column.metric(plain_label(name), plain_label(value), help=plain_label(words), border=True)
    screen.caption(view, f"{MARK} Intervals: 95%")
    overview_parts.doors(view, found.claim)
    screen.table_below(found.table, "checkpoints-as-given", "unsafe rate", "policy", "wilson")
    if clicked:
        screen.open_outputs(checkpoints=(clicked,), benchmarks=(view.specification.benchmark,), recipes=())


def capability(view: View, at_goal: Matching) -> None:
    """Capability and safety without a goal: what is known of each checkpoint, along training where there is
    any."""
    st.badge("as given, not capability-matched", icon=":material/warning:", color="orange")
    tell_missing(lacking(view, at_goal))
    clicked = _rates(view)
    screen.caption(
        view,
        f"{MARK} Bars: 95% intervals. Band: all judges. Fill of the red marks: share of incoherent "
        "responses. Click a mark to read its responses",
    )
    table = screen.remembered(view, "given", lambda: given_table(view))
    screen.table_below(table, "checkpoints-as-given", "unsafe rate", "policy", "wilson")
    paths = screen.remembered(view, "paths", lambda: path_table(view))
    later = None
    if (paths["step"] > 0).any() and paths["capability"].notna().any():
        st.subheader("Along training", anchor=False)
        few, which = few_recipes(paths)
        later = screen.chart(
            drawn(along_training, few, view.recipe_names),
            "training",
            "Capability and unsafe rate along training, one column per data set",
        )
        screen.caption(view, f"{which}Bars: 95% intervals. Click a mark to read its responses")
    if checkpoint := clicked or later:
        screen.open_outputs(checkpoints=(checkpoint,), benchmarks=(view.specification.benchmark,), recipes=())


def tell_missing(sentences: Sequence[str]) -> None:
    """What a comparison lacks, and where to state it."""
    if sentences:
        st.info(plain_label("\n\n".join(sentences)), title="What a comparison at a capability goal lacks")


def _rates(view: View) -> str | None:
    """Capability and unsafe rate of each checkpoint; the checkpoint of a click."""
    table = screen.remembered(view, "given", lambda: given_table(view))
    known = table[table["unsafe"].notna() | table["capability"].notna()]
    if known.empty:
        st.text(visible(f"No checkpoint has a verdict by {view.specification.judge} or a capability yet."))
        return None
    return screen.chart(
        drawn(rates_as_given, known), "given", "Capability and unsafe rate of each checkpoint, as given"
    )
