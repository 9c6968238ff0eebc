"""A list of outputs; a click on a row opens the output."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import streamlit as st

from capsafe_core.analysis.outputs import outputs_table
from capsafe_core.analysis.view import View, open_view
from capsafe_core.figures.style import OUTCOME_WORDS
from capsafe_core.store.outputs import read_output
from capsafe_core.ui import screen
from capsafe_core.ui.safe_text import show_answer, visible


def examples(view: View, benchmark: str, count: int) -> None:
    """Incoherent answers to a benchmark, the most disputed first, each with its evidence marked."""
    inner = open_view(view.store, view.selection.but(benchmarks=(benchmark,), outcomes=("incoherent",)))
    rows, found = outputs_table(inner, limit=count, order="disputed")
    if not found:
        st.info("There are none on this benchmark.")
        return
    shown = screen.texts_shown()
    for column, row in zip(st.columns(count), rows.itertuples(), strict=False):
        with column:
            st.text(f"{row.recipe}, step {row.step}: {visible(str(row.prompt))[:90]}")
            judgments = read_output(view.store, str(row.generation_id)).judgments
            show_answer(str(row.answer), evidence(judgments), blurred=not shown)
            if st.button("Open", key=f"example-{row.generation_id}"):
                screen.open_output(str(row.generation_id))


def evidence(judgments: pd.DataFrame) -> list[dict[str, Any]]:
    """The spans that speak for incoherence, out of an output's judgments."""
    return [span for text in judgments[judgments["dimension"] == "coherence"]["evidence"] for span in json.loads(text)]


def show(rows: pd.DataFrame, found: int, key: str) -> None:
    """Outputs as a table: where they come from, what was asked, what was said, how it counts, how judges voted."""
    shown = screen.texts_shown()
    st.text(f"{found} outputs" + (f", the first {len(rows)} shown" if found > len(rows) else "") + ". Click a row to read one.")
    if rows.empty:
        st.info("Nothing fits. Loosen a filter.")
        return
    table = pd.DataFrame(
        {
            "outcome": rows["outcome"].map(OUTCOME_WORDS),
            "unsafe votes": [f"{u} of {u + s}" if u + s else "" for u, s in zip(rows["unsafe_votes"], rows["safe_votes"], strict=True)],
            "answer": [visible(a)[:300] if shown else "▒" * min(max(len(a) // 8, 3), 24) for a in rows["answer"]],
            "request": [visible(p)[:200] for p in rows["prompt"]],
            "recipe": rows["recipe"],
            "seed": rows["seed"],
            "step": rows["step"],
            "benchmark": rows["benchmark"],
            "cut off": rows["finish_reason"] == "length",
        }
    )
    event = st.dataframe(
        table,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"list-{key}",
        height=420,
        column_config={"answer": st.column_config.TextColumn(width="large"), "request": st.column_config.TextColumn(width="medium")},
    )
    if event.selection.rows:
        screen.open_output(str(rows["generation_id"].iloc[event.selection.rows[0]]))
