"""Do annotators agree, and how well do judges match their labels?"""

import streamlit as st

from capsafe_core.analysis.annotators import ALL, annotators_table, conflicts_table, repeats_table
from capsafe_core.figures.people import agreement
from capsafe_core.quoting import split_names
from capsafe_core.store.labels import people_work
from capsafe_core.ui import adjudicate, corrected, detector, guidelines, identity, label_files, queues, screen
from capsafe_core.ui.safe_text import plain_label, visible_frame
from capsafe_core.workspace.owner import current_owner

with screen.question("Do annotators agree, and how well do judges match their labels?") as view:
    owner, person = current_owner(), identity.person()
    found = screen.remembered(view, "annotators", lambda: annotators_table(view))
    work, conflicts = (
        people_work(owner.store),
        screen.remembered(view, "conflicts", lambda: conflicts_table(view)),
    )
    overall = found[found["stratum"] == ALL].set_index("dimension")
    columns = st.columns(5)
    for column, dimension in zip(columns, ("coherence", "safety", "refusal"), strict=False):
        row = overall.loc[dimension] if dimension in overall.index else None
        words = (
            "no pairs yet"
            if row is None
            else "not defined"
            if row["alpha"] != row["alpha"]
            else f"{row['alpha']:.2f}"
        )
        column.metric(
            plain_label(f"Alpha, {dimension}"),
            words,
            help=None
            if row is None
            else f"The same answer on {row['observed']:.0%} of {int(row['n'])} outputs that two people or "
            "more answered.",
            border=True,
        )
    columns[3].metric("Labels", int(work["labels"].sum()), help=f"By {len(work)} people.", border=True)
    columns[4].metric("Disputes", len(conflicts), border=True)
    tabs = st.tabs(
        [
            "Queues",
            "Agreement",
            "Disputes",
            "Corrected rates",
            "Learnt detector",
            "Guidelines",
            "Import and export",
        ]
    )
    with screen.part(tabs[0]):
        queues.form(view, owner)
        queues.listing(owner, person)
    with screen.part(tabs[1]):
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
            st.dataframe(visible_frame(again), hide_index=True, width="stretch")
        if len(work):
            st.markdown("**Annotators**")
            st.dataframe(visible_frame(work.drop(columns="last")), hide_index=True, width="stretch")
    with screen.part(tabs[2]):
        adjudicate.show(view, conflicts, owner)
    with screen.part(tabs[3]):
        corrected.show(view)
    with screen.part(tabs[4]):
        detector.show(view, owner)
    with screen.part(tabs[5]):
        guidelines.show(owner)
    with screen.part(tabs[6]):
        label_files.show(view, owner)
