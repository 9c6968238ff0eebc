"""The jobs of the workspace, refreshed while one is looking."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from capsafe_core.jobs.folder import Job, list_jobs
from capsafe_core.jobs.supervisor import Queue, is_queued
from capsafe_core.ui.owner import current_owner
from capsafe_core.ui.safe_text import show_raw, visible


@st.fragment(run_every=3.0)
def show() -> None:
    """Every job: state, progress, pace, time left; stop, resume, log."""
    owner = current_owner()
    for problem in owner.problems:
        st.warning(visible(str(problem)))
    jobs = list_jobs(owner.settings.jobs_path)
    counts = pd.Series([job.state for job in jobs]).value_counts()
    st.text(", ".join(f"{n} {state}" for state, n in counts.items()) or "No job has been started in this workspace.")
    if not jobs:
        return
    rows = [_row(job) for job in reversed(jobs)]
    event = st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        height=260,
        on_select="rerun",
        selection_mode="single-row",
        key="jobs",
        column_config={"progress": st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent")},
    )
    if event.selection.rows and event.selection.rows[0] < len(jobs):
        _detail(jobs[::-1][event.selection.rows[0]])


def _row(job: Job) -> dict[str, object]:
    parts = [job.status(part) for part in range(job.manifest.parts)]
    done, total = sum(p.done for p in parts), sum(p.total for p in parts)
    pace, left = parts[0].tokens_per_second, parts[0].seconds_left
    return {
        "state": "queued" if is_queued(job) else job.state,
        "job": job.job_id,
        "kind": job.manifest.kind,
        "progress": done / total if total else float(job.state == "done"),
        "tokens/s": f"{pace:.0f}" if pace else "",
        "minutes left": f"{left / 60:.1f}" if left is not None else "",
        "errors": sum(p.errors for p in parts),
        "message": visible(f"{parts[0].message} {parts[0].hint}".strip()),
    }


def _detail(job: Job) -> None:
    state = job.state
    with st.container(horizontal=True):
        if state == "running" and st.button("Stop", icon=":material/stop:"):
            job.ask_to_stop()
            st.toast("It stops after the batch it is at; what is done is kept.")
        if state in ("stopped", "failed", "lost", "waiting") and st.button("Resume", icon=":material/play_arrow:"):
            Queue.restart(job)
            st.toast("It goes on when its turn comes.")
    log = job.path(0, "log")
    show_raw(log.read_text(errors="replace")[-3000:] if log.exists() else "No log yet.")
