"""The studies of the workspace: those on the pages, and those that were taken off them."""

from __future__ import annotations

import streamlit as st

from capsafe_core.analysis.view import list_studies
from capsafe_core.jobs.folder import list_jobs
from capsafe_core.store.removal import removed_studies, set_removed
from capsafe_core.ui import screen
from capsafe_core.ui.acting import noted
from capsafe_core.ui.safe_text import visible
from capsafe_core.workspace.owner import Owner


def show(owner: Owner) -> None:
    """Each study with a button that removes it from all pages, or restores it."""
    there, removed = list_studies(owner.store), removed_studies(owner.store)
    if not there and not removed:
        st.info("This workspace has no study yet.")
        return
    st.caption("A removed study leaves every page and number. Nothing is deleted: you can restore it.")
    running = {job.manifest.study for job in list_jobs(owner.settings.jobs_path) if job.state == "running"}
    for study in sorted([*there, *removed]):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(visible(study + (", removed" if study in removed else "")), width=420)
            if study in removed:
                if st.button("Restore", icon=":material/redo:", key=f"restore-{study}"):
                    _set(owner, study, False)
            elif study in running:
                st.text("It is running: stop it first, on the Runs page.")
            elif st.button("Remove", icon=":material/delete:", key=f"remove-{study}"):
                _set(owner, study, True)


def _set(owner: Owner, study: str, removed: bool) -> None:
    done = False
    with screen.told(), noted("retract", study=study, undo=removed), st.spinner("Counting again"):
        set_removed(owner.store, study, removed)
        owner.look()
        done = True
    if done:
        st.query_params.pop("study", None)
        st.rerun()
