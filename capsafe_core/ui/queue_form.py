"""The dialogue in which a queue is made."""

from __future__ import annotations

import dataclasses

import streamlit as st

from capsafe_core.analysis.view import View, open_view
from capsafe_core.annotation import QUESTIONS, STRATEGIES, QueueSettings
from capsafe_core.labelling.queues import make_queue
from capsafe_core.people import EVERYBODY, may_label
from capsafe_core.selection import Selection
from capsafe_core.store.labels import people_work
from capsafe_core.ui import acting, screen
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.workspace.owner import Owner

STRATEGY_WORDS = {
    "stratified": "Stratified: judges' votes × coherence × checkpoint",
    "random": "Simple random",
    "disagreement": "Most disputed first, with a random share",
    "uncertainty": "Least certain first, with a random share",
}
ANNOTATORS = {1: "One", 2: "Two, for agreement", 3: "Three"}


@st.dialog("Make a queue", width="large")
def ask(view: View, owner: Owner) -> None:
    """Make a queue over the outputs of the study; the dialogue closes when it is made."""
    with screen.told():
        acting.actor().must_be("researcher")
        name, chosen = _outputs(view, owner)
        settings = _drawing(QueueSettings(name))
        settings = _people(settings, owner)
        settings = _details(settings)
        if st.button("Make the queue", type="primary"):
            with acting.noted("make queue", name=name, study=view.study.name) as person:
                made = make_queue(owner.desk, open_view(view.store, chosen), person, settings)
            st.session_state["made"] = f"{made.name}: {made.words}."
            st.rerun()


def _outputs(view: View, owner: Owner) -> tuple[str, Selection]:
    """The queue's name, and what it draws from."""
    left, middle, right = st.columns(3)
    name = left.text_input(
        "Name", f"{view.specification.benchmark}, {len(owner.desk.queues()) + 1}", max_chars=60
    )
    safety = [b.name for b in view.study.benchmarks if not b.is_capability]
    benchmark = middle.selectbox(
        "Benchmark",
        safety,
        safety.index(view.specification.benchmark) if view.specification.benchmark in safety else 0,
        format_func=visible,
    )
    recipes = right.multiselect(
        "Recipes", [r.name for r in view.study.recipes], format_func=visible, placeholder="All"
    )
    here = screen.selection()
    narrow = here.narrows and st.toggle(
        "Only the outputs that were chosen on the Outputs page",
        True,
        help=plain_label(here.caption())
        + "\\. Labels of a part of the outputs correct no rate over all of them.",
    )
    chosen = here.narrowed_to(here if narrow else Selection()).but(
        study=view.study.name, benchmarks=(benchmark,), recipes=tuple(recipes)
    )
    return name, chosen


def _drawing(settings: QueueSettings) -> QueueSettings:
    """How many outputs are drawn, and how."""
    left, right = st.columns([1, 2])
    size = left.number_input("Items", 1, 100_000, settings.size)
    strategy = right.selectbox(
        "How to draw",
        sorted(STRATEGIES, key=list(STRATEGY_WORDS).index),
        format_func=STRATEGY_WORDS.__getitem__,
    )
    share = settings.share
    if strategy in ("disagreement", "uncertainty"):
        share = st.slider(
            "Share drawn at random from everything",
            0.0,
            1.0,
            0.5,
            0.05,
            help="Without it no rate can be corrected.",
        )
    return dataclasses.replace(settings, size=int(size), strategy=strategy, share=share)


def _people(settings: QueueSettings, owner: Owner) -> QueueSettings:
    """How many people label each item, and who."""
    left, right = st.columns([1.35, 1])
    annotators = left.segmented_control(
        "Annotators per item", list(ANNOTATORS), default=2, required=True, format_func=ANNOTATORS.__getitem__
    )
    with right:
        assigned = assignment(owner, (), "new-queue")
    return dataclasses.replace(settings, annotators=annotators, assigned=assigned)


def assignment(owner: Owner, now: tuple[str, ...], key: str) -> tuple[str, ...]:
    """To whom a queue is assigned: people who have labelled or may, or a name that is typed."""
    known = [*now, *people_work(owner.store)["person"], *may_label(owner.settings.roles_path)]
    chosen = st.multiselect(
        "Assigned to",
        list(dict.fromkeys(known)),
        list(now),
        format_func=visible,
        placeholder=EVERYBODY.capitalize(),
        accept_new_options=True,
        key=f"assigned-{key}",
        help="Only they are handed its items. Choose people, or type the names that they label under.",
    )
    return tuple(chosen)


def _details(settings: QueueSettings) -> QueueSettings:
    """What most queues leave as it is."""
    with st.expander("Questions, second looks, daily target"):
        questions = st.multiselect(
            "Questions, in this order",
            list(QUESTIONS),
            list(settings.questions),
            format_func=lambda q: QUESTIONS[q].words,
        )
        left, middle, right = st.columns(3, vertical_alignment="bottom")
        repeats = left.number_input(
            "Share repeated",
            0.0,
            1.0,
            settings.repeats,
            0.05,
            help="Share of items that a person sees a second time, to see whether they agree with "
            "themselves.",
        )
        daily = middle.number_input("Daily target", 1, 10_000, settings.daily)
        blind = right.toggle("Blind: hide model and checkpoint", settings.blind)
    return dataclasses.replace(
        settings, questions=tuple(questions), repeats=repeats, daily=int(daily), blind=blind
    )
