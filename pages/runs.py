"""Runs"""

import streamlit as st

from capsafe_core.analysis.coverage import coverage_table, coverage_words
from capsafe_core.analysis.view import open_view
from capsafe_core.errors import CapsafeError
from capsafe_core.figures.squares import coverage_squares
from capsafe_core.jobs.engine_environment import read_state
from capsafe_core.quoting import split_names
from capsafe_core.ui import controls, foreign, job_list, learnt, missing, planning, run_form, screen
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.workspace.owner import current_owner

st.title("Runs", anchor=False)
owner = current_owner()
engine = read_state()
st.text(visible(f"Engine: {engine.words}"))
foreign.show(owner.store, owner.settings)
job_list.show()
run_form.show(owner.settings, engine.ready)
st.subheader("What is complete, and what is missing?", anchor=False)
try:
    view = open_view(owner.store, screen.selection())
    controls.study_choice(view)
    benchmark = missing.benchmark(view)
    table = coverage_table(view, benchmark)
    st.markdown(f"**{plain_label(coverage_words(view.study.name, benchmark, table))}**")
    planning.show(view)
    missing.buttons(view, owner.settings)
    learnt.show(view, owner.settings)
    clicked = (
        screen.chart(
            coverage_squares(table), "coverage", "How many outputs of each checkpoint each judge has seen"
        )
        if len(table)
        else None
    )
    st.caption(
        "Full square: the judge has seen every output. Number: how many it has seen. –: nothing to judge "
        "yet. Click a square to read the outputs."
    )
    screen.table_below(
        table,
        "coverage",
        how="One row for each checkpoint and judge: outputs, and how many of them the judge has seen.",
    )
    if clicked:
        checkpoint, where = split_names(clicked)
        screen.open_outputs(checkpoints=(checkpoint,), benchmarks=(where,), recipes=())
except CapsafeError as error:
    screen.show_error(error)
