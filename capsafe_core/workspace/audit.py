"""Who did what: a log to which every action that is asked for is added, whether its role allows it or not.

The log, `audit.jsonl` beside the job folders, gets one JSON line before an action is done and one when it has
ended. Lines are only added, never changed; each holds the digest of the line before it, so that one that was
changed or taken out is noticed. Of what an action was given it holds names and numbers, no texts: answers,
keys and whole files never get into it. Labels are not in it; each is a record with its annotator.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import time
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.people import RESEARCHER, Person
from capsafe_core.replica import must_be_owner
from capsafe_core.settings import Settings
from capsafe_core.values import parse_json
from capsafe_core.writing import refusal

FILE = "audit.jsonl"
TOLD = (
    *("job", "jobs", "study", "queue", "name", "form", "state", "undo", "more", "texts", "item", "people"),
    *("dimension", "label", "judge", "engine", "server", "version"),
)
"""what of an action's arguments is noted"""
LONGEST = 120
"""characters of a text that is noted"""
COLUMNS = ("when", "who", "role", "action", "about", "ended")
"""of a table of actions; `when` is UTC"""
_TAIL = 1 << 16


@contextmanager
def doing(
    jobs: Path,
    person: Person,
    action: str,
    arguments: dict[str, Any],
    role: str = RESEARCHER,
    looks: bool = False,
) -> Iterator[None]:
    """Let a person do something, where their role allows it, and note it before and after; a replica, which
    leaves the job folders alone, only lets people look, and notes nothing.

    Args:
        jobs: folder of the job folders.
        role: that it needs at least, and `looks`: whether it goes on where the log cannot be written, as
            `workspace.actions.Action` has them.

    Raises:
        NotAllowedError: their role is too low, or this is a replica.
        CapsafeError: the log cannot be written; nothing was done then.
    """
    if Settings().replica_of:
        if not looks:
            must_be_owner()
        person.must_be(role)
        yield
        return
    if isinstance(people := arguments.get("people"), list):
        arguments = {**arguments, "people": ", ".join(map(str, people))}
    of = {name: _short(arguments[name]) for name in TOLD if _is_told(arguments.get(name))}
    begun = {"id": uuid.uuid4().hex[:12], "who": person.name, "role": person.role, "action": action, "of": of}
    ended = "failed"
    _note(jobs, begun, looks)
    try:
        person.must_be(role)
        yield
        ended = "done"
    except NotAllowedError:
        ended = "refused"
        raise
    finally:
        with suppress(CapsafeError):  # it stands there as one that did not end
            _note(jobs, {"id": begun["id"], "ended": ended}, looks)


def _is_told(value: Any) -> bool:
    return isinstance(value, bool | int) or (isinstance(value, str) and bool(value))


def _short(value: Any) -> Any:
    return value[:LONGEST] if isinstance(value, str) else value


def _note(jobs: Path, entry: dict[str, Any], looks: bool) -> None:
    path = jobs / FILE
    try:
        jobs.mkdir(parents=True, exist_ok=True)
        _append(path, {**entry, "time": round(time.time(), 3)})
    except OSError as error:
        if not looks:
            raise refusal(error, path) from error


def _append(path: Path, entry: dict[str, Any]) -> None:
    """Add a line, behind a line break where the last one was cut, and sync."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with open(os.open(path, flags, 0o600), "rb+", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise FileExistsError(f"{path} is not a file")
        fcntl.flock(stream, fcntl.LOCK_EX)
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _TAIL))
        tail = stream.read(_TAIL)
        last = tail.removesuffix(b"\n").rpartition(b"\n")[2]
        line = json.dumps({**entry, "after": _digest(last)}).encode("utf-8", "replace")
        stream.write((b"\n" if tail and not tail.endswith(b"\n") else b"") + line + b"\n")
        os.fsync(stream.fileno())


def _digest(line: bytes) -> str:
    return hashlib.blake2b(line, digest_size=8).hexdigest() if line else ""


@dataclass
class Audit:
    """What the log holds.

    Attributes:
        rows: one for each action, the newest first, with COLUMNS.
        problems: what is wrong with the log, as sentences.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_audit(jobs: Path, most: int = 200) -> Audit:
    """The newest actions of the log.

    Raises:
        CapsafeError: it cannot be read.
    """
    path = jobs / FILE
    found, begun, last = Audit(), dict[str, dict[str, Any]](), b""
    newest = deque[str](maxlen=max(1, most))
    broken, unreadable = list[int](), list[int]()
    try:
        if path.exists() and not path.is_file():
            raise FileExistsError(f"{path} is not a file")
        with path.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                line = raw.removesuffix(b"\n")
                try:
                    entry = parse_json(line)
                    is_chained = entry["after"] == _digest(last)
                    if "action" in entry:
                        if len(newest) == newest.maxlen:
                            begun.pop(newest[0], None)
                        newest.append(entry["id"])
                        begun[entry["id"]] = _row(entry)
                    elif entry["id"] in begun:
                        begun[entry["id"]]["ended"] = str(entry["ended"])
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                    unreadable.append(number)
                else:
                    if not is_chained:
                        broken.append(number)
                last = line
    except FileNotFoundError:
        return found
    except OSError as error:
        raise CapsafeError(
            f"{path} cannot be read: {error.strerror or error}.", "Check its rights."
        ) from error
    found.rows = [begun[key] for key in reversed(newest) if key in begun]
    for numbers, what in ((unreadable, "cannot be read"), (broken, "does not follow the line before it")):
        if numbers:
            more = f", and {len(numbers) - 1} more" if len(numbers) > 1 else ""
            found.problems.append(f"Line {numbers[0]} of {path} {what}{more}.")
    return found


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    about = ", ".join(f"{name} {value}" for name, value in dict(entry["of"]).items())
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(float(entry["time"])))
    told = {name: str(entry[name]) for name in ("who", "role", "action")}
    return {"when": when, **told, "about": about, "ended": "not finished"}
