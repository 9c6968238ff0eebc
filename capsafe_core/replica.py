"""An app that is a replica: over the job folders of another one, with its own store, and only to look."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from capsafe_core.errors import NotAllowedError
from capsafe_core.people import VIEWER, Person, person_logged_in
from capsafe_core.settings import Settings

STALE = 60.0
"""seconds without a look at the job folders after which a replica says so above all else"""


def role_here(role: str) -> str:
    """The role that somebody has at this app: on a replica everybody is a viewer."""
    return VIEWER if Settings().replica_of else role


def logged_in_here(claims: Mapping[str, Any]) -> Person:
    """The person whom a login provider vouches for, with their role at this app.

    Args:
        claims: of the provider's ID token.

    Raises:
        CapsafeError: as `person_logged_in`.
    """
    settings = Settings()
    person = person_logged_in(claims, settings.roles_path)
    return replace(person, role=role_here(person.role))


def must_be_owner() -> None:
    """Refuse what changes anything, where this app is a replica.

    Raises:
        NotAllowedError: it is one.
    """
    if owner := Settings().replica_of:
        raise NotAllowedError("This is a read-only replica.", f"Do it in the app at {owner}.")


def replica_words(owner: str, looked: float) -> str:
    """What a replica is of, and how far it may be behind.

    Args:
        owner: the address of the app that it is of.
        looked: when it last read all that is new in the job folders, in seconds since 1970.
    """
    when = time.strftime("as of %Y-%m-%d %H:%M:%S", time.localtime(looked))
    return f"Read-only replica of {owner}, {when if looked else 'still empty'}. Run, label and import there."


def is_stale(looked: float) -> bool:
    """Whether a replica may be further behind than its reader would think."""
    return time.time() - looked > STALE
