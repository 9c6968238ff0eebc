"""How people agree with each other and with themselves: a part of the page Labels."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from capsafe_core.analysis.annotators import ALL, repeats_table
from capsafe_core.analysis.view import View
from capsafe_core.figures.people import agreement
from capsafe_core.quoting import split_names
from capsafe_core.ui import screen
from capsafe_core.ui.tables import show_table


def show(view: View, found: pd.DataFrame, work: pd.DataFrame) -> None:
    """Agreement by kind of output, with one's own earlier labels, and each person's work.

    Args:
        found: as `annotators_table`.
        work: as `people_work`.
    """
    if found.empty:
        st.info(
            "Agreement shows once two people have answered the same output. Make a queue with two "
            "people for each item."
        )
    else:
        clicked = screen.chart(
            agreement(found), "agreement-people", "Agreement between people by kind of output"
        )
        if clicked:
            kind = split_names(clicked)[1]
            screen.open_outputs(
                strata=() if kind == ALL else (kind,), benchmarks=(view.specification.benchmark,)
            )
        screen.caption(
            view,
            "Intervals: 95%, bootstrap over behaviours. Kinds of output as the detector and the "
            "refusal judge tell them",
        )
        screen.table_below(
            found,
            "agreement-between-people",
            "coefficients",
            "strata",
            how="“Cannot tell” does not count as an answer here; it has a column of its own.",
        )
    again = repeats_table(view)
    if len(again):
        st.markdown("**Agreement with their own earlier labels**")
        show_table(again, width="stretch")
    if len(work):
        st.markdown("**Annotators**")
        show_table(work.drop(columns="last"), width="stretch")
