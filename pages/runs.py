"""Runs"""

from functools import partial

import streamlit as st

from capsafe_core.analysis.coverage import coverage_table, coverage_words
from capsafe_core.analysis.view import list_studies, open_view
from capsafe_core.jobs.engine_environment import read_state
from capsafe_core.ui import controls, foreign, job_list, learnt, missing, planning, screen, study_form
from capsafe_core.ui.safe_text import plain_label
from capsafe_core.ui.sections import section
from capsafe_core.workspace.owner import current_owner

st.title("Runs", anchor=False)
owner = current_owner()
engine = read_state()
job_list.show(f"Engine: {engine.words}")
foreign.show(owner.store, owner.settings)
studies = list_studies(owner.store)
start = partial(study_form.show, owner.settings, engine)
clicked = None
view = None
with screen.told():
    if studies:
        view = open_view(owner.store, screen.selection())
        controls.study_choice(view)
        benchmark = missing.benchmark_of(view)
        table = coverage_table(view, benchmark)
        st.markdown(f"**{plain_label(coverage_words(view.study.name, benchmark, table))}**")
        missing.buttons(view, owner.settings)
section("Start a study", "start", start, first=not studies)
if view is not None:
    clicked = section(
        "What is complete, and what is missing?", "coverage", partial(missing.grid, view, table)
    )
    section("Add a judge to these outputs", "judge", partial(missing.judge, view, owner.settings))
    section("What difference could a study of this design detect?", "design", partial(planning.show, view))
    if learnt.is_trained_here(view, owner.settings):
        section("What fine-tuning learns", "learnt", partial(learnt.show, view, owner.settings))
if clicked:
    screen.open_outputs(checkpoints=clicked[:1], benchmarks=clicked[1:], recipes=())
