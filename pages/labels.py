"""Do annotators agree, and how well do judges match their labels?"""

import streamlit as st

from capsafe_core.analysis.annotators import ALL, annotators_table, conflicts_table
from capsafe_core.store.labels import labellers, people_work
from capsafe_core.ui import (
    adjudicate,
    corrected,
    detector,
    guidelines,
    label_files,
    people_agreement,
    queues,
    screen,
)
from capsafe_core.ui.acting import actor
from capsafe_core.ui.safe_text import plain_label
from capsafe_core.ui.sections import tabs
from capsafe_core.workspace.owner import current_owner

with screen.question("Do annotators agree, and how well do judges match their labels?") as view:
    owner, person = current_owner(), actor()
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
    columns[3].metric(
        "Labels",
        f"{int(work['labels'].sum()):,}",
        help="Answers to one question about one output that stand: what was taken back or replaced is not "
        f"counted, nor are second looks. Annotators: {len(labellers(owner.store))}.",
        border=True,
    )
    columns[4].metric("Disputes", len(conflicts), border=True)
    tabs(
        {
            "queues": ("Queues", lambda: queues.show(view, owner, person)),
            "agreement": ("Agreement", lambda: people_agreement.show(view, found, work)),
            "disputes": ("Disputes", lambda: adjudicate.show(view, conflicts, owner)),
            "corrected": ("Corrected rates", lambda: corrected.show(view)),
            "detector": ("Learnt detector", lambda: detector.show(view, owner)),
            "guidelines": ("Guidelines", lambda: guidelines.show(owner)),
            "files": ("Import and export", lambda: label_files.show(view, owner)),
        }
    )
