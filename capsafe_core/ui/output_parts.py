"""Parts of the page of one output: the way to those beside it in the list, its judges' words, and its raw
record."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import streamlit as st

from capsafe_core.analysis.outputs import list_words, place_of
from capsafe_core.analysis.view import View
from capsafe_core.store.outputs import Output
from capsafe_core.ui import screen
from capsafe_core.ui.safe_text import plain_label, show_raw, visible

HIDDEN = "Hidden: it holds the answer. Switch on “Show model text” above."


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
                st.text("It read the answer itself; no text was made for it.")
            if row.raw:
                st.text("Judge's reply")
                show_raw(row.raw)


def raw_record(output: Output, shown: bool) -> None:
    """Everything that the store has of an output as JSON, to read and to download."""
    text = json.dumps(output.record(), ensure_ascii=False, indent=2, allow_nan=False)
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
