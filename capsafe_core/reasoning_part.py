"""The reasoning before an answer, told apart from the answer by the marks of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from capsafe_core import catalogue

_TAG = re.compile(r"</?[A-Za-z:]{5,12}>")
_NONE: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Form:
    """How some models mark their reasoning; the fields are those of the catalogue."""

    opens: tuple[str, ...]
    closes: tuple[str, ...]
    wraps: tuple[tuple[str, str], ...]
    needs_close: bool

    @property
    def marks(self) -> tuple[str, ...]:
        return (*self.opens, *self.closes, *(mark for pair in self.wraps for mark in pair))


@cache
def forms() -> tuple[Form, ...]:
    """The catalogued forms."""
    return tuple(
        Form(
            tuple(entry["opens"]),
            tuple(entry["closes"]),
            tuple((first, last) for first, last in entry.get("wraps", [])),
            entry.get("needs_close", False),
        )
        for entry in catalogue.reasoning_forms().values()
    )


@dataclass(frozen=True)
class Parts:
    """A model's output in two: the reasoning with its marks, and the answer."""

    reasoning: str
    answer: str
    begun: bool = True
    """whether the answer began: not where the output ends within the reasoning"""
    unclear: bool = False
    """whether marks of a reasoning stand within the answer in a way that does not tell what they enclose"""


def split_reasoning(text: str, opened: bool = False) -> Parts:
    """Tell the reasoning at the beginning of an output from the answer that follows.

    Args:
        opened: whether the prompt ended with an opening mark, so that the output begins within the reasoning.

    Returns:
        The whole text as the answer where nothing marks a reasoning; tags in capitals do, too. A closing mark
        alone marks one, since many templates write the opening one into the prompt; not where an opening mark
        precedes it, as in an answer that speaks of such marks. A reasoning that begins a line of its own
        after some words is left out of the answer, which is then what stands around it.
    """
    whole, text = text, _TAG.sub(lambda tag: tag[0].lower(), text)
    end, wraps = 0, _NONE
    while True:
        start = end + _blanks(text, end)
        form = next((f for f in forms() if text.startswith(f.opens, start)), None)
        if form is None:
            break
        close = _after(text, form.closes, start)
        if close is None:
            if form.needs_close:
                break
            return Parts(whole, "", begun=False)
        end, wraps = close, form.wraps
    if not end:
        marked = [f for f in _unmistakable() if any(m in text for m in (*f.opens, *f.closes))]
        form = next((f for f in marked if _closed_alone(text, f)), None)
        if form is None:
            if opened:
                return Parts(whole, "", begun=False)
            return _after_words(whole, text, marked[0]) if marked else Parts("", whole)
        end, wraps = _after(text, form.closes, 0) or 0, form.wraps
    end += _blanks(text, end)
    return Parts(whole[:end], _unwrapped(whole[end:], wraps))


@cache
def _unmistakable() -> tuple[Form, ...]:
    """The forms whose marks are no ordinary words."""
    return tuple(form for form in forms() if not form.needs_close)


def _after_words(whole: str, text: str, form: Form) -> Parts:
    """The reasoning that follows some words of the answer: from one mark at the beginning of a line to the
    one that closes it. Several, one within a line, in a block of code or not closed are left as they are."""
    opens = [place for o in form.opens for place in _places(text, o)]
    closes = [place + len(c) for c in form.closes for place in _places(text, c)]
    start, end = min(opens, default=0), min(closes, default=0)
    one = len(opens) == len(closes) == 1 and start < end
    own_line = not text[:start].rpartition("\n")[2].strip()
    if not one or not own_line or text[:start].count("```") % 2:
        return Parts("", whole, unclear=True)
    answer = "\n\n".join(filter(None, (whole[:start].strip(), whole[end:].strip())))
    return Parts(whole[start:end], answer)


def _places(text: str, mark: str) -> list[int]:
    found, place = [], text.find(mark)
    while place >= 0:
        found.append(place)
        place = text.find(mark, place + len(mark))
    return found


def opens_reasoning(prompt: str) -> bool:
    """Whether a rendered prompt ends within a reasoning that it opened itself."""
    return prompt.rstrip().endswith(tuple(o for f in forms() if not f.needs_close for o in f.opens))


def special_marks(special: Iterable[str]) -> frozenset[str]:
    """Of a tokenizer's special tokens those that make up the marks of a reasoning."""
    marks = [mark for form in forms() for mark in form.marks]
    return frozenset(token for token in special if any(token in mark for mark in marks))


def _blanks(text: str, start: int) -> int:
    return len(text) - start - len(text[start:].lstrip())


def _after(text: str, marks: tuple[str, ...], start: int) -> int | None:
    """Where the first of some marks ends; None where there is none."""
    places = [(place, place + len(mark)) for mark in marks if (place := text.find(mark, start)) >= 0]
    return min(places)[1] if places else None


def _closed_alone(text: str, form: Form) -> bool:
    """Whether a closing mark stands in a text, and no opening one before it."""
    close = _after(text, form.closes, 0)
    return close is not None and not any(mark in text[:close] for mark in form.opens)


def _unwrapped(answer: str, wraps: tuple[tuple[str, str], ...]) -> str:
    """An answer without the marks around it; the last one is missing where the answer was cut off."""
    for first, last in wraps:
        if answer[: len(first)].lower() == first.lower():
            inner = answer[len(first) :].strip()
            closed = inner.lower().endswith(last.lower())
            return inner[: len(inner) - len(last)].rstrip() if closed else inner
    return answer
