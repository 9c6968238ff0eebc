"""Job folders in an archive that several people fill: which of their files it keeps, and how they come back.

A shard is kept line by line and only ever gets longer; every other file is kept whole, each version of it.
What comes back is somebody else's work, so it is marked as foreign, as what a bundle brings.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import RETRACTIONS, Job, list_jobs, open_job, read_status, retractions_in
from capsafe_core.jobs.folder.files import LARGEST_FILE
from capsafe_core.jobs.foreign import is_foreign, mark_foreign, origin_of
from capsafe_core.jobs.packing import KEPT, ended, texts_in
from capsafe_core.study import recorded_text
from capsafe_core.text import visible

STATUS, ERRORS = ".status.json", ".errors.jsonl"
_SHARD = re.compile(r"part-[0-9]{3,6}\.shard\.jsonl")
_OF_PART = re.compile(r"part-[0-9]{3,6}\.(?:status\.json|errors\.jsonl)")
_FIXED = ("manifest.json", "head.json", "inputs.jsonl")
"""what a job was asked to do, which never changes under its id"""
LONGEST_NAME = 255
"""bytes of a folder's name"""


def is_shard_name(name: str) -> bool:
    """Whether a file of a job's folder is kept line by line."""
    return _SHARD.fullmatch(name) is not None


def is_file_name(name: str) -> bool:
    """Whether a file of a job's folder is kept whole: all others stay where they are."""
    return name in KEPT or name == RETRACTIONS or _OF_PART.fullmatch(name) is not None


def is_job_name(name: str) -> bool:
    """Whether a name from elsewhere can be that of a job's folder, and of nothing else."""
    return (
        name == Path(name).name
        and not name.startswith(".")
        and len(name.encode("utf-8", "replace")) <= LONGEST_NAME
        and name.isprintable()
        and visible(name) == name
    )


def whole_files(job: Job) -> Iterator[tuple[str, bytes]]:
    """The files of a job that are kept whole, with their content: the status of a part without the machine
    that worked on it, lists of errors without a last line that is being written.

    Raises:
        CapsafeError: one cannot be read.
    """
    parts = [job.path(p, "status.json").name for p in job.parts_with("status.json")]
    parts += [job.path(p, "errors.jsonl").name for p in job.parts_with("errors.jsonl")]
    for name in (*KEPT, RETRACTIONS, *parts):
        path = job.folder / name
        if not os.path.lexists(path):
            continue
        try:
            if not path.is_file() or path.stat().st_size > LARGEST_FILE:
                raise ValueError(f"it is not a file of at most {LARGEST_FILE >> 20} MB")
            yield name, _as_kept(path)
        except (OSError, ValueError, TypeError) as error:
            raise CapsafeError(
                f"The {name} of {job.job_id} cannot be read: {error}.", "Restore it from a copy."
            ) from error


def _as_kept(path: Path) -> bytes:
    if path.name.endswith(STATUS):
        return json.dumps(asdict(replace(read_status(path), host="", pid=0, born=0.0))).encode()
    content = path.read_bytes()
    return content[: content.rfind(b"\n") + 1] if path.name.endswith(ERRORS) else content


def all_undone(content: bytes, other: bytes) -> bytes:
    """What two files of a job's retractions hold together, in the order of time; `other` where it holds all:
    what was undone anywhere stays undone until a person restores it."""
    had, new = retractions_in(other), retractions_in(content)
    if set(new) <= set(had):
        return other
    lines = sorted({*had, *new}, key=lambda retraction: retraction.happened)
    return "".join(json.dumps(asdict(line)) + "\n" for line in lines).encode()


@dataclass(frozen=True)
class Arrival:
    """A job that comes out of an archive into a folder beside those of the workspace.

    Attributes:
        source: where it comes from, and from whom.
        is_new: whether the workspace has no such folder; else the one that it has came from the same source
            and may grow.
    """

    job_id: str
    source: str
    is_new: bool


def arrival(root: Path, job_id: str, source: str) -> Arrival | None:
    """How a job would come into a workspace; None where the workspace has one of its own of that id, or one
    from elsewhere."""
    if not os.path.lexists(root / job_id):
        return Arrival(job_id, source, True)
    origin = origin_of(root / job_id)
    same = origin is not None and origin.own_since is None and origin.source == source
    return Arrival(job_id, source, False) if same else None


def begin(root: Path, scratch: Path, coming: Arrival) -> None:
    """Make the folder into which a job's files are written; one that grows starts with what it has."""
    folder = scratch / coming.job_id
    folder.mkdir()
    if not coming.is_new:
        for path in sorted((root / coming.job_id).iterdir()):
            if is_shard_name(path.name) or is_file_name(path.name):
                shutil.copyfile(path, folder / path.name)


def settle(root: Path, scratch: Path, coming: Sequence[Arrival]) -> set[str]:
    """Put jobs that have arrived whole into a workspace, marked as foreign.

    Args:
        scratch: holds a folder for each; on the disk of `root`.

    Returns:
        Those that are new, or have something new.

    Raises:
        CapsafeError: one is not a job, or brings a study's text that cannot be read or is dated later than
            now; nothing was put in place.
    """
    studies = {one.job_id: _studies_in(scratch / one.job_id, one.source) for one in coming}
    every: dict[str, set[str]] = {}
    for one in coming:
        every.setdefault(one.source, set()).update(studies[one.job_id])
    brought = time.time()
    for one in coming:
        _end_parts(scratch / one.job_id)
        known = origin_of(root / one.job_id) if not one.is_new else None
        # labels and the like are of no one study, and are adopted with any that came along
        of = (studies[one.job_id] or every[one.source]) | set(known.studies if known else ())
        mark_foreign(scratch / one.job_id, one.source, of, known.brought if known else brought)
    moved: list[Path] = []
    try:
        for one in coming:
            if one.is_new:
                moved.append((scratch / one.job_id).rename(root / one.job_id))
    except OSError:
        for there in moved:
            shutil.rmtree(there, ignore_errors=True)
        raise
    grown = [one for one in coming if not one.is_new and _grow(root / one.job_id, scratch / one.job_id)]
    return {one.job_id for one in (*(c for c in coming if c.is_new), *grown)}


def waiting_studies(root: Path, job_ids: Iterable[str]) -> tuple[list[str], list[str]]:
    """The studies of some jobs from elsewhere that nobody has adopted; and those of them of which the
    workspace has jobs of its own, which do not run either until then."""
    origins = [origin_of(root / job_id) for job_id in job_ids if is_foreign(root / job_id)]
    waiting = {study for origin in origins if origin is not None for study in origin.studies}
    own = {job.manifest.study for job in list_jobs(root) if not is_foreign(job.folder)} if waiting else set()
    return sorted(waiting), sorted(waiting & own)


def _studies_in(folder: Path, source: str) -> set[str]:
    """The studies that a job belongs to: of which it holds a text, and that its manifest names."""
    job = open_job(folder)
    texts = texts_in(job, source)
    for text in texts:
        recorded_text(text.text, text.name)
    return {text.name for text in texts} | ({job.manifest.study} - {""})


def _end_parts(folder: Path) -> None:
    """Parts may have ended, but they are not at work here."""
    for path in folder.glob(f"*{STATUS}"):
        try:
            path.write_text(json.dumps(asdict(ended(read_status(path)))))
        except ValueError as error:
            raise CapsafeError(
                f"The {path.name} of {folder.name} cannot be read: {error}.", "Do not trust its archive."
            ) from error


def _grow(folder: Path, arrived: Path) -> bool:
    """Put what is new of a job into the folder that is there: facts first, then how far it is; whether there
    was anything."""
    undone = arrived / RETRACTIONS
    if undone.exists() and (folder / RETRACTIONS).exists():
        undone.write_bytes(all_undone(undone.read_bytes(), (folder / RETRACTIONS).read_bytes()))
    new = [p for p in arrived.iterdir() if p.name not in _FIXED and not _same(p, folder / p.name)]
    for path in sorted(new, key=lambda p: (p.name.endswith(STATUS), p.name)):
        path.replace(folder / path.name)
    return bool(new)


def _same(one: Path, other: Path) -> bool:
    if not other.is_file() or one.stat().st_size != other.stat().st_size:
        return False
    return is_shard_name(one.name) or one.read_bytes() == other.read_bytes()
