"""The list on the Outputs page: its filters, as a table of chosen columns or as texts; kept while one is on
other pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
import streamlit as st

from capsafe_core.analysis.outputs import PAGE, list_words
from capsafe_core.analysis.view import View
from capsafe_core.outcomes import LISTED_OUTCOMES
from capsafe_core.selection import ASKED, Selection
from capsafe_core.store.filters import MARKS
from capsafe_core.store.output_lists import COLUMNS, LAYOUTS, USUAL
from capsafe_core.store.outputs import incoherence_spans, safety_verdicts
from capsafe_core.store.remarks import starred
from capsafe_core.ui import saved_lists, screen
from capsafe_core.ui.safe_text import plain_label, show_answer, visible
from capsafe_core.ui.tables import show_table

KEPT, FOLLOWED = "kept-list", "followed-list"
WIDGETS = ("search", "benchmarks", "recipes", "outcomes", "columns")
"""keys of the filters; each is also its part of the selection"""
FILTERED = ("benchmarks", "truncated")
"""what the list has a filter of its own for, of what changes the specification"""
ORDER_WORDS = {"position": "by prompt", "disputed": "most disputed", "random": "random"}
HIDDEN = 24
"""signs that stand for a hidden answer at most"""


def bring_back() -> None:
    """The list as it was left, where one comes from the menu; what was chosen on other pages since then
    holds."""
    if st.query_params or KEPT not in st.session_state:
        return
    query, before = st.session_state[KEPT]
    left, now = Selection.from_query(query), st.session_state.get("carried", {})
    carried = Selection.from_query(now)
    if carried.study not in ("", left.study):
        return
    if now != before:
        left = left.but(**{part: getattr(carried, part) for part in ASKED if part not in FILTERED})
    st.query_params.from_dict(left.to_query())


def keep(view: View) -> None:
    """Remember the list for when one comes back."""
    left = screen.selection().but(study=view.study.name, generation="")
    st.session_state[KEPT] = left.to_query(), st.session_state.get("carried", {})


def filters(view: View) -> None:
    """The filters and the order of the list; they write the URL."""
    chosen = screen.selection()
    names = [b.name for b in view.study.benchmarks]
    recipes = sorted(view.points["recipe"].unique())
    _follow_link(chosen)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted: dict[str, Any] = {
            "search": st.text_input("Responses that contain", key="search", width=190),
            "benchmarks": _some("Benchmarks", names, "benchmarks", 230),
            "recipes": _some("Recipes", recipes, "recipes", 190),
            "outcomes": _some("Outcomes", list(LISTED_OUTCOMES), "outcomes", 190),
        }
        now = chosen.order or "position"
        order = st.segmented_control(
            "Order",
            list(dict.fromkeys(["position", "disputed", now])),
            default=now,
            key=f"order-{now}",
            format_func=lambda name: plain_label(ORDER_WORDS[name]),
        )
    wanted["order"] = "" if order in (None, "position") else order
    if chosen.but(**wanted) != chosen:
        _choose(**wanted, page=1)


def form(view: View, found: int, page: int) -> None:
    """How the list is shown, which page of it, and whether of marked outputs only; all in the URL."""
    chosen = screen.selection()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        layout = st.segmented_control(
            "Show as",
            LAYOUTS,
            default=chosen.layout or LAYOUTS[0],
            key=f"layout-{chosen.layout}",
            format_func=lambda name: plain_label(name.capitalize()),
        )
        with st.popover("Columns", icon=":material/view_column:", disabled=layout == "text"):
            columns = _some("Columns", list(COLUMNS), "columns", 420)
        marks = st.segmented_control(
            "Only", list(MARKS), default=chosen.marks or None, key=f"marks-{chosen.marks}"
        )
        turned = page
        if found > PAGE:
            turned = st.number_input("Page", 1, -(-found // PAGE), page, key=f"page-{page}", width=140)
        saved_lists.show(view)
    shown = chosen.but(
        columns=() if columns in ((), USUAL) else columns,
        layout="text" if layout == "text" else "",
        page=chosen.page if turned == page else int(turned),
        marks=marks or "",
    )
    if shown.marks != chosen.marks:
        shown = shown.but(page=1)
    if shown != chosen:
        _choose(columns=shown.columns, layout=shown.layout, page=shown.page, marks=shown.marks)


def _choose(**changes: Any) -> None:
    """Write what the filters say into the URL."""
    st.session_state[FOLLOWED] = _filters_of(screen.selection().but(**changes))
    screen.select(**changes)
    st.rerun()


def _filters_of(chosen: Selection) -> dict[str, Any]:
    return {part: getattr(chosen, part) for part in WIDGETS}


def _follow_link(chosen: Selection) -> None:
    """Set the filters to what the link says where it was changed by something else than they."""
    filters = _filters_of(chosen)
    for part, value in filters.items():
        if part not in st.session_state or st.session_state.get(FOLLOWED) != filters:
            usual = list(USUAL) if part == "columns" else []
            st.session_state[part] = value if part == "search" else list(value) or usual
    st.session_state[FOLLOWED] = filters


def _some(label: str, options: list[str], key: str, width: int) -> tuple[str, ...]:
    st.session_state[key] = [name for name in st.session_state[key] if name in options]
    chosen = st.multiselect(plain_label(label), options, key=key, format_func=visible, width=width)
    return tuple(chosen)


def show(view: View, rows: pd.DataFrame, found: int, page: int) -> None:
    """A page of outputs, by what the link says as a table or as texts; each opens its output."""
    chosen = view.selection
    first = (page - 1) * PAGE
    st.text(
        visible(
            list_words(chosen, found)
            + (f". {first + 1:,} to {first + len(rows):,} are shown" if found > len(rows) else "")
            + ("." if chosen.layout == "text" else ". Click a row to read one.")
        )
    )
    if rows.empty:
        st.info("Nothing matches. Loosen a filter.")
        return
    shown = screen.texts_shown()
    if chosen.layout == "text":
        _texts(view, rows, page, shown)
    else:
        _table(view, rows, page, shown)


def _table(view: View, rows: pd.DataFrame, page: int, shown: bool) -> None:
    columns = view.selection.columns or USUAL
    event = show_table(
        _columns(view, rows, columns, shown),
        on_select="rerun",
        selection_mode="single-cell",
        key=f"list-outputs-{page}",
        height=420,
        column_config={
            "response": st.column_config.TextColumn(width="large"),
            "prompt": st.column_config.TextColumn(width="medium"),
        },
    )
    if event.selection.cells:
        _open(rows, event.selection.cells[0][0], page)


def _columns(view: View, rows: pd.DataFrame, columns: tuple[str, ...], shown: bool) -> pd.DataFrame:
    """What the table shows of some outputs."""
    responses = [visible(a)[:300] if shown else _hidden(a) for a in rows["answer"]]
    every: dict[str, Callable[[], Iterable[Any]]] = {
        "outcome": lambda: rows["outcome"].map(view.outcome_words),
        "unsafe votes": lambda: [_votes(row) for row in rows.itertuples()],
        "response": lambda: responses,
        "prompt": lambda: [visible(p)[:200] for p in rows["prompt"]],
        "truncated": lambda: rows["finish_reason"] == "length",
        "prompt id": lambda: rows["item"],
        "starred": lambda: rows["generation_id"].isin(starred(view.store)),
        "harm asked for": lambda: [visible(text)[:200] for text in rows["behaviour_text"]],
        "ended by": lambda: rows["finish_reason"],
    }
    table: dict[str, list[Any]] = {}
    for name in columns:
        if name == "verdicts":
            said = safety_verdicts(view.store, list(rows["generation_id"]), own_words=True)
            said = said.drop(columns="generation_id")
            table |= {str(judge): [visible(str(v)) for v in said[judge].fillna("—")] for judge in said}
        else:
            table[name] = list(every[name]() if name in every else rows[name])
    return pd.DataFrame(table)


def _texts(view: View, rows: pd.DataFrame, page: int, shown: bool) -> None:
    spans = incoherence_spans(view.store, list(rows["generation_id"]))
    for place, row in enumerate(rows.itertuples()):
        with st.container(border=True):
            with st.container(horizontal=True, vertical_alignment="center"):
                votes = f"; {_votes(row)} judges say unsafe" if _votes(row) else ""
                where = f"{row.recipe}, seed {row.seed}, step {row.step}"
                st.text(visible(f"{view.outcome_words[str(row.outcome)]}{votes} · {where} · {row.benchmark}"))
                if st.button("Open", key=f"open-{row.generation_id}"):
                    _open(rows, place, page)
            st.text(visible(str(row.prompt)[:400]))
            marks = spans.get(str(row.generation_id), [])
            show_answer(str(row.answer), marks, blurred=not shown)
            if marks:
                reasons = dict.fromkeys(str(span["reason"]).replace("_", " ") for span in marks)
                st.caption(plain_label(f"Marked: {', '.join(reasons)}"))


def _open(rows: pd.DataFrame, place: int, page: int) -> None:
    screen.select(page=page)  # the link named a page beyond the last
    screen.open_output(str(rows["generation_id"].iloc[place]))


def _votes(row: Any) -> str:
    judges = row.unsafe_votes + row.safe_votes
    return f"{row.unsafe_votes} of {judges}" if judges else ""


def _hidden(answer: str) -> str:
    return "▒" * min(max(len(answer) // 8, 3), HIDDEN)
