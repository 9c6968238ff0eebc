"""Model output on screen: hostile input, shown as text and nothing else."""

from __future__ import annotations

import difflib
import html
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd
import streamlit as st

from capsafe_core.store.export import each_text
from capsafe_core.text import visible as visible

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~:$])")
_AFTERWARDS = re.compile(
    r"(?<=:)(?=[\w+\-/])|(?<=www)(?=\.)|(?<=@)(?=\S)|(?<=[<>~\-])(?=[>=\-])", re.IGNORECASE
)
JOINER = "\u2060"
"""nothing to see and no place for a line break; that of a text itself is written out"""


def plain_label(text: str) -> str:
    """A text for a place that reads markdown (a label, a caption): every sign with a meaning is escaped.

    Addresses, `:icons:` and arrows are looked for once more in what the escapes left, so they are parted by a
    joiner.
    """
    return _MARKDOWN.sub(r"\\\1", _AFTERWARDS.sub(JOINER, visible(text).replace("\n", " ")))


def visible_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """A table for the screen: its texts, heads and index with nothing that cannot be seen."""
    return each_text(frame, lambda value: visible(value) if isinstance(value, str) else value)


def marked(text: str, spans: Iterable[dict[str, Any]] = ()) -> str:
    """Escaped text with <mark> around spans, and no other tag.

    Args:
        text: what a model wrote.
        spans: {reason, start, end} in characters of the text; overlaps are joined, what lies outside is cut
            off.
    """
    edges = sorted((max(0, int(s["start"])), min(len(text), int(s["end"]))) for s in spans)
    out, at = [], 0
    for start, end in edges:
        start = max(start, at)
        if end > start:
            out += [
                html.escape(visible(text[at:start])),
                "<mark>",
                html.escape(visible(text[start:end])),
                "</mark>",
            ]
            at = end
    return "".join([*out, html.escape(visible(text[at:]))])


def differing_words(text: str, other: str) -> list[dict[str, Any]]:
    """Spans of the words of a text that another text does not have in the same place, as `marked` takes
    them."""
    words, others = (list(re.finditer(r"\S+", t)) for t in (text, other))
    matcher = difflib.SequenceMatcher(
        None, [w.group() for w in words], [w.group() for w in others], autojunk=False
    )
    return [
        {"reason": "differs", "start": words[i].start(), "end": words[j - 1].end()}
        for tag, i, j, _, _ in matcher.get_opcodes()
        if tag != "equal" and j > i
    ]


def show_answer(text: str, spans: Iterable[dict[str, Any]] = (), blurred: bool = False) -> None:
    """A model's answer in a box, evidence marked; blurred until asked for where it may be harmful."""
    style = (
        "white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid "
        "color-mix(in srgb, currentColor 28%, transparent);border-radius:8px;padding:12px "
        "14px;max-height:420px;overflow:auto;font-size:15px;line-height:1.5"
    )
    if blurred:
        style += ";filter:blur(6px);user-select:none"
    body = marked(text, spans) if text else "<i>(an empty response)</i>"
    st.html(f'<div style="{style}">{body}</div>')


def show_raw(text: str) -> None:
    """Text of any origin in a plain block."""
    st.code(visible(text) or " ", language=None, wrap_lines=True)
