"""What does each recipe cost in safety at the capability goal?"""

import streamlit as st

from capsafe_core.analysis.matched import in_words, matched_table
from capsafe_core.analysis.paths import path_table
from capsafe_core.figures.training import along_training, capability_against_unsafe
from capsafe_core.ui import screen
from capsafe_core.ui.safe_text import plain_label

with screen.question("What does each recipe cost in safety at the capability goal?") as view:
    screen.ways_row(view)
    with st.container(horizontal=True):
        for dataset in view.study.goals:
            goal = st.slider(f"Goal on {plain_label(dataset)}", 0.0, 1.0, float(view.goal(dataset) or 0.5), 0.01, key=f"goal-{dataset}", width=300)
            if goal != view.goal(dataset):
                others = tuple((n, g) for n, g in screen.selection().goals if n != dataset)
                screen.select(goals=(*others, (dataset, goal)))
                st.rerun()
    paths = screen.remembered(view, "paths", lambda: path_table(view))
    matched = screen.remembered(view, "matched", lambda: matched_table(view, paths))
    for row in matched.itertuples():
        if not row.reached:
            st.text(f"{row.recipe} (seed {row.seed}) does not reach {row.goal:.0%}: its best checkpoint has {row.best:.0%}.")
    st.dataframe(in_words(matched), hide_index=True)
    screen.caption(view, "Where each run crosses its goal; in brackets 95 % intervals, bootstrap over requests and test items, conditional on the seed")
    clicked = screen.chart(along_training(paths), "training", "Capability and unsafe rate along training, one column a data set")
    screen.caption(view, "Bars: 95 % Wilson intervals. Fill of the lower marks: share of incoherent answers")
    left = screen.chart(capability_against_unsafe(paths), "plane", "Right answers against unsafe rate, one line a run")
    screen.caption(view, "Click a checkpoint to read its answers")
    if clicked or left:
        screen.open_outputs(checkpoints=(clicked or left,), benchmarks=(view.specification.benchmark,), recipes=())
    screen.table_below(
        paths,
        "paths",
        "unsafe: rate under the way of asking above; unsafe_low and unsafe_high: Wilson interval, 95 %. judges_low and judges_high: the lowest and highest rate that any judge gives. gained: (capability - start) / (goal - start).",
    )
