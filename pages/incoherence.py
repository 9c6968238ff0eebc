"""Where do models stop making sense, and how?"""

import streamlit as st

from capsafe_core.analysis.incoherence import incoherence_table, reason_table
from capsafe_core.figures.squares import incoherence_squares, reason_dots
from capsafe_core.ui import listing, screen
from capsafe_core.ui.safe_text import plain_label

with screen.question("Where do models stop making sense, and how?") as view:
    screen.ways_row(view, judge=False, policy=False)
    table = screen.remembered(view, "incoherence", lambda: incoherence_table(view))
    table = table[table["recipe"].isin(view.selection.recipes or view.matched_recipes or tuple(table["recipe"]))]
    tuned = table[table["step"] > 0]
    if tuned.empty:
        st.info("No fine-tuned checkpoint has been judged for coherence yet. The Runs page shows what is missing.")
        st.stop()
    worst = tuned.loc[tuned["rate"].idxmax()]
    st.markdown(
        f"**{plain_label(f'{worst.recipe} at step {worst.step} makes no sense in {worst.events} of {worst.n} answers to {worst.benchmark}; before fine-tuning, {table[table.step == 0].rate.max():.0%} at most.')}**"
    )
    clicked = screen.chart(incoherence_squares(table[table["kind"] != "capability"]), "squares", "Share of incoherent answers by run, benchmark and training step")
    screen.caption(view, "Numbers: per cent of answers that the detector calls incoherent. Click a square to read them")
    reasons = reason_table(view, view.specification.benchmark)
    reasons = reasons[reasons["recipe"].isin(table["recipe"])]
    st.subheader("What is wrong with them?", anchor=False)
    picked = None
    if reasons.empty:
        st.info(f"The detector finds nothing incoherent on {plain_label(view.specification.benchmark)}.")
    else:
        picked = screen.chart(reason_dots(reasons), "reasons", "Reasons for incoherence along training; dot size is the share of answers")
        screen.caption(view, "Hollow dots: found by the detector; their area is the share of the checkpoint's answers. No answers are labelled by people yet")
    st.subheader("Three of them", anchor=False)
    listing.examples(view, view.specification.benchmark, 3)
    if clicked:
        checkpoint, benchmark = clicked.split("~")
        screen.open_outputs(checkpoints=(checkpoint,), benchmarks=(benchmark,), outcomes=("incoherent",), recipes=())
    if picked:
        screen.open_outputs(checkpoints=(picked.split("~")[0],), benchmarks=(view.specification.benchmark,), outcomes=("incoherent",), recipes=())
    screen.table_below(
        table,
        "incoherence",
        "rate = incoherent outputs / outputs, by the detector named in the caption; low and high: Wilson interval, 95 %. A refusal, a short correct answer and a wrong fact are coherent, and being cut off is never incoherence.",
    )
