"""What people do on the screens: with the role that they have at that moment, and on record."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st

from capsafe_core.errors import NotAllowedError
from capsafe_core.people import Person, person_logged_in
from capsafe_core.replica import only_looking
from capsafe_core.settings import Settings
from capsafe_core.ui.login import current_login
from capsafe_core.workspace.audit import doing


def actor() -> Person:
    """Whoever is in front of this session, with the role that they have now: a callback or a fragment runs
    without the page, which asked earlier.

    Raises:
        NotAllowedError: they are not logged in any more.
        CapsafeError: nobody may come in, or the roles cannot be read.
    """
    if current_login() is None:
        known: Person | None = st.session_state.get("person")
        return only_looking(known or Person(getpass.getuser()))
    if st.user.get("is_logged_in") is not True:
        raise NotAllowedError("You are not logged in.", "Reload this page and log in.")
    return only_looking(person_logged_in(st.user.to_dict(), Settings().roles_path))


@contextmanager
def noted(action: str, **of: Any) -> Iterator[Person]:
    """Let whoever is in front of this session do something that stands in the audit log.

    Raises:
        NotAllowedError: their role does not allow it.
        CapsafeError: what is done raises it, or the log cannot be written.
    """
    person = actor()
    with doing(Settings().jobs_path, person, action, of):
        yield person
