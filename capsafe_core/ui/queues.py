"""Queues: making them, and seeing how far they are."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from capsafe_core.analysis.view import View, open_view
from capsafe_core.annotation import QUESTIONS, STRATEGIES, QueueSettings
from capsafe_core.labelling.queues import extend_queue, make_queue
from capsafe_core.people import Person
from capsafe_core.records import QueueRecord
from capsafe_core.selection import Selection
from capsafe_core.ui import screen
from capsafe_core.ui.acting import noted
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.ui.tables import show_table
from capsafe_core.workspace.owner import Owner

STRATEGY_WORDS = {
    "stratified": "Stratified: judges' votes × coherence × checkpoint",
    "random": "Simple random",
    "disagreement": "Most disputed first, with a random share",
    "uncertainty": "Least certain first, with a random share",
}
STATES = {"open": "paused", "paused": "open", "closed": "open"}
STATE_WORDS = {"open": "Pause", "paused": "Open again", "closed": "Open again"}


def show(view: View, owner: Owner, person: Person) -> None:
    """Make a queue, and every queue that there is."""
    form(view, owner)
    listing(owner, person)


def form(view: View, owner: Owner) -> None:
    """Make a queue over the outputs of the study."""
    with st.popover("Make a queue", icon=":material/add:", width=620):
        name = st.text_input(
            "Name", f"{view.specification.benchmark}, {len(owner.desk.queues()) + 1}", max_chars=60
        )
        left, right = st.columns(2)
        safety = [b.name for b in view.study.benchmarks if not b.is_capability]
        benchmark = left.selectbox(
            "Outputs to",
            safety,
            safety.index(view.specification.benchmark) if view.specification.benchmark in safety else 0,
            format_func=visible,
        )
        recipes = right.multiselect(
            "of recipes", [r.name for r in view.study.recipes], format_func=visible, placeholder="all of them"
        )
        questions = st.multiselect(
            "Questions, in this order",
            list(QUESTIONS),
            list(QUESTIONS),
            format_func=lambda q: QUESTIONS[q].words,
        )
        strategy = st.selectbox(
            "How to draw",
            sorted(STRATEGIES, key=list(STRATEGY_WORDS).index),
            format_func=STRATEGY_WORDS.__getitem__,
        )
        share = (
            st.slider(
                "Share drawn at random from everything",
                0.0,
                1.0,
                0.5,
                0.05,
                help="Without it no rate can be corrected.",
            )
            if strategy in ("disagreement", "uncertainty")
            else 0.3
        )
        one, two, three, four = st.columns(4)
        size = one.number_input("Items", 1, 100_000, 200)
        annotators = two.number_input("Annotators per item", 1, 20, 2)
        repeats = three.number_input(
            "Share repeated",
            0.0,
            1.0,
            0.1,
            0.05,
            help="Share of items that a person sees a second time, to see whether they agree with "
            "themselves.",
        )
        daily = four.number_input("Daily target", 1, 10_000, 200)
        blind = st.toggle("Blind: hide model and checkpoint", True)
        here = screen.selection()
        narrow = here.narrows and st.toggle(
            "Only the outputs that were chosen on the Outputs page",
            True,
            help=plain_label(here.caption())
            + "\\. Labels of a part of the outputs correct no rate over all of them.",
        )
        if st.button("Make the queue", type="primary"):
            settings = QueueSettings(
                name,
                tuple(questions),
                strategy,
                share,
                int(size),
                int(annotators),
                repeats,
                blind,
                daily=int(daily),
            )
            chosen = here.narrowed_to(here if narrow else Selection()).but(
                study=view.study.name, benchmarks=(benchmark,), recipes=tuple(recipes)
            )
            with noted("make queue", name=name, study=view.study.name) as person:
                made = make_queue(owner.desk, open_view(view.store, chosen), person, settings)
            st.session_state["made"] = f"{made.name}: {made.words}."
            st.rerun()


def listing(owner: Owner, person: Person) -> None:
    """Every queue: how it drew, how far it is; pause it, add to it, close it."""
    if said := st.session_state.pop("made", ""):
        st.success(plain_label(said))
    queues = owner.desk.queues()
    if not queues:
        st.info(
            "There is no queue yet. Make one: two hundred labels drawn at random already correct every "
            "judge on this study."
        )
        return
    event = show_table(
        pd.DataFrame([_row(owner, q, person) for q in queues]),
        width="stretch",
        on_select="rerun",
        selection_mode="single-row",
        key="queues",
        column_config={
            "done": st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent"),
            "drew": st.column_config.TextColumn(width="large"),
        },
    )
    chosen = (
        queues[event.selection.rows[0]]
        if event.selection.rows and event.selection.rows[0] < len(queues)
        else queues[0]
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.page_link(
            str(screen.PAGES / "annotate.py"),
            label=f"Label {plain_label(chosen.name)}",
            icon=":material/edit_note:",
            query_params={"queue": chosen.queue},
        )
        if st.button(STATE_WORDS[chosen.state], key=f"state-{chosen.queue}-{chosen.state}"):
            _set_state(owner, chosen.queue, STATES[chosen.state])
        if chosen.state != "closed" and st.button("Close", key=f"close-{chosen.queue}"):
            _set_state(owner, chosen.queue, "closed")
        more = st.number_input("More items", 1, 10_000, 50, key=f"more-{chosen.queue}", width=120)
        if st.button(
            "Add them",
            key=f"add-{chosen.queue}",
            help="Continues the same random order; items in adaptive order stay as they are.",
        ):
            with noted("extend queue", queue=chosen.queue, more=int(more)) as who:
                drawn = extend_queue(owner.desk, who, chosen, int(more)).words
            st.session_state["made"] = f"{chosen.name}: {drawn}."
            st.rerun()


def _set_state(owner: Owner, queue: str, state: str) -> None:
    with noted("queue state", queue=queue, state=state) as person:
        owner.desk.set_state(person, queue, state)
    st.rerun()


def _row(owner: Owner, queue: QueueRecord, person: Person) -> dict[str, object]:
    progress = owner.desk.progress(person, queue.queue)
    return {
        "queue": visible(queue.name),
        "state": queue.state,
        "done": progress.done / max(1, progress.total),
        "labels": f"{progress.done} of {progress.total}",
        "annotators per item": queue.settings["annotators"],
        "drew": visible(queue.words),
        "by": visible(queue.author),
        "blind": queue.settings["blind"],
    }
