"""Where people disagree: both labels and notes side by side, and a ruling."""

from __future__ import annotations

import time

import pandas as pd
import streamlit as st

from capsafe_core.analysis.view import View
from capsafe_core.annotation import QUESTIONS, label_words
from capsafe_core.errors import CapsafeError
from capsafe_core.store.labels import item_texts, label_history, rulings
from capsafe_core.ui import identity, screen
from capsafe_core.ui.acting import noted
from capsafe_core.ui.heads import DISPUTES
from capsafe_core.ui.safe_text import plain_label, show_answer, show_raw, visible
from capsafe_core.ui.tables import show_table
from capsafe_core.workspace.owner import Owner


def show(view: View, conflicts: pd.DataFrame, owner: Owner) -> None:
    """The open disputes (as `conflicts_table`), one of them in full."""
    if said := st.session_state.pop("not-ruled", ""):
        st.warning(plain_label(said))
    _standing(view, owner)
    if conflicts.empty:
        st.info("Nothing is in dispute: wherever two people answered, they agree or a ruling stands.")
        return
    st.text(f"{len(conflicts):,} open. A ruling counts as the truth; what each person said stays.")
    table = conflicts.assign(said=conflicts["said"].map(visible))[["dimension", "said", "stratum"]]
    event = show_table(
        table,
        DISPUTES,
        width="stretch",
        height=min(240, 40 + 35 * len(table)),
        on_select="rerun",
        selection_mode="single-row",
        key="conflicts",
    )
    place = (
        event.selection.rows[0] if event.selection.rows and event.selection.rows[0] < len(conflicts) else 0
    )
    row = conflicts.iloc[place]
    _one(view, owner, str(row["generation_id"]), str(row["cell_id"]), str(row["dimension"]))


def _standing(view: View, owner: Owner) -> None:
    """Rulings that stand, each to be opened again."""
    known = rulings(view.store)
    if known.empty:
        return
    with st.expander(f"Rulings that stand: {len(known)}"):
        table = known.assign(note=known["note"].map(visible), person=known["person"].map(visible))[
            ["dimension", "label", "person", "note"]
        ]
        event = show_table(
            table,
            DISPUTES,
            width="stretch",
            on_select="rerun",
            selection_mode="single-row",
            key=f"rulings-{len(known)}",
        )
        if event.selection.rows and event.selection.rows[0] < len(known):
            row = known.iloc[event.selection.rows[0]]
            args = (
                owner,
                row["generation_id"],
                row["cell_id"],
                row["dimension"],
                None,
                row["event_id"],
            )
            st.button("Open this one again", on_click=_rule, args=args, key=f"reopen-{row['event_id']}")


def _rule(owner: Owner, generation: str, cell: str, dimension: str, label: str | None, standing: str) -> None:
    """Rule on what was on screen; a ruling that somebody else made meanwhile is told, not overruled."""
    note = str(st.session_state.get(f"why-{generation}-{dimension}", "")) if label else ""
    try:
        with noted("rule", item=generation, dimension=dimension, label=label or "open again") as person:
            owner.desk.books.adjudicate(person, generation, cell, dimension, label, note, expected=standing)
    except CapsafeError as error:
        st.session_state["not-ruled"] = f"{error.message} {error.hint}" + (
            f" Your note was: {note}" if note else ""
        )


def _one(view: View, owner: Owner, generation: str, cell: str, dimension: str) -> None:
    texts = item_texts(view.store, [generation])
    if generation not in texts:
        st.warning("This output was taken out of the store meanwhile.")
        return
    history = label_history(view.store, generation, dimension)
    left, right = st.columns([3, 2])
    with left:
        show_raw(texts[generation]["prompt"])
        show_answer(texts[generation]["answer"], blurred=not screen.texts_shown())
    with right:
        st.markdown(f"**{QUESTIONS[dimension].words}**")
        own = history[history["stands"] & (history["repeat"] == 0) & (history["action"] == "label")]
        for said in own.astype(object).to_dict("records"):
            unsure = ", not sure" if said["confidence"] == 0 else ""
            why = f" ({said['reasons'].replace('_', ' ')})" if said["reasons"] else ""
            st.text(visible(f"{said['person']}: {label_words(dimension, said['label'])}{unsure}{why}"))
            if said["note"]:
                show_raw(said["note"])
    with st.expander("Who said what, and when"):
        show_table(_history(history, dimension), DISPUTES, width="stretch")
    st.markdown("**Your ruling**")
    identity.person()
    st.text_input("Why", key=f"why-{generation}-{dimension}", placeholder="For whoever reads this later")
    rulings = history[history["action"].isin(["adjudicate", "reopen"])]
    standing = (
        str(rulings["event_id"].iloc[-1])
        if len(rulings) and rulings["action"].iloc[-1] == "adjudicate"
        else ""
    )
    with st.container(horizontal=True):
        for label, words in QUESTIONS[dimension].answers.items():
            st.button(
                plain_label(words),
                key=f"rule-{generation}-{dimension}-{label}",
                on_click=_rule,
                args=(owner, generation, cell, dimension, label, standing),
            )


def _history(history: pd.DataFrame, dimension: str) -> pd.DataFrame:
    when = [time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(t)) for t in history["created"]]
    labels = [label_words(dimension, label) if isinstance(label, str) else "" for label in history["label"]]
    return history.assign(
        when=when,
        label=labels,
        person=history["person"].map(visible),
        note=history["note"].map(visible),
        repeat=history["repeat"] == 1,
    )[["when", "person", "action", "label", "reasons", "note", "repeat"]]
