"""The first queue of a workspace: a few outputs to label, drawn with one click."""

from __future__ import annotations

import streamlit as st

from capsafe_core.analysis.view import open_view
from capsafe_core.annotation import QueueSettings
from capsafe_core.labelling.queues import make_queue
from capsafe_core.selection import Selection
from capsafe_core.ui import screen
from capsafe_core.ui.acting import noted
from capsafe_core.workspace.owner import Owner

SETTINGS = QueueSettings("first labels", strategy="random", size=20, repeats=0.0, daily=20)


def button(owner: Owner) -> None:
    """Offer to draw a first queue from the study of the address; where nothing is there yet, how to begin."""
    with screen.told():
        view = open_view(owner.store, Selection(study=screen.selection().study))
        st.info(
            f"No queue is open. Draw {SETTINGS.size} outputs at random and label them yourself, or make a "
            "queue of your own on the Labels page."
        )
        if st.button(f"Draw {SETTINGS.size} outputs to label", icon=":material/edit_note:", type="primary"):
            with noted("make queue", name=SETTINGS.name, study=view.study.name) as person:
                made = make_queue(owner.desk, view, person, SETTINGS)
            st.query_params["queue"] = made.queue
            st.rerun()
