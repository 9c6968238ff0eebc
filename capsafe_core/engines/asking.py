"""Requests to a server that may be broken or hostile: every answer is bounded in time and size, and a stop
ends the waiting.

Nothing is kept between requests but connections: no cookies. No redirect is followed, no packed body is
unpacked, and no
proxy of the environment gets the key: only the one that the workspace's settings name.
"""

from __future__ import annotations

import ipaddress
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import certifi
import httpcore

LARGEST = 8 << 20
"""bytes of an answer's body"""
CONNECTING = 10.0
"""seconds in which a connection must stand"""
TICK = 0.25
"""seconds after which a silent connection is asked whether the job was stopped"""
PIECE = 1 << 16
PROXY = "CAPSAFE_PROXY"
"""the variable that names the proxy, as settings have it"""


class ServerTrouble(Exception):
    """A request got no answer that can be read."""


class NoConnection(ServerTrouble):
    """Nothing answers at the address."""


class Stopped(ServerTrouble):
    """The job was stopped while the server was silent."""


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    retry_after: str
    body: bytes

    @property
    def text(self) -> str:
        """The beginning of the body, to be shown."""
        return self.body[:2000].decode("utf-8", "replace")

    def json(self) -> Any:
        """The JSON value in the body.

        Raises:
            ServerTrouble: it is not UTF-8, not JSON, nested without end, or holds numbers that are none.
        """
        try:
            return json.loads(self.body.decode("utf-8"), parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise ServerTrouble(
                f"the server sent something that is not an answer ({type(error).__name__})"
            ) from error


class Asker:
    """Asks one server, from any thread.

    Args:
        base_url: paths are below it.
        timeout: seconds of silence after which a request is given up; the whole answer has twice as long.
        stopped: whether the job is to end.

    Raises:
        ValueError: the address cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        headers: dict[str, str],
        timeout: float,
        connections: int,
        stopped: Callable[[], bool],
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._headers: dict[bytes | str, bytes | str] = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "capsafe",
        }
        self._headers.update(headers.items())
        self._timeout = timeout
        self._bounds = _Bounds(stopped)
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
        settings: dict[str, Any] = {
            "ssl_context": context,
            "max_connections": connections,
            "network_backend": _Backend(self._bounds),
        }
        host, proxy = urlsplit(self.base_url).hostname or "", os.environ.get(PROXY, "")
        httpcore.URL(self.base_url)  # ValueError where it is none
        self._pool = (
            httpcore.ConnectionPool(**settings)
            if not proxy or _is_here(host)
            else httpcore.HTTPProxy(proxy, **settings)
        )

    def ask(self, method: str, path: str, value: Any = None) -> Answer:
        """The server's answer to one request.

        Args:
            path: below `base_url`, or a whole address.

        Raises:
            ServerTrouble: there is none in time, or it is too large.
        """
        url = path if "://" in path else f"{self.base_url}/{path}"
        content = None if value is None else json.dumps(value).encode()
        headers = self._headers if content is None else {**self._headers, "Content-Type": "application/json"}
        self._bounds.begin(2 * self._timeout, LARGEST + (1 << 20))
        waits = {
            "connect": CONNECTING,
            "read": self._timeout,
            "write": self._timeout,
            "pool": 2 * self._timeout,
        }
        try:
            with self._pool.stream(
                method, url, headers=headers, content=content, extensions={"timeout": waits}
            ) as response:
                told = {name.lower(): text.decode("latin-1") for name, text in response.headers}
                if told.get(b"content-encoding", "identity") != "identity":
                    raise ServerTrouble("the server packs its answer, though it was asked not to")
                return Answer(
                    response.status, told.get(b"retry-after", ""), self._body(response.iter_stream())
                )
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            raise NoConnection(f"{type(error).__name__}: {error}") from error
        except (
            httpcore.TimeoutException,
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.ProxyError,
            OSError,
        ) as error:
            raise ServerTrouble(f"{type(error).__name__}: {error}") from error

    def _body(self, pieces: Iterable[bytes]) -> bytes:
        held = bytearray()
        for piece in pieces:
            held += piece
            if len(held) > LARGEST:
                raise ServerTrouble(f"the answer is larger than {LARGEST >> 20} MB")
        return bytes(held)


class _Bounds(threading.local):
    """How long the request of this thread may take and how much may come; checked at every piece."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self.begin(0.0, 0)

    def begin(self, seconds: float, size: int) -> None:
        self._deadline, self._left = time.monotonic() + seconds, size

    def wait(self, wanted: float | None, since: float) -> float:
        """Seconds for which to wait for the next piece.

        Raises:
            Stopped: the job is to end.
            httpcore.ReadTimeout: there is no time left.
        """
        if self._stopped():
            raise Stopped("given up, for the job was stopped")
        now = time.monotonic()
        left = min(self._deadline - now, (wanted if wanted is not None else TICK) - (now - since))
        if left <= 0:
            raise httpcore.ReadTimeout(
                "the whole answer took too long" if self._deadline <= now else "the server is silent"
            )
        return min(left, TICK)

    def count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ServerTrouble("the server sends more than any answer needs")


class _Stream(httpcore.NetworkStream):
    """A connection that is read piece by piece within bounds."""

    def __init__(self, stream: httpcore.NetworkStream, bounds: _Bounds) -> None:
        self._stream, self._bounds = stream, bounds

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        began = time.monotonic()
        while True:
            wait = self._bounds.wait(timeout, began)
            try:
                found = self._stream.read(max_bytes, wait)
            except httpcore.ReadTimeout:
                continue
            self._bounds.count(len(found))
            return found

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for place in range(0, len(buffer), PIECE):
            self._bounds.wait(timeout, time.monotonic())
            self._stream.write(buffer[place : place + PIECE], timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._bounds)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Opens connections that are bounded."""

    def __init__(self, bounds: _Bounds) -> None:
        self._bounds, self._backend = bounds, httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(
            self._backend.connect_tcp(host, port, timeout, local_address, socket_options), self._bounds
        )


def _is_here(host: str) -> bool:
    """Whether a host is this machine, which no proxy can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a number")
