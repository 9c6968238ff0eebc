"""A limit on how long a library may take over settings of somebody else in this process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_most(seconds: float, problem: Exception) -> Iterator[None]:
    """End what takes longer, also where it is at a pattern of Python's that never ends: matching looks for
    signals.

    Only the main thread hears them, and workers load in theirs; elsewhere nothing is limited.

    Raises:
        Exception: `problem`, where the time is over.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise problem

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
