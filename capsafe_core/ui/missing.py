"""What of a study is missing, and the buttons that make it: the jobs not done, and a further judge."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from capsafe_core import catalogue
from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.figures.squares import coverage_squares
from capsafe_core.jobs.folder import Manifest
from capsafe_core.jobs.foreign import foreign_studies
from capsafe_core.jobs.new_run import add_judge, missing_jobs, queue_jobs
from capsafe_core.jobs.record_job import recorded_study
from capsafe_core.jobs.watching import waits_for, watch, watched_studies
from capsafe_core.quoting import split_names
from capsafe_core.settings import Settings
from capsafe_core.store.studies import rater_names
from capsafe_core.study import JudgeSettings
from capsafe_core.ui import screen
from capsafe_core.ui.acting import noted
from capsafe_core.ui.drawn import drawn
from capsafe_core.ui.safe_text import plain_label, visible


def benchmark_of(view: View) -> str:
    """The benchmark whose grid is chosen, or the first."""
    names = [b.name for b in view.study.benchmarks]
    chosen = st.session_state.get("coverage-benchmark")
    return chosen if chosen in names else names[0]


def grid(view: View, table: pd.DataFrame) -> tuple[str, ...] | None:
    """Which judge has seen how many outputs of which checkpoint; checkpoint and benchmark of a click."""
    names = [b.name for b in view.study.benchmarks]
    st.segmented_control(
        "Benchmark",
        names,
        default=names[0],
        required=True,
        format_func=plain_label,
        key="coverage-benchmark",
    )
    alt = "How many outputs of each checkpoint each judge has seen"
    clicked = screen.chart(drawn(coverage_squares, table), "coverage", alt) if len(table) else None
    st.caption(
        "Full square: the judge has seen every output. Number: how many it has seen. –: nothing to judge "
        "yet. Click a square to read the outputs."
    )
    screen.table_below(
        table,
        "coverage",
        how="One row for each checkpoint and judge: outputs, and how many of them the judge has seen.",
    )
    return split_names(clicked) if clicked else None


def buttons(view: View, settings: Settings) -> None:
    """Run what is missing, and watch for checkpoints; imported studies have nothing that could be run."""
    try:
        missing = missing_jobs(settings.jobs_path, view.study)
    except CapsafeError as error:
        screen.show_error(error)
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _watch_switch(view, settings)
        if missing and st.button(
            f"Run what is missing ({len(missing)} jobs)", icon=":material/playlist_play:"
        ):
            with screen.told(), noted("run what is missing", study=view.study.name, jobs=len(missing)):
                _queue(settings, missing)


def judge(view: View, settings: Settings) -> None:
    """One more judge for the outputs that are there."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        seen = set(rater_names(view.store))
        known = {j.name for j in view.study.judges if j.recorded or j.name in seen}
        chosen = st.selectbox(
            "Judge",
            [n for n in catalogue.offered_judges() if n not in known],
            None,
            format_func=lambda n: visible(catalogue.judges()[n]["title"]),
            placeholder="choose one",
            key="further-judge",
            width=340,
        )
        model = (
            st.text_input("Its model", placeholder="its own weights", width=260)
            if chosen and catalogue.judges()[chosen]["type"] in ("language_model", "classifier")
            else ""
        )
        if chosen and st.button("Judge", icon=":material/gavel:", type="primary"):
            with screen.told(), noted("add judge", study=view.study.name, judge=chosen):
                study, text = recorded_study(settings.jobs_path, view.study.name)
                settled = JudgeSettings(name=chosen, model=model or None)
                _queue(settings, [add_judge(settings.jobs_path, study, text, settled).manifest])
    if chosen:
        entry = catalogue.judges()[chosen]
        st.text(
            visible(
                f"{entry['title']}: {', '.join(entry['dimensions'])}. Incoherent text: {entry['stance']}. "
                f"Licence: {entry['licence']}."
                + (" Its weights are gated: accept their terms first." if entry.get("gated") else "")
            )
        )


def _watch_switch(view: View, settings: Settings) -> None:
    """Whether checkpoints that appear while somebody trains are answered without anybody asking."""
    recipes = [recipe for recipe in view.study.recipes if recipe.folders]
    if not recipes or view.study.name in foreign_studies(settings.jobs_path):
        return  # nobody looks into folders of somebody else's choice
    is_watched = view.study.name in watched_studies(settings)
    on = st.toggle(
        "Watch for new checkpoints",
        is_watched,
        key=f"watch-{view.study.name}",
        help="What appears in the study's folders is answered and judged as soon as it is whole.",
    )
    if on != is_watched:
        with screen.told(), noted("watch", study=view.study.name, state="on" if on else "off"):
            watch(settings, view.study.name, on)
    waiting = [sentence for recipe in recipes for sentence in waits_for(recipe)]
    if waiting:
        st.text(visible("Not usable yet: " + "; ".join(waiting[:5]) + (" …" if len(waiting) > 5 else "")))


def _queue(settings: Settings, jobs: list[Manifest]) -> None:
    queue_jobs(settings, jobs)
    st.toast(f"{len(jobs)} queued. They run one after the other." if len(jobs) > 1 else "Queued.")
