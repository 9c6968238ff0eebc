"""Parts of a page below its answer: closed until somebody opens them, and computed only then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import streamlit as st

from capsafe_core.quoting import join_names, split_names
from capsafe_core.ui import screen
from capsafe_core.ui.address import OPEN
from capsafe_core.ui.safe_text import plain_label

EVERY = "all"
"""in the address in place of names: all parts are open"""
T = TypeVar("T")


def section(title: str, name: str, part: Callable[[], T], first: bool = False) -> T | None:
    """A part of the page under its title; what it returns, or None while it is closed.

    Which parts are open stands in the address. A mistake inside one is shown as a sentence, and the parts
    after it are there all the same.

    Args:
        first: whether it stands open for who comes without having chosen.
    """
    opened, key = _opened(), f"section-{name}"
    place = st.expander(
        f"**{plain_label(title)}**",
        expanded=first or name in opened or EVERY in opened,
        key=key,
        on_change=_note,
        args=(name, key),
    )
    with screen.part(place):
        if place.open:
            return part()
    return None


def tabs(parts: Mapping[str, tuple[str, Callable[[], object]]]) -> None:
    """Parts of a page side by side: one is open, and computed; which one, stands in the address.

    Args:
        parts: a name for the address -> the title, and the part.
    """
    opened = _opened()
    titles = {name: plain_label(title) for name, (title, _) in parts.items()}
    now = next((titles[name] for name in parts if name in opened), None)
    key = f"tabs-{join_names(parts)}"
    places = st.tabs(list(titles.values()), default=now, key=key, on_change=_note_tab, args=(key, titles))
    for place, (_, part) in zip(places, parts.values(), strict=True):
        with screen.part(place):
            if place.open or EVERY in opened:
                part()


def _opened() -> tuple[str, ...]:
    return split_names(st.query_params.get(OPEN, ""))


def _note(name: str, key: str) -> None:
    """Keep in the address what was opened or closed."""
    _open_instead((name,), name if st.session_state[key] else "")


def _note_tab(key: str, titles: Mapping[str, str]) -> None:
    """Keep in the address which tab was chosen; the first needs no word."""
    chosen = next((name for name, title in titles.items() if title == st.session_state[key]), "")
    _open_instead(tuple(titles), "" if chosen == next(iter(titles)) else chosen)


def _open_instead(closed: tuple[str, ...], opened: str) -> None:
    others = tuple(one for one in _opened() if one not in closed)
    if names := (*others, opened) if opened else others:
        st.query_params[OPEN] = join_names(names)
    else:
        st.query_params.pop(OPEN, None)
