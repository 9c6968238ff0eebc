"""What a study could tell, before it is run: a part of the Runs page."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from capsafe_core.analysis.planning import (
    Design,
    design_of,
    lacking_sizes,
    needed_table,
    plan_words,
    planned_table,
)
from capsafe_core.analysis.view import View
from capsafe_core.ui.safe_text import visible

USUAL = (100, 200)
"""prompts and items where the study states no size"""


def show(view: View) -> None:
    """The differences that the study's design could see, with other numbers of prompts and seeds to try."""
    stated = design_of(view.study, None, None)
    with st.form("plan", border=False):
        with st.container(horizontal=True):
            prompts = st.number_input("Harmful requests", 2, 100_000, stated.prompts or USUAL[0])
            items = st.number_input("Capability items", 2, 100_000, stated.items or USUAL[1])
            seeds = st.number_input("Training seeds", 1, 100, stated.seeds or 1)
            rate = st.number_input("Unsafe rate of the start", 0.0, 0.9, Design.rate, 0.01)
            deviation = st.number_input("Seed deviation", 0.0, 0.5, Design.seed_deviation, 0.01)
            margin = st.number_input("Margin", 0.01, 0.5, view.study.primary.margins.unsafe or 0.1, 0.01)
        asked = st.form_submit_button("Simulate", icon=":material/casino:")
    design = replace(stated, prompts=prompts, items=items, seeds=seeds, rate=rate, seed_deviation=deviation)
    if lacking := list(lacking_sizes(design)):
        st.text(visible(" ".join(lacking)))
    elif asked:
        with st.spinner("Simulating studies …"):
            st.text(visible("\n\n".join(_words(design, margin))))


@st.cache_data(max_entries=16, show_spinner=False)
def _words(design: Design, margin: float) -> list[str]:
    return plan_words(design, planned_table(design), needed_table(design, margin), margin)
