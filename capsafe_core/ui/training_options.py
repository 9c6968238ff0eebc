"""Fine-tuning in a new study: its data, and the options that matter, closed at first with usual values."""

from __future__ import annotations

import streamlit as st

from capsafe_core.jobs.new_study import USUAL_RATES, Training, whole_numbers
from capsafe_core.ui.study_words import DEVICES, METHODS, SCHEDULES


def show(device: str) -> Training:
    """What is learnt, and how.

    Args:
        device: what is offered first.
    """
    data = st.text_input(
        "Training data",
        placeholder="/data/notes.jsonl",
        width=420,
        help="JSONL, JSON, CSV or Parquet with prompts and responses or conversations; also "
        "`hub:OWNER/NAME` and `reasoning_gym:TASK`.",
    ).strip()
    with st.expander("Training options"):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            method = st.selectbox("Method", list(METHODS), format_func=lambda m: METHODS[m], width=230)
            rank = Training.rank
            if method != "full":
                rank = st.number_input("Rank", 1, 1024, rank, width=120, help="Alpha is twice the rank.")
            usual = USUAL_RATES[method]
            rate = st.number_input(
                "Learning rate", 0.0, 1.0, usual, usual / 10, format="%g", key=f"rate-{usual}", width=150
            )
            schedule = st.selectbox(
                "Schedule", list(SCHEDULES), format_func=lambda s: SCHEDULES[s], width=230
            )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            steps = st.text_input("Save checkpoints at steps", "25, 50, 100", width=200)
            batch = st.number_input("Batch size", 1, 4096, Training.batch_size, width=130)
            seeds = st.text_input(
                "Training seeds",
                "0",
                width=140,
                help="With one seed, nothing is said of the recipe in general.",
            )
            place = st.selectbox(
                "Train on",
                list(DEVICES),
                list(DEVICES).index(device),
                format_func=lambda d: DEVICES[d],
                key=f"train-on-{device}",
                width=130,
            )
    return Training(
        data,
        float(rate),
        whole_numbers(steps),
        whole_numbers(seeds),
        method,
        int(rank),
        schedule,
        int(batch),
        place,
    )
