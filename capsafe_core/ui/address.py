"""The selection in the address of a page, and how it is changed."""

from __future__ import annotations

from typing import Any

import streamlit as st

from capsafe_core.selection import Selection

OPEN = "open"
"""parameter of the address: which sections of the page are open"""


def selection() -> Selection:
    """The selection in this page's URL."""
    return Selection.from_query(dict(st.query_params))


def select(**changes: Any) -> None:
    """Change the URL's selection; other parameters of the URL stay."""
    others = {k: v for k, v in st.query_params.items() if k in ("show", "items", "audience", "title", OPEN)}
    note_clicks()
    st.query_params.from_dict({**others, **selection().but(**changes).to_query()})


def ask(**changes: Any) -> None:
    """Change the specification: it goes along to the other pages."""
    select(**changes)
    remember(selection())
    st.rerun()


def carry() -> None:
    """The specification goes along when one changes pages by the menu, whose links have no query."""
    if not st.query_params and st.session_state.get("carried"):
        st.query_params.from_dict(st.session_state["carried"])


def remember(now: Selection) -> None:
    """Keep the specification for the next page."""
    st.session_state["carried"] = now.specification_only().to_query()


def note_clicks() -> None:
    """Clicks that have had their effect are not returned again; one whose run was cut short before is."""
    for key, chosen in st.session_state.pop("clicked", {}).items():
        st.session_state[f"{key}-handled"] = chosen
