"""The jobs of the workspace, refreshed while one is looking."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pandas as pd
import streamlit as st

from capsafe_core.jobs.folder import Job, list_jobs
from capsafe_core.jobs.new_run import duration
from capsafe_core.jobs.supervisor import Queue, is_queued
from capsafe_core.records import Generation
from capsafe_core.ui import screen
from capsafe_core.ui.acting import noted
from capsafe_core.ui.safe_text import plain_label, show_raw, visible
from capsafe_core.ui.tables import show_table
from capsafe_core.workspace.owner import current_owner

SHOWN = 3
"""first outputs that are shown of a job"""


@st.fragment(run_every=3.0)
def show(engine: str) -> None:
    """Every job: state, progress, pace, time left; stop, resume, what failed, the log and the first
    outputs.

    Args:
        engine: how far the engine's environment is, which the first line says.
    """
    owner = current_owner()
    for problem in owner.problems:
        st.warning(plain_label(str(problem)))
    jobs = [
        job for job in list_jobs(owner.settings.jobs_path) if job.manifest.kind not in ("annotate", "survey")
    ]  # people do the ones, the Data page shows the others
    states = {job.job_id: shown_state(job) for job in jobs}
    counts = pd.Series(list(states.values()), dtype=object).value_counts()
    listed = ", ".join(f"{n} {state}" for state, n in counts.items())
    st.text(visible(f"Jobs: {listed}. {engine}" if listed else f"No job has been started here. {engine}"))
    if not jobs:
        return
    order = sorted(
        reversed(jobs), key=lambda job: states[job.job_id] in ("done", "waiting")
    )  # what needs a look comes first
    event = show_table(
        pd.DataFrame([_row(job, states[job.job_id]) for job in order]),
        height=min(260, 40 + 35 * len(jobs)),
        on_select="rerun",
        selection_mode="single-row",
        key="jobs",
        column_config={
            "progress": st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent"),
            "message": st.column_config.TextColumn(width="large"),
        },
    )
    chosen = event.selection.rows[0] if event.selection.rows else -1
    if 0 <= chosen < len(order):
        _detail(order[chosen], states[order[chosen].job_id])
    else:
        st.caption(
            "Choose a row to stop, resume or try a job again, and to see its log and its first outputs."
        )


def shown_state(job: Job) -> str:
    """A job's state as people are told it: what runs or is done is not "queued", though it may be asked to
    look again."""
    return "queued" if is_queued(job) and job.state not in ("running", "done") else job.state


def _row(job: Job, state: str) -> dict[str, object]:
    parts = job.begun
    done, total = sum(p.done for p in parts), sum(p.total for p in parts)
    paces = [p.tokens_per_second for p in parts if p.tokens_per_second]
    left = max((p.seconds_left for p in parts if p.seconds_left is not None), default=None)
    said = next((p for p in parts if p.message), parts[0])
    return {
        "state": state,
        "job": job.job_id,
        "progress": done / total if total else float(state == "done"),
        "tokens/s": f"{sum(paces):.0f}" if paces else "",
        "time left": duration(left) if left is not None else "",
        "failed": sum(p.errors for p in parts),
        "message": visible(f"{said.message} {said.hint}".strip()),
    }


def _detail(job: Job, state: str) -> None:
    st.text(visible(f"{job.job_id}: {state}"))
    with st.container(horizontal=True):
        if state == "running" and st.button("Stop", icon=":material/stop:"):
            with screen.told(), noted("stop job", job=job.job_id):
                job.ask_to_stop()
                st.toast("It stops after the current batch; finished work is kept.")
        if state in ("stopped", "failed", "lost", "waiting") and st.button(
            "Resume" if state != "waiting" else "Start", icon=":material/play_arrow:"
        ):
            restart(job, "It continues when its turn comes.")
        if state == "partial" and st.button("Retry what failed", icon=":material/replay:"):
            restart(job, "What failed is tried again, then judged.")
    _errors(job)
    _first_outputs(job)
    with st.expander("Log", expanded=state in ("failed", "lost")):
        logs = [job.path(part, "log") for part in job.parts_with("log")]
        show_raw("\n".join(map(_tail, logs)) or "No log yet.")


def restart(job: Job, done: str) -> None:
    """Ask for a job to go on, and say so; or say why it may not."""
    with screen.told(), noted("resume job", job=job.job_id):
        Queue(current_owner().settings).restart(job)
        st.toast(plain_label(done))


def _tail(log: Path) -> str:
    """The end of a log, which may be long."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 3000))
        return stream.read(3000).decode(errors="replace")


def _errors(job: Job) -> None:
    """The last records that failed, while some are missing."""
    lines = (
        [line for part in job.parts_with("errors.jsonl") for line in job.failures(part)]
        if job.state in ("partial", "running", "failed")
        else []
    )
    if lines:
        show_raw("\n".join(f"{line['unit']}: {line['message']}" for line in lines[-SHOWN:]))


def _first_outputs(job: Job) -> None:
    """The first outputs, as soon as they are there."""
    first = (
        list(islice((r for r in job.records() if isinstance(r, Generation)), SHOWN))
        if job.manifest.kind == "generate"
        else []
    )
    if first and st.toggle(
        "Show its first outputs",
        key=f"first-{job.job_id}",
        help="Responses to harmful requests stay hidden until you ask for them.",
    ):
        for generation in first:
            show_raw(generation.text or "(empty)")
        study = job.manifest.study
        st.page_link(
            str(screen.PAGES / "outputs.py"),
            label="All outputs",
            icon=":material/chat:",
            query_params={"study": study} if study else {},
        )
