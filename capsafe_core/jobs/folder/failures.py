"""The records of a part that failed: a line each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capsafe_core.jobs.folder.files import whole_lines
from capsafe_core.values import Seconds, Shape, parse_json, well_formed

LONGEST_MESSAGE = 4000
"""characters of why something failed"""


@dataclass(frozen=True)
class Failure:
    """A line of an errors file."""

    unit: str
    message: str
    time: Seconds


_FAILURE = Shape(Failure)


def failures_in(path: Path, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines of an errors file from a byte on, each with where it ends: unit, message, time.

    One that is being written is left out.
    """
    if path.is_file():
        with path.open("rb") as stream:
            stream.seek(start)
            for raw in whole_lines(stream):
                yield stream.tell(), _failure(raw)


def _failure(raw: bytes) -> dict[str, Any]:
    """What a line of an errors file says; one that is torn or of another form is its own message."""
    try:
        known = _FAILURE.known(parse_json(raw))
    except ValueError:
        known = {"unit": "", "message": raw[:LONGEST_MESSAGE].decode("utf-8", "replace").strip(), "time": 0.0}
    return {
        key: well_formed(value)[:LONGEST_MESSAGE] if type(value) is str else value
        for key, value in known.items()
    }
