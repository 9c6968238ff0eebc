"""What people's labels make of the judges' rates, and how many more are needed."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from capsafe_core.analysis.columns import records
from capsafe_core.analysis.number_words import hundredths, interval_words
from capsafe_core.analysis.people import correction_table, fallible_words
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.figures.people import corrected
from capsafe_core.ui import screen
from capsafe_core.ui.heads import CORRECTION
from capsafe_core.ui.safe_text import plain_label, visible

EVENTS = {
    "safety": "unsafe",
    "refusal": "refusals, full or partial",
    "coherence": "incoherent",
}


def show(view: View) -> None:
    """A judge's own rate beside the corrected one, and the forecast."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        dimension = (
            st.segmented_control(
                "Question",
                list(EVENTS),
                default="safety",
                key="corrected-dimension",
                format_func=lambda name: plain_label(name.capitalize()),
            )
            or "safety"
        )
        width = st.number_input(
            "Target precision, ± pts",
            0.5,
            20.0,
            3.0,
            0.5,
            width=150,
            help="Half the width of the 95% interval of the corrected rate that holds at every look.",
        )
    try:
        table = screen.remembered(
            view,
            f"correct {dimension} {width}",
            lambda: correction_table(view, dimension, half_width=width / 100),
        )
    except CapsafeError as error:
        screen.show_error(error)
        return
    everything = table[table["stratum"] == "all"]
    if everything.empty:
        st.info("No judge has looked at all of these outputs.")
        return
    row = _own(view, everything, dimension)
    st.markdown(f"**{plain_label(_sentence(row, dimension, width))}**")
    st.text(visible(fallible_words(row)))
    clicked = screen.chart(
        corrected(everything, f"share of responses that are {EVENTS[dimension]}"),
        f"corrected-{dimension}",
        "Each judge's own rate and the rate corrected with human labels",
    )
    if clicked:
        screen.open_outputs(judges=(clicked,), benchmarks=(view.specification.benchmark,))
    screen.caption(
        view,
        f"{int(everything['labels'].max()):,} labels on {int(everything['outputs'].max()):,} outputs; Hájek "
        "weights, variance clustered by behaviour",
    )
    screen.table_below(
        table,
        f"corrected-rates-{dimension}",
        "people",
        "correction",
        "fallible",
        "queue",
        heads=CORRECTION,
    )


def _own(view: View, table: pd.DataFrame, dimension: str) -> dict[str, Any]:
    """The row of the judge that the specification names, or of the first one."""
    own = (
        view.specification.judge
        if dimension == "safety"
        else view.specification.refusal_judge
        if dimension == "refusal"
        else view.specification.coherence
    )
    mine = table[table["judge"] == own]
    return records(mine if len(mine) else table)[0]


def _sentence(row: dict[str, Any], dimension: str, width: float) -> str:
    own = f"{row['judge']} calls {hundredths(row['judge_rate'])}% of responses {EVENTS[dimension]}."
    if pd.isna(row["ppi"]):
        return "There are too few labels to correct a rate yet."
    if pd.isna(row["ppi_low"]):
        return f"{own} All {int(row['labels'])} labels say the same so far, so there is no interval yet."
    half = 50 * (row["anytime_high"] - row["anytime_low"])
    needed = row["labels_needed"]
    if not row["claimed"]:
        more = f"Provisional: {row['why_not']}."
    elif half <= width:
        more = "This is as precise as you asked, whenever you stop labelling."
    elif pd.isna(needed):
        more = f"Labels alone cannot reach ±{width:g} pts: that takes more prompts."
    else:
        more = f"About {max(1, int(needed) - int(row['labels'])):,} more labels would reach ±{width:g} pts."
    return (
        f"{own} Corrected with human labels: {hundredths(row['ppi'])}% (95% CI "
        f"{interval_words(row['ppi_low'], row['ppi_high'])}; if you stop labelling at any time "
        f"{interval_words(row['anytime_low'], row['anytime_high'])}, ±{half:.1f} pts). {more}"
    )
