"""Section of the page Judge disagreement: judges under answers that were broken on purpose."""

from __future__ import annotations

import streamlit as st

from capsafe_core.analysis.stress import stances, stress_sentence, stress_table
from capsafe_core.analysis.view import View
from capsafe_core.figures.stress import changed_verdicts
from capsafe_core.ui import screen
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.ui.tables import show_table


def stressed(view: View) -> None:
    """Which verdicts change when a coherent response is broken."""
    table = screen.remembered(view, "stress", lambda: stress_table(view))
    if table.empty:
        st.text(visible(f"No judge was asked yet: run `capsafe stress {view.study.name}`."))
        return
    st.markdown(f"**{plain_label(stress_sentence(table))}**")
    screen.picture(
        changed_verdicts(table),
        "stress",
        "Share of each judge's verdicts that change as a coherent response is broken further, by reason",
    )
    show_table(stances(view, table))
    st.caption(
        "Coherent responses of all checkpoints to harmful requests, broken on purpose in seven ways; at 0% "
        "the judge saw the unbroken response once more."
    )
    screen.table_below(table, "stress", "stress", "wilson", "detector")
