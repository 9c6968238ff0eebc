"""Parts of the page of one output: the way to those beside it in the list, its judges' words, and its raw
record."""

from __future__ import annotations

import json
import time
from typing import Any

import pandas as pd
import streamlit as st

from capsafe_core.analysis.outputs import list_words, place_of
from capsafe_core.analysis.view import View
from capsafe_core.annotation import LONGEST_NOTE
from capsafe_core.errors import CapsafeError
from capsafe_core.store.outputs import Output
from capsafe_core.store.remarks import remarks_on
from capsafe_core.ui import identity, screen
from capsafe_core.ui.acting import actor
from capsafe_core.ui.safe_text import plain_label, show_raw, visible
from capsafe_core.workspace.owner import current_owner

HIDDEN = "Hidden: it holds the response. Switch on “Show model text” above."


def walk(view: View, generation: str) -> None:
    """The outputs before and after this one in the list that the link names, and the way back to it."""
    place = place_of(view, generation)
    with st.container(horizontal=True, vertical_alignment="center"):
        if place is not None:
            back = st.button(
                "Previous", shortcut="k", icon=":material/arrow_back:", disabled=not place.before
            )
            on = st.button("Next", shortcut="j", icon=":material/arrow_forward:", disabled=not place.after)
            if back or on:
                screen.select(page=place.page(1 if on else -1))
                screen.open_output(place.after if on else place.before)
            st.text(visible(f"{place.place:,} of {list_words(view.selection, place.count)}"))
        st.page_link(
            str(screen.PAGES / "outputs.py"),
            label="Back to the list",
            icon=":material/list:",
            query_params=view.selection.but(generation="").to_query(),
        )


def remarks(view: View, facts: dict[str, Any]) -> None:
    """Stars and comments on an output, with a star and a comment of one's own for whoever may give them."""
    said = remarks_on(view.store, facts["generation_id"])
    stars = list(said.loc[said["action"] == "star", "author"])
    comments = said[said["action"] == "comment"]
    st.subheader("Stars and comments", anchor=False)
    if message := st.session_state.pop("not-remarked", ""):
        st.warning(plain_label(message))
    for comment in comments.astype(object).to_dict("records"):
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(comment["created"]))
        st.text(visible(f"{comment['author']}, {when}: {comment['text']}"))
    if stars:
        st.text(visible(f"Starred by {', '.join(stars)}"))
    if identity.role() != "researcher":
        return
    mine = actor().name in stars
    key = f"comment-{facts['generation_id']}"
    st.text_area("Comment", key=key, height=68, max_chars=LONGEST_NOTE)
    with st.container(horizontal=True):
        st.button("Add comment", on_click=_remark, args=(facts, "comment", key), icon=":material/comment:")
        st.button(
            "Remove star" if mine else "Star",
            on_click=_remark,
            args=(facts, "unstar" if mine else "star"),
            icon=":material/star:",
        )


def _remark(facts: dict[str, Any], action: str, key: str = "") -> None:
    """Keep what was clicked; a comment leaves its field once it is kept."""
    try:
        text = str(st.session_state.get(key, "")) if key else ""
        books = current_owner().desk.books
        books.remark(actor(), facts["generation_id"], facts["cell_id"], action, text)
    except CapsafeError as error:
        st.session_state["not-remarked"] = f"{error.message} {error.hint}"
        return
    if key:
        st.session_state[key] = ""


def judges_words(judgments: pd.DataFrame, shown: bool) -> None:
    """What each judge received and replied.

    Args:
        shown: whether texts are shown.
    """
    st.subheader("What each judge received and replied", anchor=False)
    row: Any
    for row in judgments.itertuples():
        with st.expander(
            plain_label(f"{plain_label(row.judge)}, {row.dimension}: {plain_label(row.label or row.status)}")
        ):
            st.text(
                f"Native label: {visible(row.native) or '—'}\nIts rubric on incoherent text: "
                f"{visible(row.stance)}"
                + (f"\nScore: {row.score:.3f}" if row.score == row.score and row.score is not None else "")
            )
            if not shown and (row.asked or row.raw):
                st.text(HIDDEN)
                continue
            if row.asked:
                show_raw(row.asked)
            else:
                st.text("It read the response itself; no text was made for it.")
            if row.raw:
                st.text("Judge's reply")
                show_raw(row.raw)


def raw_record(view: View, output: Output, shown: bool) -> None:
    """Everything that the store has of an output as JSON, to read and to download."""
    said = remarks_on(view.store, output.facts["generation_id"]).astype(object).to_dict("records")
    text = json.dumps({**output.record(), "remarks": said}, ensure_ascii=False, indent=2, allow_nan=False)
    with st.expander("Raw record"):
        if shown:
            show_raw(text)
        else:
            st.text(HIDDEN)
        st.download_button(
            "Download JSON",
            text.encode("utf-8", "replace"),
            f"output-{output.facts['generation_id'][:8]}.json",
            "application/json",
            key="raw-record",
        )
