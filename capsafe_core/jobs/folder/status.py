"""How far a part of a job is, and whether its worker lives."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil

from capsafe_core.jobs.folder.files import read_json
from capsafe_core.values import Count, OneOf, Seconds, Shape, Within

STALE_AFTER = 60.0
"""Seconds without a heartbeat after which a worker on another machine counts as lost."""
CLOCKS_APART = 3600.0
"""Seconds by which another machine's clock may be ahead of this one's."""
STATES = ("waiting", "running", "done", "partial", "stopped", "failed", "lost")


@dataclass(frozen=True)
class Status:
    """How far one part is. Partial is where some records failed."""

    state: Annotated[str, OneOf(STATES)] = "waiting"
    host: str = ""
    pid: Annotated[int, Within(0, (1 << 31) - 1)] = 0
    started: Seconds = 0.0
    heartbeat: Seconds = 0.0
    done: Count = 0
    total: Count = 0
    tokens: Count = 0
    errors: Count = 0
    message: str = ""
    hint: str = ""
    seconds: Seconds = 0.0
    """working time over all runs of this part"""
    born: Seconds = 0.0
    """seconds from the machine's start to the process's, which no change of its clock alters; 0 where it was
    not kept"""
    looked_at: Count = 0
    """of a judge: how many records the jobs that it comes after had when it last began to look"""

    @property
    def tokens_per_second(self) -> float | None:
        return self.tokens / self.seconds if self.tokens and self.seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None before there is a pace."""
        if self.state != "running" or not self.done or not self.total:
            return None
        return self.seconds / self.done * (self.total - self.done)


_STATUS = Shape(Status)


def read_status(path: Path) -> Status:
    """A status file.

    Raises:
        OSError, ValueError: there is none, or it cannot be read.
    """
    return Status(**_STATUS.known(read_json(path)))


def is_alive(status: Status) -> bool:
    """Whether the worker that wrote a status is at work still."""
    if status.host != socket.gethostname():
        return -CLOCKS_APART < time.time() - status.heartbeat < STALE_AFTER
    try:
        process = psutil.Process(status.pid)
        same = (
            abs(born_at(process) - status.born) < 0.1
            if status.born
            else process.create_time() <= status.started + 1
        )
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def born_at(process: psutil.Process) -> float:
    """When a process began, in seconds since the machine did; with its pid it names the process, whatever
    becomes of the clock."""
    return max(0.01, round(float(process.create_time() - psutil.boot_time()), 2))
