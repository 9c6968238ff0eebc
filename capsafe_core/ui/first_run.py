"""The first screen of a workspace without a study: where to begin."""

from __future__ import annotations

import time

import streamlit as st

from capsafe_core.analysis.view import list_studies
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.packing import unpack_jobs
from capsafe_core.places import DATA, ROOT
from capsafe_core.store.removal import removed_studies, set_removed
from capsafe_core.ui import identity
from capsafe_core.ui.acting import noted
from capsafe_core.ui.address import OPEN
from capsafe_core.workspace.owner import PERIOD, Owner, current_owner

DEMO = "small-steps"
"""the study that ships"""
READING = 120.0
"""seconds in which the shipped study is read at most"""


def doors() -> None:
    """Three ways to begin, for researchers; others learn that there is nothing yet."""
    st.subheader("Nothing here yet", anchor=False)
    if identity.role() != "researcher":
        st.text("A researcher imports logs or starts a study; it then appears here.")
        return
    demo, logs, study = st.columns(3)
    with demo.container(border=True):
        st.markdown("**Look around**")
        st.text(
            "A small model fine-tuned on sums and syllogisms. It joins this workspace; you can remove it on "
            "the Data page."
        )
        if st.button("Open the demo study", icon=":material/play_arrow:", type="primary"):
            with noted("open demo"):
                _open_demo(current_owner())
            st.rerun()
    with logs.container(border=True):
        st.markdown("**You have logs**")
        st.text("Inspect, lm-eval, HELM, tables and other formats; you preview them before they come in.")
        st.page_link(str(ROOT / "pages" / "data.py"), label="Import logs", icon=":material/upload:")
    with study.container(border=True):
        st.markdown("**You have a model or checkpoints**")
        st.text("Choose what answers, which prompts and which judges; estimate the time first.")
        st.page_link(
            str(ROOT / "pages" / "runs.py"),
            label="Start a study",
            icon=":material/science:",
            query_params={OPEN: "start"},
        )


def _open_demo(owner: Owner) -> None:
    """Put the shipped study into this workspace, and show it when it is read.

    Raises:
        CapsafeError: it was not read in time.
    """
    with st.spinner("Reading the demo study"):
        unpack_jobs(DATA / "demo", owner.settings.jobs_path)
        for study in removed_studies(owner.store):
            if study == DEMO:
                set_removed(owner.store, study, False)
        ends, seen = time.monotonic() + READING, ""
        while not list_studies(owner.store) or str(owner.store.version) != seen:
            if time.monotonic() > ends:
                raise CapsafeError("The demo study is still being read.", "Reload this page in a minute.")
            seen = str(owner.store.version)
            time.sleep(PERIOD + 0.5)
