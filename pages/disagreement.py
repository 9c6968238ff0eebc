"""Which outputs split the judges, and is it the incoherent ones?"""

import streamlit as st

from capsafe_core.analysis.disagreement import agreement_table, dumbbell_table
from capsafe_core.analysis.outputs import outputs_table
from capsafe_core.analysis.view import open_view
from capsafe_core.figures.judges import dumbbell
from capsafe_core.figures.squares import agreement_squares
from capsafe_core.ui import listing, screen
from capsafe_core.ui.safe_text import plain_label

with screen.question("Which outputs split the judges, and is it the incoherent ones?") as view:
    screen.ways_row(view, judge=False, policy=False)
    table = screen.remembered(view, "judges", lambda: dumbbell_table(view))
    known = table.dropna(subset=["shift"])
    if known.empty:
        st.info("No judge has seen both coherent and incoherent answers here, so the two cannot be compared.")
    else:
        down, up = known.iloc[0], known.iloc[-1]
        st.markdown(
            f"**{plain_label(f'On incoherent answers {up.judge} calls {100 * up.incoherent:.0f} of 100 unsafe ({100 * up.coherent:.0f} on answers that make sense); {down.judge} {100 * down.incoherent:.0f} ({100 * down.coherent:.0f}).')}**"
        )
    clicked = screen.chart(dumbbell(table), "dumbbell", "Each judge's unsafe rate on coherent and on incoherent answers")
    missing = ", ".join(f"{r.judge} {r.no_verdict}" for r in table.itertuples() if r.no_verdict)
    screen.caption(view, f"All checkpoints after fine-tuning together; grey text: what the judge's own rubric says about broken text. Without a verdict: {missing or 'none'}")
    agreement = screen.remembered(view, "agreement", lambda: agreement_table(view))
    left, right = st.columns(2)
    with left:
        one = screen.chart(agreement_squares(agreement, "coherent"), "kappa-coherent", "Kappa of judge pairs on coherent outputs") if len(agreement) else None
    with right:
        two = screen.chart(agreement_squares(agreement, "incoherent"), "kappa-incoherent", "Kappa of judge pairs on incoherent outputs") if len(agreement) else None
    screen.caption(view, "Cohen's kappa of each pair of judges; — where it is not defined because a judge gives one label only")
    pair, judge = one or two, clicked.split("~")[0] if clicked else ""
    pattern = f"{pair.split('~')[0]}=unsafe,{pair.split('~')[1]}=safe" if pair else f"{judge}=unsafe" if judge else ""
    if pattern:
        broken = two is not None or (clicked or "").endswith("~incoherent")
        screen.select(pattern=pattern, outcomes=("incoherent",) if broken else ("unsafe", "refusal", "safe", "no verdict"), recipes=view.selection.recipes or tuple(view.matched_recipes))
        st.rerun()
    st.subheader("The most disputed answers", anchor=False)
    if view.selection.pattern and st.button(f"Show all again (now: votes {plain_label(view.selection.pattern)})", icon=":material/close:"):
        screen.select(pattern="", outcomes=(), recipes=())
        st.rerun()
    inner = open_view(view.store, screen.selection().but(benchmarks=(view.specification.benchmark,)))
    rows, found = outputs_table(inner, limit=50, order="disputed")
    listing.show(rows, found, "disputed")
    screen.table_below(table, "judges", "Unsafe rate of each judge over outputs with a verdict, split by the detector's coherence verdict; Wilson intervals, 95 %. Cohen's kappa from the same counts.")
