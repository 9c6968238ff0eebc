"""The owner of the store: ingests what workers write, answers commands, starts queued jobs."""

from __future__ import annotations

import logging
import sys
import threading
import time

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.supervisor import Queue
from capsafe_core.jobs.watching import PERIOD as WATCH_PERIOD
from capsafe_core.jobs.watching import queue_new
from capsafe_core.labelling.desk import Desk
from capsafe_core.settings import Settings
from capsafe_core.store.ingest import ingest_all
from capsafe_core.workspace.service import PATIENCE, Service, open_store

LOG = logging.getLogger(__name__)
PERIOD = 2.0
"""seconds between looks at the job folders"""


class Owner:
    """Holds the store open and keeps it up to date in one background thread."""

    def __init__(self, settings: Settings, address: str = "", patience: float = PATIENCE) -> None:
        self.settings = settings
        self.store = open_store(settings, patience)
        try:
            self.desk = Desk(self.store, settings.jobs_path)
            self._service = Service(self.desk, settings.socket_path, address)
        except BaseException:
            self.store.close()
            raise
        self.problems: list[CapsafeError] = []
        self.looked = 0.0
        """when it last looked through the job folders, in seconds since 1970"""
        self._watched, self._missed = 0.0, list[CapsafeError]()
        self._queue = Queue(settings)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="capsafe-ingest", daemon=True)

    def start(self) -> Owner:
        self._look_again()
        self._service.start()
        self._thread.start()
        return self

    def look(self) -> None:
        """Read what is new in the job folders, and start the next queued job; a replica starts none."""
        begun, jobs = time.time(), self.settings.jobs_path
        if self.settings.replica_of and not jobs.is_dir():
            self.problems = [CapsafeError(f"The job folders at {jobs} are not there.", "Check its disk.")]
            return
        _, problems = ingest_all(self.store, jobs)
        self.looked = begun
        if self.settings.replica_of:
            self.problems = problems
            return
        if time.monotonic() - self._watched >= WATCH_PERIOD:
            self._watched, self._missed = time.monotonic(), queue_new(self.settings)
        self.problems = [*problems, *self._missed, *self._queue.tick()]

    def _work(self) -> None:
        while not self._ended.wait(PERIOD):
            self._look_again()

    def _look_again(self) -> None:
        try:
            self.look()
        except CapsafeError as error:
            self.problems = [error]
        except Exception as error:
            # a fault here must not silence the thread: the Runs page shows it, the log has the traceback
            LOG.exception("Looking at the job folders failed.")
            self.problems = [
                CapsafeError(
                    f"Reading the job folders failed: {type(error).__name__}: {error}",
                    "This is a fault in capsafe; the log has the details.",
                )
            ]

    def close(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._service.close()
        self.desk.close()
        self.store.close()


_lock = threading.Lock()


def current_owner(address: str = "", patience: float = 0.0) -> Owner:
    """The owner of this process, started on first use.

    Args:
        address: of the app's pages, said to whoever asks who owns the store.
        patience: seconds that a store is waited for which another process holds.

    It is kept outside this module's globals because streamlit reloads modules that change.

    Raises:
        CapsafeError: the store cannot be opened.
    """
    with _lock:
        found = getattr(sys, "_capsafe_owner", None)
        if found is None:
            found = Owner(Settings(), address, patience).start()
            sys._capsafe_owner = found  # type: ignore[attr-defined]
        return found


def close_owner() -> None:
    """Close this process's owner, if there is one."""
    with _lock:
        found = getattr(sys, "_capsafe_owner", None)
        if found is not None:
            found.close()
            del sys._capsafe_owner  # type: ignore[attr-defined]
