"""Queues: every one that there is, how far it is and whose, and what can be done with it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from capsafe_core.analysis.view import View
from capsafe_core.labelling.queues import extend_queue
from capsafe_core.people import EVERYBODY, Person, and_words
from capsafe_core.records import QueueRecord
from capsafe_core.ui import queue_form, screen
from capsafe_core.ui.acting import noted
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.ui.tables import show_table
from capsafe_core.workspace.owner import Owner

STATES = {"open": "paused", "paused": "open", "closed": "open"}
STATE_WORDS = {"open": "Pause", "paused": "Open again", "closed": "Open again"}


def show(view: View, owner: Owner, person: Person) -> None:
    """Make a queue, and every queue that there is."""
    if st.button("Make a queue", icon=":material/add:"):
        queue_form.ask(view, owner)
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
            "Done": st.column_config.ProgressColumn(min_value=0, max_value=100, format="%.0f%%"),
            "Annotations": st.column_config.TextColumn(
                help="One person's labels of one item, of those that the queue asks for."
            ),
            "Drawn": st.column_config.TextColumn(width="large"),
        },
    )
    rows = event.selection.rows
    _one(owner, queues[rows[0]] if rows and rows[0] < len(queues) else queues[0])


def _one(owner: Owner, chosen: QueueRecord) -> None:
    """What can be done with a queue: label, pause, close, add to it, say whose it is."""
    st.markdown(f"**{plain_label(chosen.name)}**")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.page_link(
            str(screen.PAGES / "annotate.py"),
            label="Label it",
            icon=":material/edit_note:",
            query_params={"queue": chosen.queue},
        )
        if st.button(STATE_WORDS[chosen.state], key=f"state-{chosen.queue}-{chosen.state}"):
            _set_state(owner, chosen.queue, STATES[chosen.state])
        if chosen.state != "closed" and st.button("Close", key=f"close-{chosen.queue}"):
            _set_state(owner, chosen.queue, "closed")
        more = st.number_input("More items", 1, 10_000, 50, key=f"more-{chosen.queue}", width=120)
        if st.button(
            "Add items",
            key=f"add-{chosen.queue}",
            help="Continues the same random order; items in adaptive order stay as they are.",
        ):
            with noted("extend queue", queue=chosen.queue, more=int(more)) as who:
                drawn = extend_queue(owner.desk, who, chosen, int(more)).words
            st.session_state["made"] = f"{chosen.name}: {drawn}."
            st.rerun()
    now = tuple(chosen.settings["assigned"])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        people = queue_form.assignment(owner, now, f"{chosen.queue}-{chosen.created}")
        if st.button("Assign", key=f"assign-{chosen.queue}", disabled=people == now):
            with noted("assign queue", queue=chosen.queue, people=list(people)) as who:
                owner.desk.assign(who, chosen.queue, people)
            st.session_state["made"] = f"{chosen.name} is assigned to {and_words(people) or EVERYBODY}."
            st.rerun()


def _set_state(owner: Owner, queue: str, state: str) -> None:
    with noted("queue state", queue=queue, state=state) as person:
        owner.desk.set_state(person, queue, state)
    st.rerun()


def _row(owner: Owner, queue: QueueRecord, person: Person) -> dict[str, object]:
    progress = owner.desk.progress(person, queue.queue)
    return {
        "Queue": visible(queue.name),
        "State": queue.state,
        "Assigned to": visible(", ".join(queue.settings["assigned"])) or EVERYBODY,
        "Done": 100 * progress.done / max(1, progress.total),
        "Annotations": f"{progress.done:,} of {progress.total:,}",
        "Annotators per item": queue.settings["annotators"],
        "Drawn": visible(queue.words),
        "Made by": visible(queue.author),
        "Blind": queue.settings["blind"],
    }
