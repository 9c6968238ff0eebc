"""The workspace of the soak."""

from __future__ import annotations

from pathlib import Path

from capsafe_core.labelling.desk import Desk
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from tests.labelling.desks import queue
from tests.synthetic import write_study

ROWS = 600
"""of each table that is imported"""
NAME = "soak"


def make(home: Path) -> Settings:
    """A workspace with the made-up study and a queue; as it is where it was made before."""
    settings = Settings(home=home)
    done = home / "made"
    if not done.exists():
        write_study(settings.jobs_path, safety_size=40, capability_size=20)
        with Store(settings.store_path) as store:
            ingest_all(store, settings.jobs_path)
            desk = Desk(store, settings.jobs_path)
            queue(desk, name=NAME, size=200)
            desk.close()
        done.touch()
    return settings


def queue_of(desk: Desk) -> str:
    """The id of the queue."""
    return next(q.queue for q in desk.queues() if q.name == NAME)
