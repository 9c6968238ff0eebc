"""Commands answered by whoever owns the store, over a Unix socket that only its user may open.

One JSON line asks: {"table": name, "selection": {query parameters}}; one JSON line answers:
{"columns": [...], "rows": [[...]]} or {"error": ..., "hint": ...}.
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

from capsafe_core.analysis.commands import table
from capsafe_core.errors import CapsafeError
from capsafe_core.selection import Selection
from capsafe_core.store import Store


class Service:
    """Listens in a thread of its own."""

    def __init__(self, store: Store, path: Path) -> None:
        self._path = path
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = socketserver.ThreadingUnixStreamServer(str(path), _handler(store))
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


def answer(store: Store, line: str) -> dict[str, Any]:
    """The answer to one request line; mistakes are answered, not raised."""
    try:
        asked = json.loads(line)
        frame = table(store, str(asked["table"]), Selection.from_query(dict(asked.get("selection", {}))))
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
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(path))
            connection.sendall((json.dumps({"table": name, "selection": selection.to_query()}) + "\n").encode())
            with connection.makefile("r") as stream:
                reply = json.loads(stream.readline())
    except (OSError, ValueError) as error:
        raise CapsafeError("The store is in use, and its owner does not answer.", "Close the program that uses it, or wait for it.") from error
    if "error" in reply:
        raise CapsafeError(reply["error"], reply["hint"])
    return pd.DataFrame(reply["rows"], columns=reply["columns"])


def _plain(value: Any) -> Any:
    """A numpy scalar as Python's own."""
    return value.item()


def _handler(store: Store) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline(1 << 20).decode("utf-8", "replace")
            self.wfile.write((json.dumps(answer(store, line), default=_plain) + "\n").encode())

    return Handler
