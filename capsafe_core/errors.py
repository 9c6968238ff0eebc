"""The one error that a user meets."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MOST_NAMES = 20
"""names that a hint lists"""


class CapsafeError(Exception):
    """Something the user can understand and fix.

    Args:
        message: what is wrong and where, as one sentence.
        hint: the next step, as one sentence; empty where none is known.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class EmptyStoreError(CapsafeError):
    """There is no study yet."""


class BusyError(CapsafeError):
    """Somebody else holds what is asked for."""


class UnknownNameError(CapsafeError):
    """A name that nothing here has; it is never ignored.

    Args:
        kind: what it would be a name of, as "recipe".
        name: as it was given.
        known: the names that there are; the nearest come first in the hint.
        else_: what one can do besides, a sentence.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], else_: str = "") -> None:
        names = list(dict.fromkeys(known))
        near = get_close_matches(name, names, 3)
        listed = (
            f"There are: {', '.join(names[:MOST_NAMES])}{' and others' if len(names) > MOST_NAMES else ''}."
        )
        hint = f"Did you mean {' or '.join(near)}?" if near else listed if names else "There are none."
        super().__init__(f"There is no {kind} {name!r} here.", f"{hint} {else_}".strip())


class OpenConditionError(CapsafeError):
    """Checkpoints answered under several conditions, and nobody has said which of them counts."""


class DamagedError(CapsafeError):
    """A file is not as it was written."""


class UnwrittenError(CapsafeError):
    """The store could not be written; it is as it was."""


class NotAllowedError(CapsafeError):
    """The workspace does not allow this; a person can change that."""
