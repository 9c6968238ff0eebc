"""Parts of a page below its answer: closed until somebody opens them, and computed only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from capsafe_core.quoting import join_names, split_names
from capsafe_core.ui import screen
from capsafe_core.ui.address import OPEN
from capsafe_core.ui.safe_text import plain_label

EVERY = "all"
"""in the address in place of names: all parts are open"""
T = TypeVar("T")


def section(title: str, name: str, part: Callable[[], T]) -> T | None:
    """A part of the page under its title; what it returns, or None while it is closed.

    Which parts are open stands in the address. A mistake inside one is shown as a sentence, and the parts
    after it are there all the same.
    """
    opened, key = _opened(), f"section-{name}"
    place = st.expander(
        f"**{plain_label(title)}**",
        expanded=name in opened or EVERY in opened,
        key=key,
        on_change=_note,
        args=(name, key),
    )
    with screen.part(place):
        if place.open:
            return part()
    return None


def _opened() -> tuple[str, ...]:
    return split_names(st.query_params.get(OPEN, ""))


def _note(name: str, key: str) -> None:
    """Keep in the address what was opened or closed."""
    others = tuple(one for one in _opened() if one != name)
    names = (*others, name) if st.session_state[key] else others
    if names:
        st.query_params[OPEN] = join_names(names)
    else:
        st.query_params.pop(OPEN, None)
