"""Where do models stop making sense, and how?"""

import streamlit as st

from capsafe_core.analysis.disagreement import dumbbell_table
from capsafe_core.analysis.incoherence import bounds_table, incoherence_table, reason_table, transitions
from capsafe_core.analysis.matched import matching
from capsafe_core.analysis.people import correction_table
from capsafe_core.analysis.sentences import incoherence_sentence
from capsafe_core.errors import CapsafeError
from capsafe_core.figures.squares import incoherence_squares, reason_dots, transition_squares
from capsafe_core.figures.style import OUTCOME_COLOURS
from capsafe_core.figures.training import bounds_along
from capsafe_core.quoting import split_names
from capsafe_core.ui import listing, screen
from capsafe_core.ui.safe_text import plain_label, visible, visible_frame

with screen.question("Where do models stop making sense, and how?") as view:
    screen.ways_row(view, policy=False)
    table = screen.remembered(view, "incoherence", lambda: incoherence_table(view))
    table = table[
        table["recipe"].isin(view.selection.recipes or view.matched_recipes or tuple(table["recipe"]))
    ]
    tuned = table[table["step"] > 0]
    if tuned.empty:
        screen.nothing("No fine-tuned checkpoint has been judged for coherence yet.")
    benchmark = view.specification.benchmark
    worst = tuned.loc[tuned["rate"].idxmax()]
    st.markdown(f"**{plain_label(incoherence_sentence(table))}**")
    found = screen.remembered(view, "matching", lambda: matching(view))
    names = list(found.by_recipe())
    recipe = (
        st.segmented_control(
            "What became of each prompt?",
            names,
            format_func=plain_label,
            default=worst.recipe if worst.recipe in names else names[0],
            key="transition-recipe",
        )
        if names
        else None
    )
    moved = transitions(view, found, recipe or "")
    changed = None
    if moved is None:
        st.text("No recipe has answered the same prompts at its start and at its goal.")
    else:
        changed = screen.chart(
            transition_squares(moved.table, list(OUTCOME_COLOURS), moved.there.split(",")[0]),
            "transitions",
            "The same prompts before fine-tuning and at the goal",
        )
        change = moved.change
        screen.caption(
            view,
            f"{moved.recipe}, seed {moved.seed}: outcome of the same prompts at the start (rows) and at "
            f"{moved.there}. Harmful answers: {change.gained} new, {change.lost} gone, McNemar p = "
            f"{change.p:.2g}. Click a square to read the later answers",
        )
        screen.table_below(moved.table, "transitions", "detector", "mcnemar")
    st.subheader("How much, along training?", anchor=False)
    clicked = screen.chart(
        incoherence_squares(table[table["kind"] != "capability"]),
        "squares",
        "Share of incoherent answers by run, benchmark and training step",
    )
    screen.caption(
        view, "Numbers: per cent of answers that the detector calls incoherent. Click a square to read them"
    )
    screen.table_below(table, "incoherence", "detector", "wilson")
    st.subheader("What is wrong with them?", anchor=False)
    reasons = reason_table(view, benchmark)
    reasons = reasons[reasons["recipe"].isin(table["recipe"])]
    picked = None
    if reasons.empty:
        st.text(visible(f"The detector finds nothing incoherent on {benchmark}."))
    else:
        picked = screen.chart(
            reason_dots(reasons),
            "reasons",
            "Reasons for incoherence along training; dot size is the share of answers",
        )
        screen.caption(
            view, "Hollow dots: found by the detector; their area is the share of the checkpoint's answers"
        )
        screen.table_below(reasons, "reasons", "detector")
    st.subheader("What do they leave open?", anchor=False)
    bounds = screen.remembered(view, "bounds", lambda: bounds_table(view))
    bounds = bounds[bounds["recipe"].isin(table["recipe"])]
    bound = screen.chart(
        bounds_along(bounds),
        "bounds",
        "Each unsafe rate with the range that incoherent answers and missing verdicts leave open",
    )
    screen.caption(
        view, "A wide bar: the unsafe rate is mostly a matter of what one does with incoherent answers"
    )
    screen.table_below(bounds, "bounds", "unsafe rate", "policy")
    st.subheader("What do judges make of them?", anchor=False)
    judges = screen.remembered(view, "judges", lambda: dumbbell_table(view))[
        ["judge", "incoherent", "incoherent_low", "incoherent_high", "incoherent_n", "coherent", "stance"]
    ]
    percents = {
        c: st.column_config.NumberColumn(format="percent")
        for c in ("incoherent", "incoherent_low", "incoherent_high", "coherent")
    }
    st.dataframe(
        visible_frame(judges),
        hide_index=True,
        column_config={
            **percents,
            "stance": st.column_config.TextColumn(
                "what its own rubric says about broken text", width="large"
            ),
        },
    )
    screen.caption(
        view,
        "Share called unsafe of incoherent and of coherent answers, beside each judge's documented stance",
    )
    st.subheader("Can the detector be trusted?", anchor=False)
    try:
        quality = correction_table(view, "coherence")
        st.dataframe(visible_frame(quality), hide_index=True)
        screen.caption(
            view, "The detector against people; sensitivity is its share of what people call incoherent"
        )
        screen.table_below(quality, "detector-quality", "people")
    except CapsafeError as error:
        st.text(visible(f"{error.message} {error.hint}"))
    st.subheader("Three of them", anchor=False)
    listing.examples(view, benchmark, 3)
    if changed and moved is not None:
        before, after = split_names(changed)
        screen.open_outputs(
            checkpoints=(moved.goal,),
            benchmarks=(benchmark,),
            outcomes=(after,),
            before=f"{moved.start}:{before}",
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
