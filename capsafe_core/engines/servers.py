"""Several servers of the same models: each request goes to the one with the fewest on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from capsafe_core.engines.asking import Answer, Asker, NoConnection

SILENT_FOR = 15.0
"""seconds for which a server that did not answer is asked only where no other one is left"""


@dataclass(eq=False)
class Server:
    """A server, how many requests are on the way to it, and until when it is left alone."""

    asker: Asker
    busy: int = 0
    silent_until: float = 0.0
    held_until: float = 0.0


class Servers:
    """Asks any of several servers, from any thread."""

    def __init__(self, askers: Sequence[Asker]) -> None:
        self.all = [Server(asker) for asker in askers]
        self._lock = threading.Lock()

    def ask(self, method: str, path: str, body: Any) -> tuple[Answer, Server]:
        """The answer of one of them; those that nothing answers at are passed over.

        Raises:
            NoConnection: none answers.
            ServerTrouble: as `Asker.ask`, from the one that was asked.
        """
        tried: set[Server] = set()
        while True:
            server = self._take(tried)
            try:
                answer = server.asker.ask(method, path, body)
            except NoConnection:
                tried.add(server)
                with self._lock:
                    server.silent_until = time.monotonic() + SILENT_FOR
                if len(tried) == len(self.all):
                    raise
            else:
                with self._lock:
                    server.silent_until = 0.0
                return answer, server
            finally:
                with self._lock:
                    server.busy -= 1

    def _take(self, tried: set[Server]) -> Server:
        """The next to be asked, which has one more on the way: not silent, not held, with the fewest."""
        with self._lock:
            now = time.monotonic()
            left = [server for server in self.all if server not in tried]
            server = min(left, key=lambda s: (s.silent_until > now, s.held_until > now, s.busy))
            server.busy += 1
            return server

    def hold(self, server: Server, seconds: float) -> None:
        """Leave a server alone that asked for it."""
        with self._lock:
            server.held_until = max(server.held_until, time.monotonic() + seconds)

    def held(self) -> float:
        """Seconds until one of those that answer may be asked again."""
        with self._lock:
            now = time.monotonic()
            answering = [s for s in self.all if s.silent_until <= now] or self.all
            return min(server.held_until for server in answering) - now
