"""The imports of the workspace: what each brought, and undoing it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from capsafe_core.jobs.folder.work import ImportWork
from capsafe_core.jobs.importing import imports
from capsafe_core.store.batches import imported_words, retracted_jobs, set_retracted
from capsafe_core.ui import job_list, screen
from capsafe_core.ui.acting import noted
from capsafe_core.ui.safe_text import show_raw, visible
from capsafe_core.workspace.owner import Owner


@st.fragment(run_every=3.0)
def show(owner: Owner) -> None:
    """Every import, newest first."""
    jobs = imports(owner.settings.jobs_path)[::-1]
    if not jobs:
        st.info("Nothing has been imported into this workspace yet.")
        return
    undone = set(retracted_jobs(owner.store))
    for job in jobs:
        work = job.manifest.asks(ImportWork)
        status = job.status()
        counts = sum(s.outputs for s in work.sources)
        when = pd.Timestamp(job.manifest.created, unit="s").strftime("%Y-%m-%d %H:%M")
        with st.container(border=True):
            st.text(
                visible(
                    f"{work.study}: {counts:,} outputs of {len(work.sources)} files, {when} UTC"
                    + ("; undone, nothing of it counts" if job.job_id in undone else "")
                )
            )
            if job.ended:
                st.text(visible("It " + imported_words(owner.store, job.job_id)))
            if job.state != "done":
                st.text(visible(f"{job.state}: {status.message}".strip(": ")))
            with st.container(horizontal=True):
                if job.job_id in undone:
                    if st.button("Restore", icon=":material/redo:", key=f"back-{job.job_id}"):
                        _set(owner, job.job_id, False)
                elif job.ended and st.button(
                    "Undo this import",
                    icon=":material/undo:",
                    key=f"undo-{job.job_id}",
                    help="Nothing is deleted: you can restore it.",
                ):
                    _set(owner, job.job_id, True)
                if job.state in ("partial", "failed", "lost", "stopped") and st.button(
                    "Retry what failed", icon=":material/replay:", key=f"again-{job.job_id}"
                ):
                    job_list.restart(job, "It is tried again when its turn comes.")
                st.download_button(
                    "The mapping",
                    work.mapping.encode(),
                    f"{work.study}-mapping.toml",
                    key=f"map-{job.job_id}",
                    icon=":material/download:",
                )
                st.page_link(
                    str(screen.PAGES / "outputs.py"),
                    label="Its outputs",
                    icon=":material/chat:",
                    query_params={"study": work.study},
                )
            failed = [line["message"] for line in job.failures(0)] if job.state == "partial" else []
            if failed:
                show_raw("\n".join(failed[-10:]))


def _set(owner: Owner, job_id: str, undo: bool) -> None:
    done = False
    with screen.told(), noted("retract", job=job_id, undo=undo):
        set_retracted(owner.store, job_id, undo)
        owner.look()
        done = True
    if done:
        st.rerun(scope="fragment")
