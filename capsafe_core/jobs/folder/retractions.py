"""When all that a job brought was taken out of every number, or put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder.files import append_line, read_lines
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
