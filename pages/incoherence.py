"""Where do responses become incoherent, and how?"""

import streamlit as st

from capsafe_core.analysis.incoherence import incoherence_table
from capsafe_core.analysis.sentences import incoherence_sentence
from capsafe_core.figures.squares import incoherence_squares
from capsafe_core.quoting import split_names
from capsafe_core.ui import controls, listing, screen, unchecked
from capsafe_core.ui import incoherence_parts as parts
from capsafe_core.ui.drawn import drawn
from capsafe_core.ui.safe_text import plain_label
from capsafe_core.ui.sections import section

with screen.question("Where do responses become incoherent, and how?") as view:
    unchecked.note(view)
    controls.ways_row(view, policy=False)
    table = screen.remembered(view, "incoherence", lambda: incoherence_table(view))
    table = table[table["recipe"].isin(view.compared_recipes or tuple(table["recipe"]))]
    if table.empty:
        st.info(plain_label(f"{incoherence_sentence(table)} {parts.how_to_check(view)}"))
        section("How do judges rate them?", "stances", lambda: parts.stances(view))
        st.stop()
    tuned = table[table["step"] > 0]
    benchmark = view.specification.benchmark
    worst = table.loc[(tuned if len(tuned) else table)["rate"].idxmax()]
    st.markdown(f"**{plain_label(incoherence_sentence(table))}**")
    found = screen.matched(view)
    moved, changed = parts.transitions_of(view, found, str(worst.recipe))
    st.subheader("How much, along training?" if len(tuned) else "How much?", anchor=False)
    clicked = screen.chart(
        drawn(incoherence_squares, table[table["kind"] != "capability"]),
        "squares",
        "Share of incoherent responses by run, benchmark and training step",
    )
    screen.caption(
        view,
        "Numbers: percentage of responses that the detector calls incoherent. Click a square to read them",
    )
    screen.table_below(table, "incoherence", "detector", "wilson")
    picked = section(
        "How are they incoherent?", "reasons", lambda: parts.reasons_of(view, benchmark, table["recipe"])
    )
    bound = section(
        "How much could incoherent responses change the rate?",
        "bounds",
        lambda: parts.bounds_of(view, table["recipe"]),
    )
    section("How do judges rate them?", "stances", lambda: parts.stances(view))
    section("How accurate is the detector?", "detector", lambda: parts.detector(view))
    st.subheader("Examples", anchor=False)
    listing.examples(view, benchmark, 3)
    if changed and moved is not None:
        before, after = split_names(changed)
        screen.open_outputs(
            checkpoints=moved.pair.goals,
            benchmarks=(benchmark,),
            outcomes=(after,),
            before=f"{moved.pair.start}:{before}",
            recipes=(),
        )
    if clicked:
        checkpoint, where = split_names(clicked)
        screen.open_outputs(
            checkpoints=(checkpoint,), benchmarks=(where,), outcomes=("incoherent",), recipes=()
        )
    if picked:
        screen.open_outputs(
            checkpoints=(split_names(picked)[0],),
            benchmarks=(benchmark,),
            outcomes=("incoherent",),
            recipes=(),
        )
    if bound:
        screen.open_outputs(checkpoints=(bound,), benchmarks=(benchmark,), recipes=())
