"""Bringing logs in: they are looked at, what was recognised is shown and mended, then they are imported."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, open_job
from capsafe_core.jobs.folder.work import SurveyWork
from capsafe_core.jobs.importing import after_import, plan_import, read_survey, slug, survey_job
from capsafe_core.jobs.looking import LOG_COLUMNS, Survey
from capsafe_core.jobs.new_run import queue_jobs
from capsafe_core.jobs.supervisor import Queue, start_worker
from capsafe_core.mapping import ImportMapping, parse_mapping
from capsafe_core.store.contents import outputs_by_content
from capsafe_core.ui import screen
from capsafe_core.ui.acting import actor, noted
from capsafe_core.ui.import_mapping import edited_mapping
from capsafe_core.ui.import_readings import edited_readings
from capsafe_core.ui.safe_text import plain_label, show_raw, visible
from capsafe_core.ui.tables import show_table
from capsafe_core.workspace.owner import Owner
from capsafe_core.writing import whole

TOOLS = (
    "Inspect, lm-eval, HELM, HarmBench, JailbreakBench, XSTest, StrongREJECT, AISafetyLab, Every Eval "
    "Ever, OpenAI evals and batches, promptfoo, Langfuse, MLflow, DeepEval, or any CSV, JSON, JSONL or "
    "Parquet table, also packed with gzip"
)


def show(owner: Owner) -> None:
    """The form, and what the last look found."""
    _ask(owner)
    job = _job(owner)
    if job is None:
        return
    survey = read_survey(job)
    if survey is None:
        _progress(job)
        return
    try:
        _found(owner, survey, job)
    except CapsafeError as error:
        screen.show_error(error)


def _job(owner: Owner) -> Job | None:
    """The survey of this session; its name stands in the address, so a reload finds it again."""
    name = st.query_params.get("survey", "")
    folder = owner.settings.jobs_path / name
    if not re.fullmatch(r"survey-[a-z0-9-]+", name) or not (folder / "manifest.json").exists():
        return None
    return open_job(folder)


def _ask(owner: Owner) -> None:
    with st.container(border=True):
        st.markdown("**Choose logs**")
        st.caption(TOOLS)
        files = st.file_uploader("Drop files here", accept_multiple_files=True)
        path = st.text_input(
            "Or a file or folder on the machine that runs capsafe", placeholder="/path/to/logs"
        )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.text_input("Study to create or add to", placeholder="named after the folder", width=320)
            stated = st.file_uploader("Saved mapping", type="toml", key="mapping-file", width=320)
            look = st.button("Preview", type="primary", icon=":material/search:")
    if look:
        try:
            actor().must_be("researcher")
            root = (
                _uploaded(owner, files)
                if files
                else Path(path.strip()).expanduser()
                if path.strip()
                else None
            )
            if root is None:
                raise CapsafeError("There is nothing to preview.", "Drop files, or name a folder.")
            if not root.exists():
                raise CapsafeError(
                    f"{root} is not there.", "Check the path; it is one of the machine that runs capsafe."
                )
            _start(owner, root, stated.getvalue().decode("utf-8", "replace") if stated else "", name)
        except CapsafeError as error:
            screen.show_error(error)


def _uploaded(owner: Owner, files: list[Any]) -> Path:
    """The folder in which uploaded files are kept; the same files are kept once."""
    digest = hashlib.blake2b(
        b"".join(hashlib.blake2b(f.getvalue()).digest() + f.name.encode() for f in files), digest_size=8
    ).hexdigest()
    folder = owner.settings.home / "uploads" / digest
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole(folder) as new:
        new.mkdir()
        for file in files:
            (new / (re.sub(r"[^\w.,=+-]", "_", Path(file.name).name).lstrip(".") or "file")).write_bytes(
                file.getvalue()
            )
    return folder


def _start(owner: Owner, root: Path, mapping: str, name: str) -> None:
    if mapping:
        parse_mapping(mapping, "The mapping")
    before = _job(owner)
    with noted("preview import", name=root.name, study=name):
        job = survey_job(
            owner.settings.jobs_path,
            [root],
            mapping,
            name or (slug(root.stem) if root.parent.name != "uploads" else "imported"),
        )
        start_worker(job, settings=owner.settings)
    if before is not None:
        shutil.rmtree(before.folder, ignore_errors=True)
    st.query_params["survey"] = job.job_id
    st.rerun()


@st.fragment(run_every=1.0)
def _progress(job: Job) -> None:
    status = job.status()
    if status.state in ("failed", "lost"):
        screen.show_error(CapsafeError(status.message, status.hint))
    elif (job.folder / "result.json").exists():
        st.rerun()
    else:
        st.progress(
            status.done / status.total if status.total else 0.0,
            plain_label(f"Reading {status.message}" if status.message else "Looking for logs …"),
        )


def _found(owner: Owner, survey: Survey, job: Job) -> None:
    """What was recognised, what it would become, and the import."""
    mapping = survey.mapping
    st.markdown("**What was recognised**")
    st.text(visible(survey.words))
    if survey.logs:
        shown = pd.DataFrame(survey.logs)[list(LOG_COLUMNS)]
        show_table(shown, width="stretch", height=min(300, 40 + 35 * len(shown)))
    if survey.unplaced:
        st.warning(plain_label(survey.unplaced))
    problems = [*survey.left_out, *(p for f in survey.files for p in f["problems"])]
    if problems:
        with st.expander(f"{len(problems)} notes and problems"):
            show_raw("\n".join(problems[:200]))
    changed = edited_mapping(survey)
    judges = edited_readings(survey)
    goals = _goals(survey)
    _preview(survey)
    final = changed.model_copy(update={"judges": judges, "goals": goals})
    again = (changed.name, changed.read_by) != (mapping.name, mapping.read_by)
    with st.container(horizontal=True, vertical_alignment="center"):
        if again and st.button("Preview with these changes", type="primary", icon=":material/search:"):
            _start(owner, Path(job.manifest.asks(SurveyWork).roots[0]), final.to_toml(), final.name)
        if not again and st.button("Import", type="primary", icon=":material/download_done:"):
            _import(owner, survey, final)
        st.download_button(
            "Save the mapping",
            final.to_toml().encode(),
            f"{final.name}-mapping.toml",
            icon=":material/download:",
        )


def _goals(survey: Survey) -> dict[str, float]:
    """The goal on each data set; without one there is no comparison at a goal."""
    data = sorted(
        {
            log["place"]["data"]
            for log in survey.logs
            if log["place"] and log["place"]["recipe"] and log["place"]["step"]
        }
    )
    goals = {}
    if data:
        st.markdown("**At which capability are recipes compared?**")
        with st.container(horizontal=True):
            for name in data:
                goal = st.number_input(
                    f"Goal on {plain_label(name)}",
                    0.0,
                    1.0,
                    survey.mapping.goals.get(name),
                    0.01,
                    width=200,
                    placeholder="none",
                    key=f"import-goal-{name}",
                    help="Accuracy at which recipes are compared. Empty: no goal yet.",
                )
                if goal is not None:
                    goals[name] = float(goal)
    return goals


def _preview(survey: Survey) -> None:
    """The first outputs of each log."""
    if st.toggle(
        "Show the first outputs",
        key="import-preview",
        help="Responses to harmful requests stay hidden until you ask for them.",
    ):
        for log in survey.logs[:30]:
            for one in log["preview"]:
                show_raw(
                    f"{log['checkpoint'] or log['first']}, {log['benchmark']}, "
                    f"{one['item']}\n\n{one['prompt']}\n\n→ {one['answer']}\n\n{one['said']}"
                )


def _import(owner: Owner, survey: Survey, mapping: ImportMapping) -> None:
    known = outputs_by_content(owner.store, survey.contents)
    with noted("import", study=mapping.name):
        job, study = plan_import(owner.settings.jobs_path, survey, mapping, known)
        if job.state != "done":
            Queue(owner.settings).add(job)
            queue_jobs(owner.settings, after_import(job, study))
    if job.state == "done":
        st.info(
            "These files were imported with this mapping before. Under “Imports” you can restore them "
            "where they were undone."
        )
        return
    st.success(plain_label(f"The import is queued: {survey.outputs:,} outputs for the study {study.name}."))
    st.page_link(
        str(screen.PAGES / "overview.py"),
        label="The study",
        icon=":material/insights:",
        query_params={"study": study.name},
    )
