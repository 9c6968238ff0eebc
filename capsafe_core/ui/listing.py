"""A list of outputs; a click on a row opens the output."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from capsafe_core.figures.style import OUTCOME_WORDS
from capsafe_core.ui import screen
from capsafe_core.ui.safe_text import visible


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
