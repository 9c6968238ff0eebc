"""Text of any origin, made safe to look at: characters that nobody sees, or that steer a terminal, are
written out.

Each medium has one exit, which every text from data passes: `ui.safe_text.plain_label` where markdown is read
and `visible_frame` for tables on screen, `figures.style.sealed` for charts, autoescape with `visible` in a
report, `cli.say` for a terminal, `cli.terminal.latex_table` for LaTeX, `store.export.guarded_csv` for CSV,
`report.native_charts.cell` for the workbook inside a slide's chart, `bibtex_comment` for BibTeX,
`markdown_text` for the gate's card.
"""

from __future__ import annotations

import re

UNSEEN = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\u3164\ud800-\udfff\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    r"\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""a class of characters without a shape of their own: controls (but tab and line break), what turns the
direction
of writing, zero widths, fillers, tags, halves of a surrogate pair and code points that are no characters"""
_UNSEEN = re.compile(f"[{UNSEEN}]")
_MARKDOWN = re.compile(r"[\\`*_{}\[\]()<>&#!|~@:$^=]")
_BIBTEX = re.compile(r"[\\@{}%]|\s")


def visible(text: str) -> str:
    """The text with bidirectional, zero-width and control characters written out as ⟨U+202E⟩."""
    return _UNSEEN.sub(lambda match: _code(match.group()), text)


def markdown_text(text: str) -> str:
    """A text that Markdown shows as it is, in a line of a table too."""
    shown = " ".join(visible(text).split())
    return _MARKDOWN.sub(lambda m: f"&#{ord(m.group())};", shown)


def bibtex_comment(text: str) -> str:
    """A text for a line of BibTeX outside an entry, where @ and braces begin and end entries all the same."""
    return _BIBTEX.sub(lambda match: " " if match.group() == " " else _code(match.group()), visible(text))


def _code(character: str) -> str:
    return f"⟨U+{ord(character):04X}⟩"
