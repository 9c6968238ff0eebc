"""The one error that a user meets."""

from __future__ import annotations


class CapsafeError(Exception):
    """Something the user can understand and mend.

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


class BusyError(CapsafeError):
    """Somebody else holds what is asked for."""


class NotAllowedError(CapsafeError):
    """The workspace does not allow this; a person can change that."""
