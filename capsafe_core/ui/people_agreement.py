"""How people agree with each other and with themselves: the head of the page Labels, and a part of it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from capsafe_core.analysis.annotators import ALL, DIMENSIONS, agreement_words, repeats_table
from capsafe_core.analysis.columns import records
from capsafe_core.analysis.view import View
from capsafe_core.figures.people import agreement
from capsafe_core.quoting import split_names
from capsafe_core.ui import screen
from capsafe_core.ui.heads import AGREEMENT, WORK
from capsafe_core.ui.safe_text import plain_label
from capsafe_core.ui.tables import show_table


def headline(found: pd.DataFrame, work: pd.DataFrame, disputes: int) -> None:
    """How far people agree on each question, with interval and n, and how much there is.

    Args:
        found: as `annotators_table`.
        work: as `people_work`.
        disputes: outputs on which people disagree and nobody has ruled.
    """
    overall = {row["dimension"]: row for row in records(found[found["stratum"] == ALL])}
    annotators = int((work["labels"] > 0).sum())
    with st.container(horizontal=True, key="people-numbers"):
        for dimension in DIMENSIONS:
            value, detail = agreement_words(overall.get(dimension))
            _number(f"Alpha, {dimension}", value, detail, "Krippendorff's alpha with its 95% interval.")
        _number(
            "Labels",
            f"{int(work['labels'].sum()):,}",
            f"{annotators} annotators" if annotators != 1 else "1 annotator",
            "Answers to one question about one output that stand: what was taken back or replaced is not "
            "counted, nor are second looks.",
        )
        _number(
            "Disputes", f"{disputes:,}", "open", "Outputs on which annotators disagree, without a ruling."
        )
    withheld = [f"{dimension}, {row['why_not']}" for dimension, row in overall.items() if row["why_not"]]
    if withheld:
        st.caption(plain_label(f"Alpha is withheld for {'; '.join(withheld)}."))


def _number(label: str, value: str, detail: str, help_text: str) -> None:
    st.metric(
        plain_label(label),
        plain_label(value),
        plain_label(detail),
        delta_color="off",
        delta_arrow="off",
        help=plain_label(help_text),
        border=True,
        width=170,  # two beside each other on a phone
    )


def show(view: View, found: pd.DataFrame, work: pd.DataFrame) -> None:
    """Agreement by kind of output, with one's own earlier labels, and each person's work.

    Args:
        found: as `annotators_table`.
        work: as `people_work`.
    """
    if found.empty:
        st.info(
            "Agreement shows once two people have labelled the same output. Make a queue with two "
            "annotators per item."
        )
    else:
        _by_kind(view, found)
    again = repeats_table(view)
    if len(again):
        st.markdown("**Agreement with their own earlier labels**")
        show_table(again, AGREEMENT, width="stretch")
    if len(work):
        st.markdown("**Annotators**")
        show_table(work.drop(columns="last"), WORK, width="stretch")


def _by_kind(view: View, found: pd.DataFrame) -> None:
    if found["alpha"].notna().any():
        clicked = screen.chart(
            agreement(found), "agreement-people", "Agreement between people by kind of output"
        )
        if clicked:
            kind = split_names(clicked)[1]
            screen.open_outputs(
                strata=() if kind == ALL else (kind,), benchmarks=(view.specification.benchmark,)
            )
        screen.caption(view, "95% intervals over behaviours. Kinds as the detector and the refusal judge say")
    show_table(found, AGREEMENT, width="stretch")
    screen.table_below(
        found,
        "agreement-between-people",
        "annotators",
        "coefficients",
        "strata",
        how="“Cannot tell” does not count as a label here; it has a column of its own.",
        heads=AGREEMENT,
    )
