"""What people do on the screens: with the role that they have at that moment, and on record."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import streamlit as st

from capsafe_core.errors import NotAllowedError
from capsafe_core.people import Person
from capsafe_core.replica import logged_in_here, role_here
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
        person = known or Person(getpass.getuser())
        return replace(person, role=role_here(person.role))
    if st.user.get("is_logged_in") is not True:
        raise NotAllowedError("You are not logged in.", "Reload this page and log in.")
    return logged_in_here(st.user.to_dict())


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
