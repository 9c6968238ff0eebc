"""The owner of the store: ingests what workers write, answers commands, starts queued jobs."""

from __future__ import annotations

import sys
import threading
import traceback

import capsafe_core.report.actions  # noqa: F401  so that the owner knows of reports
from capsafe_core.analysis.service import Service
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.supervisor import Queue
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.desk import Desk
from capsafe_core.store.ingest import ingest_all

PERIOD = 2.0
"""seconds between looks at the job folders"""


class Owner:
    """Holds the store open and keeps it up to date in one background thread."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings.store_path, settings.exports_path, settings.memory_limit, settings.threads)
        self.desk = Desk(self.store, settings.jobs_path)
        self.problems: list[CapsafeError] = []
        self._queue = Queue(settings)
        self._service = Service(self.desk, settings.socket_path)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="capsafe-ingest", daemon=True)

    def start(self) -> Owner:
        self.look()
        self._service.start()
        self._thread.start()
        return self

    def look(self) -> None:
        """Read what is new in the job folders, and start the next queued job."""
        _, problems = ingest_all(self.store, self.settings.jobs_path)
        self.problems = [*problems, *self._queue.tick()]

    def _work(self) -> None:
        while not self._ended.wait(PERIOD):
            try:
                self.look()
            except CapsafeError as error:
                self.problems = [error]
            except Exception as error:
                # a fault here must not silence the thread: the Runs page shows it, the log has the traceback
                traceback.print_exc()
                self.problems = [CapsafeError(f"Reading the job folders failed: {type(error).__name__}: {error}", "This is a fault in capsafe; the log has the details.")]

    def close(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._service.close()
        self.desk.close()
        self.store.close()


_lock = threading.Lock()


def current_owner() -> Owner:
    """The owner of this process, started on first use.

    It is kept outside this module's globals because streamlit reloads modules that change.

    Raises:
        CapsafeError: the store cannot be opened.
    """
    with _lock:
        found = getattr(sys, "_capsafe_owner", None)
        if found is None:
            found = Owner(Settings()).start()
            sys._capsafe_owner = found  # type: ignore[attr-defined]
        return found


def close_owner() -> None:
    """Close this process's owner, if there is one."""
    with _lock:
        found = getattr(sys, "_capsafe_owner", None)
        if found is not None:
            found.close()
            del sys._capsafe_owner  # type: ignore[attr-defined]
