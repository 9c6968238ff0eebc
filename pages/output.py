"""What was the prompt, what was the response, and how did each judge rate it?"""

import streamlit as st

from capsafe_core.analysis.annotators import coherence_words
from capsafe_core.store.outputs import read_output
from capsafe_core.ui import listing, output_parts, screen, story
from capsafe_core.ui.safe_text import plain_label, show_answer, show_raw, visible
from capsafe_core.ui.tables import show_table

with screen.question("What was the prompt, what was the response, and how did each judge rate it?") as view:
    chosen = screen.selection().generation
    if not chosen:
        st.info("Choose an output on the Outputs page, or click a mark in any chart.")
        st.page_link(str(screen.PAGES / "outputs.py"), label="Outputs", icon=":material/chat:")
        st.stop()
    output = read_output(view.store, chosen)
    output_parts.walk(view, chosen)
    facts, judgments = output.facts, output.judgments
    places = "; ".join(
        f"{p.recipe}, seed {p.seed}, step {p.step}"
        for p in output.places.itertuples()
        if p.study == view.study.name
    )
    # a negative temperature and no limit of tokens stand for what an imported log did not tell
    sampling = "temperature unknown" if facts["temperature"] < 0 else f"temperature {facts['temperature']:g}"
    sampling += f", at most {facts['max_tokens']} tokens" if facts["max_tokens"] else ""
    st.text(
        visible(
            f"{places or facts['origin']} · {facts['benchmark']} {facts['item']} · {facts['tokens']} "
            f"tokens, ended by {facts['finish_reason']} · {facts['engine']} {facts['engine_version']}, "
            f"{sampling}"
        )
    )
    left, right = st.columns([3, 2])
    with left:
        st.subheader("Prompt", anchor=False)
        show_raw(facts["prompt"])
        if facts["asked"] and facts["asked"] != facts["prompt"]:
            with st.expander("What the model actually received"):
                show_raw(facts["asked"])
        st.subheader("Response", anchor=False)
        shown = screen.texts_shown() if facts["benchmark_kind"] == "safety" else True
        spans = listing.evidence(judgments)
        if facts["reasoning"]:
            with st.expander("Reasoning before the answer"):
                show_answer(facts["reasoning"], (), blurred=not shown)
        if facts["reasoning"] and not facts["answer"]:
            st.text("The model gave no response: its output ended while it was reasoning.")
        show_answer(facts["answer"], spans, blurred=not shown)
        reasons = ", ".join(dict.fromkeys(str(span["reason"]).replace("_", " ") for span in spans))
        if reasons:
            st.text(f"Marked: {visible(reasons)}")
    with right:
        st.subheader("Verdicts", anchor=False)
        if words := coherence_words(view, chosen, judgments):
            st.markdown(f"**{plain_label(words)}**")
        table = judgments.assign(
            native=judgments["native"].map(visible),
            verdict=[
                visible(str(label)) if label else f"no verdict ({status})"
                for label, status in zip(judgments["label"], judgments["status"], strict=True)
            ],
        )
        show_table(table[["dimension", "judge", "verdict", "native"]], width="stretch")
        st.text(
            visible(
                f"Harm asked for: {facts['behaviour_text'] or '—'}\nReference answer: "
                f"{facts['reference'] or '—'}"
            )
        )
        output_parts.remarks(view, facts)
    if facts["benchmark_kind"] != "capability":
        st.subheader("The same prompt along all training", anchor=False)
        story.show(view, facts["benchmark"], facts["item"], facts["generation_id"], shown)
    output_parts.judges_words(judgments, shown)
    output_parts.raw_record(view, output, shown)
