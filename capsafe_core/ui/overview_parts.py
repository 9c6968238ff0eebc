"""Sections of the page Overview."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from capsafe_core.analysis.outputs import outputs_table
from capsafe_core.analysis.view import View, open_view
from capsafe_core.figures.overview import gained_against_unsafe
from capsafe_core.figures.training import capability_against_unsafe
from capsafe_core.ui import identity, screen


def way_there(paths: pd.DataFrame) -> str | None:
    """Capability against unsafe rate, by share of the goal gained where there is one to gain; the checkpoint
    of a click."""
    st.markdown("**How does safety change along training?** Line: selected judge. Band: range across judges.")
    if paths["gained"].notna().any():
        alt = "Share of goal gained against unsafe rate, one line per recipe"
        return screen.chart(gained_against_unsafe(paths), "gained", alt)
    return screen.chart(capability_against_unsafe(paths), "plane", "Unsafe rate against accuracy")


def doors(view: View, claim: str) -> None:
    """Where to go on: an output that split the judges, the pages behind the numbers, labelling.

    Args:
        claim: key of the claim that Conclusions opens with; "" for the most contested.
    """
    with st.container(horizontal=True):
        if st.button("An output that split the judges", icon=":material/call_split:"):
            chosen = screen.selection().but(
                benchmarks=(view.specification.benchmark,), outcomes=("incoherent",)
            )
            rows, count = outputs_table(open_view(view.store, chosen), limit=1, order="disputed")
            if count:
                screen.open_output(str(rows["generation_id"].iloc[0]))
        for page, label, icon, of in (
            ("disagreement.py", "Where judges disagree", ":material/balance:", ""),
            ("conclusions.py", "Does it survive? All analysis variants", ":material/rule:", claim),
            ("incoherence.py", "Where responses become incoherent", ":material/blur_on:", ""),
        ):
            query = screen.selection().but(claim=of) if of else screen.selection()
            st.page_link(str(screen.PAGES / page), label=label, icon=icon, query_params=query.to_query())
        if identity.role() == "researcher":
            st.page_link(
                str(screen.PAGES / "annotate.py"), label="Label a few yourself", icon=":material/edit_note:"
            )
