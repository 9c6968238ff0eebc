"""People who work with a store, and what each may do."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from capsafe_core.errors import CapsafeError
from capsafe_core.records import DIMENSIONS, Rater

ROLES = ("viewer", "annotator", "researcher")
"""Each may do what those before it may."""
LONGEST_NAME = 80


@dataclass(frozen=True)
class Person:
    """Someone who looks, labels or decides. `name` identifies them among the annotators."""

    name: str
    role: str = "researcher"

    @property
    def rater(self) -> Rater:
        """The annotator whom the statistics know."""
        return Rater(self.name, "annotator", "people", tuple(DIMENSIONS[:3]), "1")

    def must_be(self, role: str) -> None:
        """Refuse what this person's role does not allow.

        Raises:
            CapsafeError: the role is too low.
        """
        if ROLES.index(self.role) < ROLES.index(role):
            raise CapsafeError(f"{self.name} is {_article(self.role)} here, and only {_article(role)} may do this.", "Ask whoever runs this server to change roles.toml.")


def person_named(text: str, role: str = "researcher") -> Person:
    """The person behind a typed name.

    Raises:
        CapsafeError: there is no name, or it is too long.
    """
    name = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not name or len(name) > LONGEST_NAME:
        raise CapsafeError(f"A name has 1 to {LONGEST_NAME} characters.", "Type the name under which your labels are kept.")
    return Person(name, role)


def role_of(email: str, roles: Path) -> str:
    """The role that a roles file gives to someone who logged in; viewer for whom it does not name.

    Raises:
        CapsafeError: the file cannot be read, or names an unknown role.
    """
    try:
        known = tomllib.loads(roles.read_text()) if roles.exists() else {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CapsafeError(f"The roles in {roles.name} cannot be read: {error}.", 'Write one line a person, such as "ada@example.org" = "researcher".') from error
    role = next((r for who, r in known.items() if who.casefold() == email.casefold()), ROLES[0])
    if role not in ROLES:
        raise CapsafeError(f"{roles.name} gives {email} the role {role!r}.", f"Use one of {', '.join(ROLES)}.")
    return str(role)


def _article(role: str) -> str:
    return f"an {role}" if role[0] in "aeiou" else f"a {role}"
