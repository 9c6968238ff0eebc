"""Which outputs split the judges, and is it the incoherent ones?"""

from dataclasses import replace

import streamlit as st

from capsafe_core.analysis import disagreement as d
from capsafe_core.analysis.sentences import judges_sentence
from capsafe_core.analysis.view import View
from capsafe_core.figures import judges as figures
from capsafe_core.quoting import split_names
from capsafe_core.selection import vote_pattern
from capsafe_core.ui import agreement, controls, listing, screen, unchecked
from capsafe_core.ui.drawn import drawn
from capsafe_core.ui.safe_text import plain_label
from capsafe_core.ui.sections import section
from capsafe_core.ui.stress import stressed

STRATA_OF = {
    "coherent": ("refusal", "truncated", "other coherent"),
    "incoherent": ("incoherent",),
    "unchecked": ("unchecked",),
}


def charts(view: View) -> dict[str, object]:
    """Every chart of the page; what a click on one of them selects."""
    votes = screen.remembered(view, "votes", lambda: d.votes_table(view))
    kind = agreement.splits(view, d.splits_table(votes))
    table = screen.remembered(view, "judges", lambda: d.dumbbell_table(view))
    st.markdown(f"**{plain_label(judges_sentence(table))}**")
    clicked = screen.chart(
        drawn(figures.dumbbell, table),
        "dumbbell",
        "Each judge's unsafe rate on coherent and on incoherent responses",
    )
    missing = ", ".join(f"{r.judge} {r.no_verdict}" for r in table.itertuples() if r.no_verdict)
    labelled = (table["family"] == "people").any()
    people = "diamonds: people" if labelled else "no labels by people drawn at random yet"
    screen.caption(
        view,
        "Outputs of all compared checkpoints together; grey text: what the judge's own rubric says about "
        f"incoherent text; {people}. Without a verdict: {missing or 'none'}",
    )
    screen.table_below(table, "judges", "unsafe rate", "pooled", "detector", "people")
    st.subheader("Which combinations of verdicts occur?", anchor=False)
    pattern = (
        screen.chart(
            drawn(figures.vote_patterns, votes, d.TOP_VOTES),
            "votes",
            "The most frequent vote patterns, split by coherence",
        )
        if len(votes)
        else None
    )
    shown = votes.head(d.TOP_VOTES)["share"].sum()
    screen.caption(
        view,
        f"Red: unsafe. The {min(len(votes), d.TOP_VOTES)} most frequent of {len(votes)} patterns, "
        f"{shown:.0%} of outputs",
    )
    screen.table_below(votes, "vote-patterns", "detector")
    place = agreement.along_training(view)
    if kind:
        return {"pattern": "", "strata": STRATA_OF[kind]}
    if clicked:
        judge, stratum = split_names(clicked)
        return {
            "pattern": vote_pattern({judge: "unsafe"}) if judge != "people" else "",
            "strata": STRATA_OF.get(stratum, STRATA_OF["coherent"]),
        }
    if pattern:
        return {"pattern": pattern, "strata": ()}
    if place:
        checkpoint, judge = split_names(place)
        return {
            "checkpoints": (checkpoint,),
            "pattern": vote_pattern({judge: "unsafe"}) if judge else "",
            "strata": () if judge else ("incoherent",),
        }
    more = "More: agreement by kind of response, judges against people, a map of the responses"
    return section(more, "more", lambda: agreement.details(view)) or {}


with screen.question("Which outputs split the judges, and is it the incoherent ones?") as view:
    unchecked.note(view)
    controls.ways_row(view, judge=False, policy=False)
    wide, narrow = st.columns([3, 2], gap="large")
    with wide:
        # the charts count everything; only the list beside them is narrowed by a click
        chosen = charts(replace(view, selection=view.selection.but(pattern="", strata=(), checkpoints=())))
    if chosen:
        screen.select(
            **{"pattern": "", "strata": (), "checkpoints": (), "recipes": view.selection.recipes, **chosen}
        )
        st.rerun()
    with narrow:
        listing.disputed(view)
    section("Do verdicts hold when a response breaks?", "stress", lambda: stressed(view))
