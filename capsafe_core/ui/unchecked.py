"""What a page says where not every output has been checked for coherence, and why."""

from __future__ import annotations

import streamlit as st

from capsafe_core.analysis.view import View
from capsafe_core.jobs.folder import Job, list_jobs
from capsafe_core.jobs.folder.work import JudgeWork
from capsafe_core.jobs.foreign import is_foreign
from capsafe_core.ui.safe_text import plain_label
from capsafe_core.workspace.owner import current_owner


def note(view: View) -> None:
    """How far the judge of coherence has come on the benchmark, where that is not all the way."""
    checked, outputs = view.checked
    if checked < outputs:
        st.warning(plain_label(words(view, list_jobs(current_owner().settings.jobs_path))))


def words(view: View, jobs: list[Job]) -> str:
    """How far it has come, what became of its jobs, and how outputs count that were not checked."""
    s = view.specification
    checked, outputs = view.checked
    far = (
        f"{s.coherence} has checked {checked:,} of {outputs:,} outputs on {s.benchmark} for coherence"
        if checked
        else f"No output on {s.benchmark} has been checked for coherence by {s.coherence}"
    )
    return f"{far}{_why(view, jobs)}. Outputs that were not checked count as judged, whatever the policy."


def _why(view: View, jobs: list[Job]) -> str:
    """Which of its jobs did not do all of its work."""
    mine = [
        job
        for job in jobs
        if job.manifest.study == view.study.name
        and job.manifest.kind == "judge"
        and not is_foreign(job.folder)
        and job.manifest.asks(JudgeWork).judge == view.specification.coherence
    ]
    unfinished = [job for job in mine if job.state != "done"]
    if not mine:
        return "; no job has been started for it"
    return "".join(f"; job {job.job_id} {_ended(job)}" for job in unfinished)


def _ended(job: Job) -> str:
    said = next((status.message for status in job.begun if status.message), "")
    words = {
        "failed": "failed",
        "lost": "was lost",
        "stopped": "was stopped",
        "partial": "could not judge all of them",
        "running": "is running",
        "waiting": "is waiting",
    }
    return words[job.state] + (f" ({said.rstrip('.')})" if said and job.state != "running" else "")
