"""A list of outputs; a click on a row opens the output."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from capsafe_core.analysis.disagreement import compared_outputs
from capsafe_core.analysis.outputs import outputs_table
from capsafe_core.analysis.view import View, open_view
from capsafe_core.selection import Selection, vote_words
from capsafe_core.store.outputs import read_output, safety_verdicts
from capsafe_core.ui import screen
from capsafe_core.ui.safe_text import plain_label, show_answer, visible
from capsafe_core.ui.tables import show_table

SIGNS, UNKNOWN = {"unsafe": "●", "safe": "○"}, "·"
"""of verdicts, where all judges stand in one cell"""


def examples(view: View, benchmark: str, count: int) -> None:
    """Incoherent responses to a benchmark, the most disputed first, each with its evidence marked."""
    inner = open_view(view.store, view.selection.but(benchmarks=(benchmark,), outcomes=("incoherent",)))
    rows, found = outputs_table(inner, limit=count, order="disputed")
    if not found:
        st.info("There are none on this benchmark.")
        return
    shown = screen.texts_shown()
    for column, row in zip(st.columns(count), rows.itertuples(), strict=False):
        with column:
            st.text(visible(f"{row.recipe}, step {row.step}: {visible(str(row.prompt))[:90]}"))
            judgments = read_output(view.store, str(row.generation_id)).judgments
            show_answer(str(row.answer), evidence(judgments), blurred=not shown)
            if st.button("Open", key=f"example-{row.generation_id}"):
                screen.open_output(str(row.generation_id))


def show_all_again(*parts: str) -> None:
    """A button that names the filters in force among some parts of the selection, and takes them all away;
    none where none is."""
    chosen, empty = screen.selection(), Selection()
    words = {
        "checkpoints": "one checkpoint",
        "pattern": vote_words(chosen.pattern),
        "strata": f"kinds {', '.join(chosen.strata)}",
        "recipes": f"recipes {', '.join(chosen.recipes)}",
        "before": "prompts answered so before",
        "prompt": f"prompt {chosen.prompt}",
    }
    narrowed = [words[part] for part in parts if getattr(chosen, part)]
    if narrowed and st.button(
        f"Show all again (now: {plain_label('; '.join(narrowed))})", icon=":material/close:"
    ):
        screen.select(**{part: getattr(empty, part) for part in parts})
        st.rerun()


def disputed(view: View, count: int = 50) -> None:
    """The most disputed outputs that the selection leaves, every judge's verdict as a sign; a click on a row
    opens the output."""
    st.subheader("The most disputed responses", anchor=False)
    show_all_again("pattern", "strata", "checkpoints", "recipes")
    rows, found = outputs_table(compared_outputs(view), limit=count, order="disputed")
    shown = screen.texts_shown()
    st.text(
        visible(
            f"{found:,} responses to {view.specification.benchmark}"
            + (f", the first {len(rows)}" if found > len(rows) else "")
            + ". Click a row to read one."
        )
    )
    if rows.empty:
        st.info("Nothing matches. Show all again, or click another mark.")
        return
    verdicts = safety_verdicts(view.store, list(rows["generation_id"]), own_words=False)
    verdicts = verdicts.set_index("generation_id").reindex(rows["generation_id"])
    legend = ", ".join(f"{sign} {verdict}" for verdict, sign in SIGNS.items())
    st.caption(plain_label(f"{legend}, {UNKNOWN} no verdict. In this order: {', '.join(verdicts.columns)}."))
    table = pd.DataFrame(
        {
            "verdicts": [signs(list(row)) for row in verdicts.to_numpy()],
            "coherence": ["incoherent" if outcome == "incoherent" else "" for outcome in rows["outcome"]],
            "response": [
                visible(a)[:200] if shown else "▒" * min(max(len(a) // 8, 3), 14) for a in rows["answer"]
            ],
            "from": [f"{r.recipe}, seed {r.seed}, step {r.step}" for r in rows.itertuples()],
        }
    )
    narrow = st.column_config.TextColumn(width=90)
    event = show_table(
        table,
        on_select="rerun",
        selection_mode="single-row",
        key="list-disputed",
        height=720,
        column_config={"verdicts": narrow, "coherence": narrow},
    )
    if event.selection.rows:
        screen.open_output(str(rows["generation_id"].iloc[event.selection.rows[0]]))


def signs(verdicts: Sequence[object]) -> str:
    """A sign for each judge's verdict on an output: "●○·"."""
    return "".join(SIGNS.get(str(verdict), UNKNOWN) for verdict in verdicts)


def evidence(judgments: pd.DataFrame) -> list[dict[str, Any]]:
    """The spans that speak for incoherence, out of an output's judgments."""
    return [
        span
        for text in judgments[judgments["dimension"] == "coherence"]["evidence"]
        for span in json.loads(text)
    ]
