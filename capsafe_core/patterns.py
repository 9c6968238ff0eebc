"""Patterns that users, studies and the catalogue state, matched in time linear in the text.

Python's own engine tries every way a pattern can fit: `(a+)+$` on forty letters takes hours, and holds the
interpreter.
So whatever is not written in this program is matched by RE2, which has no such pattern. What RE2 lacks,
look-around and
back references, is refused with a sentence. Where RE2 and Python read the same sign in two ways (`\\w`,
`\\Z`, `$`),
it means here what it means in Python; only `\\b` goes by ASCII letters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.places import PREPARE

LONGEST = 4096
"""characters of a pattern"""
LARGEST = 20_000
"""instructions of a pattern's program"""
LONGEST_TEXT = 1 << 18
"""characters of a text; a longer one fits nothing"""
STEPS = 100_000_000
"""instructions times characters, a few seconds at the worst; nothing fits beyond it, and of many places in
a text each may cost a walk to its end"""
MOST = 500
"""places that are looked at in one text"""

_SPACES = r"\t-\r\x1c-\x20\x85\p{Z}"
_WORDS = r"\p{L}\p{N}_"
_ALIKE = {
    **{
        "Z": r"\z",
        "z": r"\z",
        "d": r"\p{Nd}",
        "D": r"\P{Nd}",
        "w": f"[{_WORDS}]",
        "W": f"[^{_WORDS}]",
        "s": f"[{_SPACES}]",
        "S": f"[^{_SPACES}]",
    },
    **{letter: f"\\{letter}" for letter in "AbBpPnrtfvax01234567"},
}
"""escape -> what says the same to RE2"""
_OUTSIDE = re.compile(
    r"\\u(?P<four>[0-9a-fA-F]{4})|\\U(?P<eight>[0-9a-fA-F]{8})|(?P<back>\\[1-9](?![0-7]{2})|\(\?P=|\(\?\()|(?P<around>\(\?<?[=!])"
    r"|(?P<flags>\(\?[a-zA-Z-]*[:)])|\\(?P<escaped>.)|(?P<opens>\[\^?\]?)|\{,(?P<most>\d*)\}|(?P<plain>.)",
    re.DOTALL,
)
_INSIDE = re.compile(
    r"\\u(?P<four>[0-9a-fA-F]{4})|\\U(?P<eight>[0-9a-fA-F]{8})|\\(?P<escaped>.)|.", re.DOTALL
)
_OF_A_PART = frozenset("is-")
_OF_ALL = frozenset("imsu")


@dataclass(frozen=True)
class Pattern:
    """A pattern that is matched in linear time."""

    text: str
    _compiled: Any

    @property
    def groups(self) -> int:
        return int(self._compiled.groups)

    def first(self, text: str) -> dict[str, str]:
        """What the named groups hold at the first place that fits, those that took part; empty where none
        fits."""
        found = self._compiled.search(whole_characters(text)) if self._bearable(text) else None
        return {name: value for name, value in found.groupdict().items() if value} if found else {}

    def values(self, text: str) -> set[str]:
        """What the first group holds at every place that fits; empty where there are too many places."""
        if not self._bearable(text):
            return set()
        values, work = set[str](), 0
        for place, match in enumerate(self._compiled.finditer(whole_characters(text))):
            work += (len(text) - match.start()) * self._compiled.programsize
            if place >= MOST or work > STEPS:
                return set()
            values.add(match.group(1) or "")
        return values

    def fits(self, text: str) -> bool:
        """Whether it fits anywhere in the text."""
        return self._bearable(text) and self._compiled.search(whole_characters(text)) is not None

    def _bearable(self, text: str) -> bool:
        return len(text) <= LONGEST_TEXT and len(text) * self._compiled.programsize <= STEPS


@cache
def linear(pattern: str) -> Pattern:
    """The pattern, made ready to be matched in linear time.

    Raises:
        CapsafeError: it is too long or too large, is not a regular expression, or needs what cannot be
            matched in linear time.
    """
    try:
        import re2
    except ImportError as error:
        raise CapsafeError(
            "Patterns need the package google-re2, which this Python has not got.",
            f"Run `{PREPARE}`, or install it there.",
        ) from error
    if len(pattern) > LONGEST:
        raise CapsafeError(
            f"A pattern has {len(pattern):,} characters, and at most {LONGEST:,} are read.",
            "Write a shorter one.",
        )
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 32 << 20
    try:
        compiled = re2.compile(whole_characters(_translated(pattern)), options)
    except re2.error as error:
        said = (
            error.args[0].decode("utf-8", "replace")
            if error.args and isinstance(error.args[0], bytes)
            else str(error)
        )
        raise _refused(
            pattern, f"is not a regular expression that can be matched in linear time: {said}"
        ) from error
    if compiled.programsize > LARGEST:
        raise _refused(pattern, "becomes too large; repeat less in it")
    return Pattern(pattern, compiled)


def whole_characters(text: str) -> str:
    """A text without halves of characters, which UTF-8 cannot write."""
    return text.encode("utf-8", "replace").decode()


def _refused(pattern: str, why: str) -> CapsafeError:
    return CapsafeError(f"The pattern {pattern[:80]!r} {why}.", "docs/judges.md says what patterns can hold.")


def _translated(pattern: str) -> str:
    """A pattern in Python's notation as RE2 writes it."""
    head = re.match(r"\(\?([a-zA-Z]+)\)", pattern)
    flags = head.group(1) if head else ""
    if set(flags) - _OF_ALL:
        raise _refused(pattern, f"begins with the flags {flags!r}; it can begin with i, m and s")
    body = pattern[head.end() :] if head else pattern
    kept = flags.replace("u", "")
    written, inside, place = [f"(?{kept})" if kept else ""], False, 0
    ends = _Ends()
    while token := (_INSIDE if inside else _OUTSIDE).match(body, place):
        place = token.end()
        if inside:
            inside = token.group() != "]"
            written.append(_in_class(pattern, token))
        else:
            inside = token["opens"] is not None
            if "m" not in flags and ends.is_passed(token):
                raise _refused(pattern, "goes on behind $, which stands at the end of the text")
            written.append(_outside(pattern, token, "m" in flags))
    return "".join(written)


class _Ends:
    """Whether a pattern goes on behind $: what RE2 cannot write is a $ before a last line break that the rest
    of the pattern takes."""

    def __init__(self) -> None:
        self._ended, self._branches = [False], [False]
        """for each group that is open: whether its branch has ended, and whether another one has"""

    def is_passed(self, token: re.Match[str]) -> bool:
        """Take in the next sign outside of [...]; whether it wants something where the text has ended."""
        sign = token["plain"] or token["flags"] or ""
        if sign == "$":
            self._ended[-1] = True
        elif sign == "|":
            self._branches[-1] |= self._ended[-1]
            self._ended[-1] = self._ended[-2] if len(self._ended) > 1 else False
        elif sign.startswith("("):
            self._ended.append(self._ended[-1])
            self._branches.append(False)
        elif sign == ")" and len(self._ended) > 1:
            ended = self._ended.pop() | self._branches.pop()
            self._ended[-1] |= ended
        elif sign not in ("*", "+", "?", "{", "}") and token["most"] is None:
            return self._ended[-1]
        return False


def _outside(pattern: str, token: re.Match[str], by_lines: bool) -> str:
    """A sign that stands outside of [...]."""
    if token["back"] or token["around"]:
        raise _refused(
            pattern,
            "looks around (?=…) or back (\\1), which cannot be matched in linear time; put what it looks at "
            "into it",
        )
    flags = token["flags"]
    if flags and not (flags.endswith(":") and set(flags[2:-1]) <= _OF_A_PART):
        raise _refused(
            pattern,
            f"has the flags {flags!r}; a part of it can have i and s, all of it m too, at its beginning",
        )
    if token["most"] is not None:
        return f"{{0,{token['most']}}}"
    if token.group() == "$" and not by_lines:
        return r"(?:\n?\z)"
    return _escape(pattern, token) or token.group()


def _in_class(pattern: str, token: re.Match[str]) -> str:
    """A sign that stands inside of [...]."""
    if token["escaped"] in ("d", "w", "s"):
        return {"d": r"\p{Nd}", "w": _WORDS, "s": _SPACES}[token["escaped"]]
    if token["escaped"] in ("W", "S"):
        return _others(token["escaped"])
    if token["escaped"] == "b":
        return r"\x08"
    return _escape(pattern, token) or token.group().replace("[", r"\[")


def _escape(pattern: str, token: re.Match[str]) -> str:
    """An escaped sign as RE2 writes it; "" where nothing is escaped."""
    code = token["four"] or token["eight"]
    if code:
        return f"\\x{{{code}}}"
    escaped = token["escaped"]
    if escaped is None:
        return ""
    if escaped.isalnum() and escaped.isascii():
        if escaped not in _ALIKE:
            raise _refused(pattern, f"has \\{escaped}, which means nothing here")
        return _ALIKE[escaped]
    return f"\\{escaped}" if escaped.isascii() and escaped != "_" else escaped


@cache
def _others(kind: str) -> str:
    """The characters that are no letter, digit or _ ("W"), or no space ("S"), as ranges: a class cannot hold
    another's opposite."""
    belongs = (lambda c: c.isalnum() or c == "_") if kind == "W" else str.isspace
    marks = [not belongs(chr(code)) and not 0xD800 <= code <= 0xDFFF for code in range(0x110000)]
    edges = [code for code, mark in enumerate(marks) if mark != (marks[code - 1] if code else False)] + [
        0x110000
    ] * marks[-1]
    return "".join(
        f"\\x{{{start:x}}}-\\x{{{end - 1:x}}}" for start, end in zip(edges[::2], edges[1::2], strict=True)
    )
