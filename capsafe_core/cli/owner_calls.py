"""What commands ask of the store: of the running app where it owns it, else of the store itself."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd

from capsafe_core.analysis.by_name import table
from capsafe_core.labelling.desk import Desk
from capsafe_core.people import person_named
from capsafe_core.selection import Selection
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.workspace.actions import act
from capsafe_core.workspace.audit import doing as noted
from capsafe_core.workspace.service import ask, ask_to, from_owner


def fetch_table(settings: Settings, name: str, chosen: Selection) -> pd.DataFrame:
    """A table from the running app where it owns the store, else from the store itself, once it has read
    what the job folders have.

    Raises:
        CapsafeError: neither can be had.
    """

    def alone(store: Store) -> pd.DataFrame:
        ingest_all(store, settings.jobs_path)
        return table(store, name, chosen)

    return from_owner(settings, lambda path: ask(path, name, chosen), alone)


@contextmanager
def doing(action: str, /, **of: Any) -> Iterator[str]:
    """An action that no other process is asked for, noted as those of the registry are; yields the user's
    name."""
    person = person_named(getpass.getuser())
    with noted(Settings().jobs_path, person, action, of):
        yield person.name


def do(settings: Settings, action: str, /, **arguments: Any) -> dict[str, Any]:
    """One of `workspace.actions`, by the running app where it owns the store, else here.

    Raises:
        CapsafeError: it cannot be done.
    """
    person = person_named(getpass.getuser())

    def alone(store: Store) -> dict[str, Any]:
        ingest_all(store, settings.jobs_path)
        desk = Desk(store, settings.jobs_path)
        try:
            return act(desk, action, person, arguments)
        finally:
            desk.close()

    return from_owner(settings, lambda path: ask_to(path, action, person, arguments), alone)
