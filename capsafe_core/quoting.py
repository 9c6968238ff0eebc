"""Several names in one text, and back exactly: in permalinks, keys of claims, votes and ids of marks.

A name may hold any character. What is joined with a separator has that separator and the percent sign
percent-encoded, so joined texts can be joined again with another one.
"""

from __future__ import annotations

from collections.abc import Iterable

_EMPTY = "%"
"""an empty name among others; a percent sign that is part of a name is encoded"""


def quoted(name: str, by: str) -> str:
    """A name without a separator in it."""
    return name.replace("%", "%25").replace(by, f"%{ord(by):02X}")


def unquoted(text: str, by: str) -> str:
    """The name that `quoted` was given; a text without encoded separators is as it stands."""
    return text.replace(f"%{ord(by):02X}", by).replace("%25", "%")


def join_names(names: Iterable[str], by: str = "~") -> str:
    """Names in one text, with a separator between them."""
    return by.join(quoted(name, by) or _EMPTY for name in names)


def split_names(text: str, by: str = "~") -> tuple[str, ...]:
    """The names that `join_names` was given; what stands between two separators at once is left out."""
    return tuple("" if part == _EMPTY else unquoted(part, by) for part in text.split(by) if part)
