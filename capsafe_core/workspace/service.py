"""Commands answered by whoever owns the store, over a Unix socket that only its user may open.

One JSON line asks: {"table": name, "selection": {query parameters}}, or {"do": action, "person": name,
"arguments": {...}}, or {"who": true}. One JSON line answers: {"columns": [...], "rows": [[...]]}, or what the
action says, or {"error": ..., "hint": ..., "kind": ...}; empty lines before it say that the owner is still at
work. Whoever can open the socket is the user who runs the server, and so a researcher.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import socketserver
import stat
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from capsafe_core.analysis.by_name import table
from capsafe_core.errors import BusyError, CapsafeError, NotAllowedError
from capsafe_core.labelling.desk import Desk
from capsafe_core.people import Person, person_named
from capsafe_core.selection import Selection
from capsafe_core.settings import RUNTIME_PREFIX, Settings
from capsafe_core.store import Store
from capsafe_core.workspace.actions import act

LOG = logging.getLogger(__name__)
T = TypeVar("T")
LONGEST = 1 << 28
"""bytes of a request: a file of labels may be among them"""


BEAT = 2.0
"""seconds between the empty lines of an owner at work"""
SILENCE = 15.0
"""seconds without a line after which an owner is taken to be stopped"""
PATIENCE = 10.0
"""seconds that a store is waited for which another process holds"""
KINDS = {kind.__name__: kind for kind in (CapsafeError, BusyError, NotAllowedError)}


class NobodyError(CapsafeError):
    """Nobody listens at a socket."""


class Service:
    """Listens in a thread of its own.

    Args:
        desk: what it answers from.
        path: the socket; one that a process left behind is replaced.
        address: where the app's pages are, for those who ask.

    Raises:
        CapsafeError: there can be no socket.
    """

    def __init__(self, desk: Desk, path: Path, address: str = "") -> None:
        self._path = path
        try:
            _make_room(path)
            before = os.umask(0o177)
            try:
                self._server = _Server(str(path), _handler(desk, address))
            finally:
                os.umask(before)
        except OSError as error:
            raise CapsafeError(
                f"The app cannot listen for commands at {path}: {error.strerror or error}.",
                "Check that folder's rights and its disk.",
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="capsafe-socket", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


def _make_room(path: Path) -> None:
    """Remove the socket of a process that has ended, and nothing else.

    The caller owns the store, so no other owner lives.
    """
    check_folder(path)
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise CapsafeError(
            f"{path} is in the place of the socket over which the app answers commands.",
            "Move it away, then start again.",
        )
    path.unlink()


def check_folder(path: Path) -> None:
    """Make sure that nobody else could have put a socket at its place, where that is not the workspace.

    Raises:
        CapsafeError: the folder belongs to somebody else or is open to others.
    """
    folder = path.parent
    if not folder.name.startswith(RUNTIME_PREFIX):
        return
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise CapsafeError(
            f"{folder} is not a folder of your own that is closed to others.",
            "Remove it, or use a workspace with a shorter path.",
        )


def answer(desk: Desk, line: str, address: str = "") -> dict[str, Any]:
    """The answer to one request line; whatever goes wrong is answered, not raised."""
    try:
        return _answer(desk, line, address)
    except CapsafeError as error:
        kind = next(kind for kind in type(error).__mro__ if kind.__name__ in KINDS)
        return {"error": error.message, "hint": error.hint, "kind": kind.__name__}
    except Exception as error:
        LOG.exception("The owner of the store failed on what it was asked.")
        return {
            "error": f"The owner of the store failed on this: {type(error).__name__}: {error}.",
            "hint": "This is a fault in capsafe; what the app prints has the details.",
        }


def _answer(desk: Desk, line: str, address: str) -> dict[str, Any]:
    try:
        request = json.loads(line)
        if not isinstance(request, dict):
            raise TypeError("it is not a JSON object")
        if "who" in request:
            return {"address": address, "pid": os.getpid()}
        if "do" in request:
            call: Callable[[], Any] = _action(
                desk, str(request["do"]), person_named(str(request["person"])), dict(request["arguments"])
            )
        else:
            name, selection = str(request["table"]), Selection.from_query(dict(request.get("selection", {})))
            call = lambda: table(desk.store, name, selection)  # noqa: E731
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CapsafeError(f"The request cannot be read: {error}.") from error
    reply = call()
    if isinstance(reply, pd.DataFrame):
        # floats as Python writes them, so that the asker prints the same digits as the owner would
        rows = reply.astype(object).where(reply.notna(), None).to_numpy().tolist()
        return {"columns": list(reply.columns), "rows": rows}
    return dict(reply)


def _action(desk: Desk, name: str, person: Person, arguments: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    return lambda: act(desk, name, person, arguments)


def ask(path: Path, name: str, selection: Selection) -> pd.DataFrame:
    """Ask the owner for a table.

    Raises:
        CapsafeError: nobody listens, or the owner answers with an error.
    """
    reply = _request(path, {"table": name, "selection": selection.to_query()})
    return pd.DataFrame(reply["rows"], columns=reply["columns"])


def ask_to(path: Path, action: str, person: Person, arguments: dict[str, Any]) -> dict[str, Any]:
    """Ask the owner to do one of `workspace.actions`.

    Raises:
        CapsafeError: nobody listens, or the owner answers with an error.
    """
    return _request(path, {"do": action, "person": person.name, "arguments": arguments})


def who(path: Path) -> dict[str, Any]:
    """Who owns the store: "address" (of its pages, may be empty) and "pid".

    Raises:
        CapsafeError: nobody listens, or the owner does not answer.
    """
    return _request(path, {"who": True})


def from_owner(settings: Settings, asked: Callable[[Path], T], alone: Callable[[Store], T]) -> T:
    """What the running app answers where it owns the store; else what `alone` makes of the store itself.

    Raises:
        CapsafeError: the store cannot be opened, or its owner does not answer.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return asked(settings.socket_path)
        except NobodyError:
            pass
        try:
            with open_store(settings, 0) as store:
                return alone(store)
        except BusyError:  # its owner may be about to listen, or to end
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def open_store(settings: Settings, patience: float = PATIENCE) -> Store:
    """The workspace's store, as soon as no other process holds it.

    Raises:
        BusyError: another process held it all the time; the sentence says which, and where its pages are.
        CapsafeError: it cannot be opened.
    """
    until = time.monotonic() + patience
    while True:
        try:
            return Store(settings.store_path, settings.exports_path, settings.memory_limit, settings.threads)
        except BusyError as error:
            if patience and (address := _address(settings.socket_path)):
                raise BusyError(
                    f"{error.message} Its app is open at {address}.", "Use that one, or end it first."
                ) from error
            if time.monotonic() >= until:
                raise
            time.sleep(0.2)


def _address(path: Path) -> str:
    try:
        return str(who(path)["address"])
    except CapsafeError:
        return ""


def _request(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    line = (json.dumps(request) + "\n").encode()
    if len(line) > LONGEST:
        raise CapsafeError(
            f"This is too much for one request: {len(line):,} bytes.",
            f"Send at most {LONGEST:,}, in several files.",
        )
    owner = "The app that owns the store"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(SILENCE)
        try:
            check_folder(path)
            connection.connect(str(path))
            owner = f"The app that owns the store (process {_peer(connection)})"
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise NobodyError("No app is running on this workspace.") from error
        except OSError as error:
            if path.is_dir() or not path.is_socket():
                raise NobodyError("No app is running on this workspace.") from error
            raise CapsafeError(
                f"{owner} cannot be reached at {path}: {error.strerror or error}.", "Wait for it, or end it."
            ) from error
        try:
            connection.sendall(line)
            with connection.makefile("r", encoding="utf-8") as stream:
                text = next((found for found in stream if found.strip()), "")
            reply: dict[str, Any] = json.loads(text)
        except TimeoutError as error:
            raise CapsafeError(
                f"{owner} does not answer: it is stopped, or hangs.",
                "Let it go on (`kill -CONT`), or end it.",
            ) from error
        except (OSError, ValueError) as error:
            raise CapsafeError(
                f"{owner} does not answer: it ended before it did.",
                "Look at what it printed, then try again.",
            ) from error
    if "error" in reply:
        raise KINDS.get(str(reply.get("kind")), CapsafeError)(str(reply["error"]), str(reply.get("hint", "")))
    return reply


def _peer(connection: socket.socket) -> int:
    """The process at the other end."""
    pid, _, _ = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return int(pid)


def _plain(value: Any) -> Any:
    """A numpy scalar as Python's own."""
    return value.item()


def _handler(desk: Desk, address: str) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        timeout = 2 * SILENCE  # for each piece of a request

        def handle(self) -> None:
            try:
                line = self.rfile.readline(LONGEST)
                if line.endswith(b"\n"):
                    self._work(line.decode("utf-8", "replace"))
                    return
                while (
                    len(line) == LONGEST
                    and (more := self.rfile.readline(1 << 16))
                    and not more.endswith(b"\n")
                ):
                    pass  # who is still sending does not read an answer
                problem = (
                    f"is longer than {LONGEST:,} bytes"
                    if len(line) == LONGEST
                    else "ends before its line does"
                )
                self._say({"error": f"The request {problem}.", "hint": ""})
            except TimeoutError:
                with contextlib.suppress(OSError):
                    self._say({"error": "The request did not come.", "hint": ""})
            except OSError:
                return  # nobody is there to hear it

        def _work(self, line: str) -> None:
            done, replies = threading.Event(), list[bytes]()

            def work() -> None:
                try:
                    replies.append(_line(answer(desk, line, address)))
                finally:
                    done.set()

            threading.Thread(target=work, name="capsafe-answer", daemon=True).start()
            while not done.wait(BEAT):
                self.wfile.write(b"\n")
            self.wfile.write(replies[0])

        def _say(self, reply: dict[str, Any]) -> None:
            self.wfile.write(_line(reply))

    return Handler


def _line(reply: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(reply, default=_plain)
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        LOG.exception("An answer of the owner of the store cannot be sent.")
        text = json.dumps(
            {
                "error": f"The answer cannot be written down: {type(error).__name__}: {error}.",
                "hint": "This is a fault in capsafe.",
            }
        )
    return (text + "\n").encode()
