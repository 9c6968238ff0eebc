"""People who work with a store, and what each may do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.records import DIMENSIONS, Rater
from capsafe_core.values import parse_toml

ROLES = VIEWER, ANNOTATOR, RESEARCHER = ("viewer", "annotator", "researcher")
"""Each may do what those before it may."""
LONGEST_NAME = 80
LONGEST_ADDRESS = 254
EVERYBODY = "everybody"
"""to whom a queue is handed out that is assigned to nobody"""
ASK = "Ask whoever runs this server."


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
            NotAllowedError: the role is too low.
        """
        if ROLES.index(self.role) < ROLES.index(role):
            raise NotAllowedError(
                f"{self.name} is {_article(self.role)} here, and only {_article(role)} may do this.",
                "Ask whoever runs this server to change roles.toml.",
            )


def person_named(text: str, role: str = "researcher") -> Person:
    """The person behind a typed name.

    Raises:
        CapsafeError: there is no name, or it is too long.
    """
    name = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not name or len(name) > LONGEST_NAME:
        raise CapsafeError(
            f"A name has 1 to {LONGEST_NAME} characters.", "Type the name under which your labels are kept."
        )
    return Person(name, role)


def people_named(texts: Iterable[str]) -> tuple[str, ...]:
    """The names of people as they were typed, each once.

    Raises:
        CapsafeError: one of them is not a name.
    """
    return tuple({same(name): name for name in (person_named(text).name for text in texts)}.values())


def same(name: str) -> str:
    """What two ways of writing one person's name have in common."""
    return _folded(name) if _is_address(name) else name


def is_among(name: str, names: Iterable[str]) -> bool:
    """Whether somebody is one of these people, however their names are written."""
    return same(name) in map(same, names)


def and_words(names: Sequence[str]) -> str:
    """Names in a sentence: "Ada, Ben and Cay"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def person_logged_in(claims: Mapping[str, Any], roles: Path) -> Person:
    """The person whom a login provider vouches for.

    Args:
        claims: of the provider's ID token.
        roles: the roles file.

    Raises:
        NotAllowedError: the provider does not say that it has checked the address; it may be anybody's then.
        CapsafeError: the roles cannot be read.
    """
    email = claims.get("email")
    if not isinstance(email, str) or not _is_address(email):
        raise NotAllowedError(
            "Your login provider gives no e-mail address, and people are known here by theirs.", ASK
        )
    address = _folded(email)
    if claims.get("email_verified") is not True:
        raise NotAllowedError(
            f"Your login provider does not say that it has checked the address {address}.", ASK
        )
    return Person(address, role_of(address, roles))


def role_of(email: str, roles: Path) -> str:
    """The role that a roles file gives to someone who logged in; viewer for whom it does not name.

    Lines that name no address name nobody.

    Raises:
        CapsafeError: the file cannot be read, or gives an unknown role or several.
    """
    given = {
        str(role)
        for who, role in _read_roles(roles).items()
        if _is_address(who) and _is_address(email) and _folded(who) == _folded(email)
    }
    if len(given) > 1:
        raise CapsafeError(
            f"{roles.name} gives {email} several roles: {', '.join(sorted(given))}.",
            "Leave one of the lines.",
        )
    role = given.pop() if given else ROLES[0]
    if role not in ROLES:
        raise CapsafeError(
            f"{roles.name} gives {email} the role {role!r}.", f"Use one of {', '.join(ROLES)}."
        )
    return role


def may_label(roles: Path) -> tuple[str, ...]:
    """Everybody whom a roles file lets label.

    Raises:
        CapsafeError: the file cannot be read.
    """
    return tuple(_folded(who) for who, role in _read_roles(roles).items() if role in ROLES[1:])


def _read_roles(roles: Path) -> dict[str, Any]:
    try:
        if roles.exists() and not roles.is_file():
            raise ValueError("it is not a file")
        return parse_toml(roles.read_text(encoding="utf-8")) if os.path.lexists(roles) else {}
    except (OSError, ValueError) as error:
        raise CapsafeError(
            f"The roles in {roles.name} cannot be read: {error}.",
            'Write one line a person, such as "ada@example.org" = "researcher".',
        ) from error


def _is_address(text: str) -> bool:
    return (
        len(text) <= LONGEST_ADDRESS and text.isprintable() and bool(re.fullmatch(r"[^@\s]+@[^@\s]+", text))
    )


def _folded(address: str) -> str:
    """An address as it is compared: only A to Z are taken for a to z, so that no other letter passes for one
    of them."""
    return "".join(c.lower() if c.isascii() else c for c in address)


def _article(role: str) -> str:
    return f"an {role}" if role[0] in "aeiou" else f"a {role}"
