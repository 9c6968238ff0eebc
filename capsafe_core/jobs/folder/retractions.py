"""When all that a job brought was taken out of every number, or put back."""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BytesIO
from typing import Annotated

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder.files import append_line, is_torn, lines_in, read_lines, whole_lines
from capsafe_core.jobs.folder.job import Job
from capsafe_core.values import OneOf, Seconds

RETRACTIONS = "retractions.jsonl"


@dataclass(frozen=True)
class Retraction:
    """That all a job brought was taken out of every number, or put back."""

    action: Annotated[str, OneOf(("retract", "restore"))]
    happened: Seconds


def retractions_of(job: Job) -> list[Retraction]:
    """Every retraction and restoring of a job; a line that is torn or of another form is left out."""
    return read_lines(job.folder / RETRACTIONS, Retraction)


def retractions_in(content: bytes) -> list[Retraction]:
    """The same of what such a file holds."""
    return lines_in(BytesIO(content), Retraction)


def unread_retractions(job: Job) -> int:
    """How many lines of a job's retractions cannot be read."""
    path = job.folder / RETRACTIONS
    if not path.is_file():
        return int(os.path.lexists(path))
    with path.open("rb") as stream:
        lines = sum(1 for _ in whole_lines(stream)) + is_torn(stream)
    return lines - len(retractions_of(job))


def note_retraction(job: Job, retraction: Retraction) -> None:
    """Keep a retraction in the job's folder, on disk before this returns.

    Raises:
        CapsafeError: it cannot be written.
    """
    try:
        append_line(job.folder / RETRACTIONS, retraction.__dict__)
    except OSError as error:
        raise CapsafeError(
            f"The undoing of {job.job_id} cannot be kept in its folder: {error.strerror}.",
            "Free some space; until then a rebuilt store would count it.",
        ) from error
