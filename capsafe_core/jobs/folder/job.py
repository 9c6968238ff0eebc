"""A job folder, read: what it is to do, how far it is, and what it brought."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder.blocks import committed_blocks, ignore
from capsafe_core.jobs.folder.failures import failures_in
from capsafe_core.jobs.folder.files import is_text, named, replace_file
from capsafe_core.jobs.folder.manifest import Manifest, read_manifest
from capsafe_core.jobs.folder.status import Status, is_alive, read_status
from capsafe_core.records import Record, Rows

_PART = re.compile(r"part-([0-9]{3,6})\.")


@dataclass(frozen=True)
class Job:
    """A job folder, read."""

    folder: Path
    manifest: Manifest

    @property
    def job_id(self) -> str:
        return self.folder.name

    def path(self, part: int, what: str) -> Path:
        return self.folder / f"part-{part:03d}.{what}"

    def status(self, part: int = 0) -> Status:
        """The part's status; a worker that died without a word is `lost`."""
        try:
            status = read_status(self.path(part, "status.json"))
        except FileNotFoundError:
            return Status()
        except (OSError, ValueError):
            return Status(state="lost", message="Its status file cannot be read.", hint="Resume the job.")
        if status.state == "running" and not is_alive(status):
            return Status(
                **{
                    **status.__dict__,
                    "state": "lost",
                    "message": "The worker ended without a word.",
                    "hint": "Resume the job.",
                }
            )
        return status

    def parts_with(self, what: str) -> list[int]:
        """The parts of which there is a file of some kind, in order: a manifest may name thousands that were
        never begun."""
        try:
            names = set(os.listdir(self.folder))
        except OSError:
            return []
        numbers = sorted(int(match[1]) for match in map(_PART.match, names) if match)
        return [
            part
            for part in dict.fromkeys(numbers)
            if part < self.manifest.parts and self.path(part, what).name in names
        ]

    @property
    def statuses(self) -> list[Status]:
        """The status of every part."""
        statuses = [Status()] * self.manifest.parts
        for part in self.parts_with("status.json"):
            statuses[part] = self.status(part)
        return statuses

    @property
    def begun(self) -> list[Status]:
        """The status of every part that has one, and one that waits where others were never begun."""
        statuses = [self.status(part) for part in self.parts_with("status.json")]
        return statuses + [Status()] * (len(statuses) < self.manifest.parts)

    @property
    def state(self) -> str:
        """One word for the whole job: the least finished of its parts."""
        states = {status.state for status in self.begun}
        for state in ("failed", "lost", "running", "stopped", "waiting", "partial"):
            if state in states:
                return state
        return "done"

    @property
    def ended(self) -> bool:
        """Whether those that come after this job can start: everything is there but what failed."""
        return self.state in ("done", "partial")

    def failures(self, part: int) -> list[dict[str, Any]]:
        """The records of a part that failed, of every run: unit, message, time.

        A line that is being written is left out.
        """
        return [failure for _, failure in failures_in(self.path(part, "errors.jsonl"))]

    @property
    def stop_asked(self) -> bool:
        return (self.folder / "stop").exists()

    def ask_to_stop(self) -> None:
        (self.folder / "stop").touch()

    def clear_stop(self) -> None:
        (self.folder / "stop").unlink(missing_ok=True)

    def records(self) -> Iterator[Record]:
        """Every committed record of every part that can be used; the store's owner tells of the others."""
        for part in self.parts_with("shard.jsonl"):
            yield from self.part_records(part)

    def part_records(self, part: int) -> Iterator[Record]:
        """Every committed record of one part that can be used."""
        for block in committed_blocks(self.path(part, "shard.jsonl")):
            for record in block.records(ignore):
                if isinstance(record, Rows):
                    yield from record.records()
                else:
                    yield record


def create_job(root: Path, manifest: Manifest) -> Job:
    """The folder for a manifest; the one that exists already where the same work was asked for before."""
    folder = root / manifest.job_id
    if not (folder / "manifest.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            replace_file(
                folder / "manifest.json", json.dumps({**manifest.__dict__, "created": time.time()}, indent=1)
            )
        except CapsafeError:
            with suppress(OSError):
                folder.rmdir()
            raise
    return open_job(folder)


def open_job(folder: Path) -> Job:
    """Read a job folder.

    Raises:
        CapsafeError: there is no readable manifest.
    """
    if not is_text(folder.name):  # a name of other bytes can be a key nowhere
        raise CapsafeError(
            f"The job folder {named(folder)} has a name that is not UTF-8.",
            "Rename it; the other jobs were read.",
        )
    try:
        return Job(folder, read_manifest(folder / "manifest.json"))
    except FileNotFoundError as error:
        raise CapsafeError(
            f"{named(folder)} is not a job folder: it has no manifest.json.", "Check the path."
        ) from error
    except (OSError, ValueError) as error:
        raise CapsafeError(
            f"The manifest in {named(folder)} cannot be read: {error}.",
            "Delete the folder and start the job again.",
        ) from error


def folder_beside(folder: Path, job_id: str) -> Path:
    """The folder of another job of the same workspace.

    Raises:
        CapsafeError: what a manifest names is not a job's name, but a way to somewhere else.
    """
    if Path(job_id).name != job_id or job_id in ("", ".."):
        raise CapsafeError(
            f"The job {named(folder)} names {job_id!r}, which is not the name of a job.",
            "Do not trust where it came from.",
        )
    return folder.parent / job_id


def list_jobs(root: Path) -> list[Job]:
    """All jobs, oldest first; `read_jobs` also tells why others are left out."""
    return read_jobs(root)[0]


def read_jobs(root: Path) -> tuple[list[Job], list[CapsafeError]]:
    """All jobs, oldest first, and why folders that hold a manifest are none."""
    jobs, problems = [], []
    for path in root.glob("*/manifest.json"):
        try:
            jobs.append(open_job(path.parent))
        except CapsafeError as error:
            problems.append(error)
    return sorted(jobs, key=lambda job: (job.manifest.created, job.job_id)), sorted(problems, key=str)
