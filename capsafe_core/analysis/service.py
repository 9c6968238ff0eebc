"""Commands answered by whoever owns the store, over a Unix socket that only its user may open.

One JSON line asks: {"table": name, "selection": {query parameters}}, or {"do": action, "person": name, "arguments": {...}}; one JSON
line answers: {"columns": [...], "rows": [[...]]}, or what the action says, or {"error": ..., "hint": ...}. Whoever can open the
socket is the user who runs the server, and so a researcher.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import threading
from pathlib import Path
from typing import Any

import pandas as pd

from capsafe_core.analysis.actions import act
from capsafe_core.analysis.commands import table
from capsafe_core.errors import CapsafeError
from capsafe_core.people import Person
from capsafe_core.selection import Selection
from capsafe_core.store.desk import Desk

LONGEST = 1 << 28
"""bytes of a request: a file of labels may be among them"""


class Service:
    """Listens in a thread of its own."""

    def __init__(self, desk: Desk, path: Path) -> None:
        self._path = path
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = socketserver.ThreadingUnixStreamServer(str(path), _handler(desk))
        finally:
            os.umask(before)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="capsafe-socket", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)


def answer(desk: Desk, line: str) -> dict[str, Any]:
    """The answer to one request line; mistakes are answered, not raised."""
    try:
        asked = json.loads(line)
        if "do" in asked:
            return act(desk, str(asked["do"]), Person(str(asked["person"])), dict(asked["arguments"]))
        frame = table(desk.store, str(asked["table"]), Selection.from_query(dict(asked.get("selection", {}))))
        # floats as Python writes them, so that the asker prints the same digits as the owner would
        rows = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
        return {"columns": list(frame.columns), "rows": rows}
    except CapsafeError as error:
        return {"error": error.message, "hint": error.hint}
    except (ValueError, KeyError, TypeError) as error:
        return {"error": f"The request cannot be read: {error}.", "hint": ""}


def ask(path: Path, name: str, selection: Selection) -> pd.DataFrame:
    """Ask the owner for a table.

    Raises:
        CapsafeError: nobody listens, or the owner answers with an error.
    """
    reply = _request(path, {"table": name, "selection": selection.to_query()})
    return pd.DataFrame(reply["rows"], columns=reply["columns"])


def ask_to(path: Path, action: str, person: Person, arguments: dict[str, Any]) -> dict[str, Any]:
    """Ask the owner to do one of `analysis.actions`.

    Raises:
        CapsafeError: nobody listens, or the owner answers with an error.
    """
    return _request(path, {"do": action, "person": person.name, "arguments": arguments})


def _request(path: Path, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(path))
            connection.sendall((json.dumps(asked) + "\n").encode())
            with connection.makefile("r") as stream:
                reply: dict[str, Any] = json.loads(stream.readline())
    except (OSError, ValueError) as error:
        raise CapsafeError("The store is in use, and its owner does not answer.", "Close the program that uses it, or wait for it.") from error
    if "error" in reply:
        raise CapsafeError(reply["error"], reply["hint"])
    return reply


def _plain(value: Any) -> Any:
    """A numpy scalar as Python's own."""
    return value.item()


def _handler(desk: Desk) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline(LONGEST).decode("utf-8", "replace")
            self.wfile.write((json.dumps(answer(desk, line), default=_plain) + "\n").encode())

    return Handler
