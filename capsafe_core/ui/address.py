"""The selection in the address of a page, and how it is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from capsafe_core.selection import Selection

OPEN = "open"
"""parameter of the address: which sections of the page are open"""
MOST_LEFT = 100
"""pages that were left by a click, of which the addresses are kept"""


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
    """Clicks that have had their effect are not returned again; one whose run was cut short before is.

    A click that leads to another page has had it when that page is there: something else that changes in the
    meantime, a switch or the window, has the first page run again, and Streamlit forgets where it was going.
    """
    for key, chosen in st.session_state.pop("clicked", {}).items():
        st.session_state[f"{key}-handled"] = chosen


def note_left(page: str, following: Mapping[str, str]) -> None:
    """Keep the address of the page that is left for another by `st.switch_page`.

    Streamlit writes the next page's query under this page's path before it changes the path, so the browser's
    Back comes to that; `come_back` sets it right.

    One entry too many stays in the browser's history: a second Back shows this page once more. Streamlit
    (1.67) adds one for a changed query and one for a changed path, whichever comes first, and replaces an
    entry only while the browser itself goes back or on. Both changes at once are not offered, and the page
    that is gone to needs both.

    Args:
        page: the path of the next page; one that leads to itself is not left.
        following: its query.
    """
    here, there = st.query_params.to_dict(), _address(page, following)
    if st.session_state.get("going") == there:
        note_clicks()  # it was on its way there before: one that never comes there is not tried for ever
    st.session_state["going"] = there
    if page == st.session_state.get("page", "") or here == dict(following):
        return
    left = st.session_state.setdefault("left", {})
    left[_address(st.session_state.get("page", ""), following)] = here
    for oldest in list(left)[:-MOST_LEFT]:
        del left[oldest]


def come_back(page: str) -> None:
    """Give a page that was left by a click its own query again, if the browser's Back comes to it.

    Args:
        page: its path in the address.
    """
    here = _address(page, st.query_params.to_dict())
    if st.session_state.get("page") != page or st.session_state.get("going") == here:
        st.session_state.pop("going", None)
        note_clicks()
    st.session_state["page"] = page
    left = st.session_state.get("left", {}).pop(here, None)
    if left is not None:
        st.query_params.from_dict(left)


def _address(page: str, query: Mapping[str, str]) -> tuple[str, tuple[tuple[str, str], ...]]:
    return page, tuple(sorted(query.items()))
