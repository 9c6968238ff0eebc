"""The marks of a figure as words: what the pointer reads by hovering, a keyboard reads in a list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import reduce
from typing import Any

import plotly.graph_objects as go

from capsafe_core.text import visible

_VALUE = re.compile(r"%\{([\w.]+)(?::([^}]*))?\}")
_EXTRA = re.compile(r"<extra>.*?</extra>")


def marks_of(figure: go.Figure, most: int) -> dict[str, str]:
    """What each mark that opens something says when it is hovered, and the id that it carries.

    Marks of one id and one text are one; of two ids with one text the second is told apart by a number.

    Args:
        most: marks; a figure with more has no such list.
    """
    said: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    for text, mark in _marks(figure):
        if (text, mark) in seen:
            continue
        if len(said) == most:
            return {}
        seen.add((text, mark))
        name, n = text, 1
        while name in said:
            n += 1
            name = f"{text} ({n})"
        said[name] = mark
    return said


def _marks(figure: go.Figure) -> Iterator[tuple[str, str]]:
    for trace in figure.data:
        ids = getattr(trace, "customdata", None)
        if ids is None or trace.hoverinfo == "skip":
            continue
        for place, mark in enumerate(ids):
            yield _text(trace, place), str(mark[0])


def _text(trace: Any, place: int) -> str:
    """The hover text of a trace's mark in one line."""

    def value(found: re.Match[str]) -> str:
        value = _at(reduce(getattr, found[1].split("."), trace), place)
        return format(value, found[2]) if found[2] and not isinstance(value, str) else str(value)

    template = _EXTRA.sub("", trace.hovertemplate or "%{x}, %{y}").replace("<br>", ", ")
    words = _VALUE.sub(value, template).partition(": click to ")[0]
    return visible(", ".join(line.strip() for line in words.split("\n") if line.strip()))


def _at(values: Any, place: int) -> Any:
    """The value of one mark; a text alone is that of every mark."""
    return values if isinstance(values, str) or not hasattr(values, "__getitem__") else values[place]
