"""Job folders as files to ship: manifests and status as they are, shards compressed."""

from __future__ import annotations

import datetime
import gzip
import json
import lzma
import os
import platform
import re
import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from capsafe_core import __version__
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.croissant import NAME as CROISSANT
from capsafe_core.jobs.croissant import croissant
from capsafe_core.jobs.folder import Job, Status, list_jobs, open_job, read_status
from capsafe_core.jobs.foreign import mark_foreign
from capsafe_core.jobs.new_run import planned
from capsafe_core.jobs.record_job import declarations, study_records
from capsafe_core.records import FORMAT, StudyRecord, digest_text, times_of
from capsafe_core.study import Study, recorded_text
from capsafe_core.values import is_to_come, parse_json, shown
from capsafe_core.writing import REFUSALS, refusal, whole

LARGEST = 32 << 30
"""bytes of a bundle, and of what its shards unpack to together"""
LARGEST_ABOUT = 1 << 20
"""bytes of what a bundle says of itself"""
UNREADABLE = (
    zipfile.BadZipFile,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,
    zlib.error,
    lzma.LZMAError,
)
"""what a damaged archive raises, one that is locked or packed in a way that Python does not know, or one
whose files are not what they are called"""
KEPT = ("manifest.json", "head.json", "inputs.jsonl", "fitted.json")
"""what a job's folder holds besides its shards and their status, where it holds it"""
_FILE = re.compile(r"part-[0-9]{3,6}\.(?:shard\.jsonl\.gz|status\.json)")
"""the only names of files that enter with a job besides those: what asks for work, stops it or marks it is
made here"""
_NAME = re.compile(r"(?:study\.toml|versions\.json|croissant\.json|jobs/[\w.+-]+/[\w.+-]+)", re.ASCII)


def pack_bundle(study: Study, text: str, jobs: Path, job_ids: Sequence[str], target: Path) -> int:
    """Write a study as one file that another machine opens: its text, what made it, and the job folders that
    hold its facts.

    Args:
        job_ids: as `store.export.jobs_of` finds them.

    Returns:
        How many jobs.

    Raises:
        CapsafeError: a job's folder is gone, or the file is there already.
    """
    if target.exists():
        raise CapsafeError(f"{target} exists already.", "Choose another name.")
    wanted = [open_job(jobs / job_id) for job_id in job_ids]
    with whole(target) as new, tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / "study.toml").write_text(text, encoding="utf-8")
        (root / "versions.json").write_text(
            json.dumps(
                {
                    "capsafe": __version__,
                    "format": FORMAT,
                    "python": platform.python_version(),
                    "study": study.name,
                    "study_digest": digest_text(text),
                },
                indent=1,
            )
        )
        for job in wanted:
            _pack(job, root / "jobs" / job.job_id)
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        about = croissant(study, digest_text(text), root, today)
        (root / CROISSANT).write_text(json.dumps(about, indent=1), encoding="utf-8")
        with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(p for p in root.rglob("*") if p.is_file()):
                archive.write(path, path.relative_to(root))
    return len(wanted)


@dataclass(frozen=True)
class Unpacked:
    """What a bundle brought.

    Attributes:
        study: its name.
        jobs: folders that are new here.
        there: folders of the same name that were here before, and were left alone.
        differs: whether the workspace had declared the study with another text.
    """

    study: str
    jobs: int
    there: int
    differs: bool

    @property
    def words(self) -> str:
        """What to know before working with it."""
        before = f" {self.there} of its jobs were here already and were left alone." if self.there else ""
        other = (
            " Its text differs from the one declared here; yours is shown until you adopt it."
            if self.differs
            else ""
        )
        return (
            f"The study {self.study!r} is here: {self.jobs} jobs.{before}{other} Its facts can be "
            f"explored at once. Nothing of it runs until you adopt it: `capsafe adopt {self.study}`."
        )


def unpack_bundle(source: Path, jobs: Path) -> Unpacked:
    """Put a bundle's job folders into a workspace, marked as foreign; a folder that is there already is left
    alone.

    Only files with known names enter, each read here before it is in its place.

    Raises:
        CapsafeError: it is not a bundle, or of a newer capsafe.
    """
    try:
        with zipfile.ZipFile(source) as archive, tempfile.TemporaryDirectory() as scratch:
            about = _about(archive, source)
            archive.extractall(scratch)  # names were checked: they stay inside
            name = str(about["study"])
            before = _texts(jobs, name)
            new, there = unpack_jobs(Path(scratch), jobs, source.name, name)
            study = Unpacked(name, new, there, bool(before) and not _texts(jobs, name) <= before)
    except OSError as error:
        if error.errno in REFUSALS:
            raise refusal(error, jobs) from error
        raise CapsafeError(
            f"{source.name} cannot be read as a bundle: {error.strerror or error}.",
            "Check the path, or fetch it again.",
        ) from error
    except UNREADABLE as error:
        raise CapsafeError(
            f"{source.name} cannot be read as a bundle: {error}.", "It may be truncated; fetch it again."
        ) from error
    return study


def _about(archive: zipfile.ZipFile, source: Path) -> dict[str, Any]:
    """What a bundle says of itself; raises where it is none, or holds more than a bundle does."""
    names = archive.namelist()
    strange = [name for name in names if not _NAME.fullmatch(name) or ".." in name]
    if strange or "versions.json" not in names:
        more = f": it holds {strange[0][:80]!r}." if strange else "."
        raise CapsafeError(
            f"{source.name} is not a bundle of capsafe{more}", "`capsafe export bundle` writes one."
        )
    if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
        raise CapsafeError(
            f"{source.name} would unpack to more than {LARGEST >> 30} GB.",
            "No bundle is that large; do not trust it.",
        )
    with archive.open("versions.json") as stream:
        about = parse_json(stream.read(LARGEST_ABOUT))
    if not (isinstance(about, dict) and isinstance(about.get("study"), str)):
        raise ValueError("its versions.json names no study")
    if about.get("format") != FORMAT:
        raise CapsafeError(
            f"{source.name} has format {about.get('format')!r}; this capsafe reads format {FORMAT}.",
            "Update capsafe.",
        )
    return about


def _texts(jobs: Path, study: str) -> set[str]:
    """Digests of the texts that a workspace has of a study."""
    return {digest_text(record.text) for record in study_records(jobs, study)}


def pack_jobs(study: Study, text: str, jobs: Path, target: Path) -> int:
    """Write a study's finished jobs into target/jobs and what they took into target/provenance.json.

    Returns:
        How many jobs.

    Raises:
        CapsafeError: a job of the study is not done.
    """
    wanted = list({job.job_id: job for job, _ in declarations(jobs, study.name)}.values())
    wanted += [open_job(jobs / m.job_id) for m in planned(jobs, study)]
    wanted += [
        job
        for job in list_jobs(jobs)
        if (job.manifest.kind, job.manifest.study, job.state) == ("stress", study.name, "done")
    ]
    unfinished = [job.job_id for job in wanted if job.state != "done"]
    if unfinished:
        raise CapsafeError(
            f"These jobs are not done: {', '.join(unfinished[:3])}.", "Run the study to its end first."
        )
    shutil.rmtree(target / "jobs", ignore_errors=True)
    for job in wanted:
        _pack(job, target / "jobs" / job.job_id)
    (target / "provenance.json").write_text(json.dumps(_provenance(study, text, wanted), indent=1) + "\n")
    return len(wanted)


def _pack(job: Job, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in KEPT:
        if (job.folder / name).exists():
            shutil.copy(job.folder / name, folder)
    for part in job.parts_with("shard.jsonl"):
        if job.path(part, "status.json").exists():  # what people do has none
            status = {**json.loads(job.path(part, "status.json").read_text()), "host": "", "pid": 0}
            (folder / job.path(part, "status.json").name).write_text(json.dumps(status))
        with gzip.GzipFile(folder / f"{job.path(part, 'shard.jsonl').name}.gz", "wb", mtime=0) as out:
            out.write(job.path(part, "shard.jsonl").read_bytes())


def _provenance(study: Study, text: str, jobs: list[Job]) -> dict[str, object]:
    seconds: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for job in jobs:
        for part in job.parts_with("status.json"):
            seconds[job.manifest.kind] += round(job.status(part).seconds)
            tokens[job.manifest.kind] += job.status(part).tokens
    return {
        "study": study.name,
        "study_digest": digest_text(text),
        "primary_digest": study.primary_digest,
        "capsafe": __version__,
        "jobs": dict(Counter(job.manifest.kind for job in jobs)),
        "working_seconds": dict(seconds),
        "tokens": {kind: n for kind, n in tokens.items() if n},
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "seeds": sorted({seed for recipe in study.recipes for seed in recipe.seeds}),
    }


def unpack_jobs(source: Path, jobs: Path, origin: str = "", study: str = "") -> tuple[int, int]:
    """Put packed jobs into a jobs folder, each whole or not at all; a folder that is there already is left
    alone.

    Args:
        source: the folder with packed `jobs`.
        jobs: the workspace's.
        origin: where they came from, when that is not this workspace or this program; they are then marked as
            foreign.
        study: the study that they came with.

    Returns:
        How many folders are new, and how many were there.

    Raises:
        CapsafeError: a folder is not a job, or all unpack to more than LARGEST; nothing was put in place.
    """
    jobs.mkdir(parents=True, exist_ok=True)
    packed = sorted(path for path in (source / "jobs").glob("*") if path.is_dir())
    new = [folder for folder in packed if not (jobs / folder.name).exists()]
    # in the jobs folder, so that a rename puts a folder in its place; one level too deep for readers of jobs
    with tempfile.TemporaryDirectory(dir=jobs, prefix=".unpacking-") as scratch:
        room = LARGEST
        for folder in new:
            room -= _unpack(folder, Path(scratch) / folder.name, room)
        if origin:
            texts = [t for folder in new for t in texts_in(open_job(Path(scratch) / folder.name), origin)]
            studies = {text.name for text in texts}
            if study:
                _require_texts(texts, study, origin, here=bool(study_records(jobs, study)))
            for folder in new:
                mark_foreign(Path(scratch) / folder.name, origin, studies | ({study} if study else set()))
        moved: list[Path] = []
        try:
            for folder in new:
                moved.append((Path(scratch) / folder.name).rename(jobs / folder.name))
        except OSError:
            for there in moved:
                shutil.rmtree(there, ignore_errors=True)
            raise
    return len(new), len(packed) - len(new)


def _require_texts(texts: Sequence[StudyRecord], study: str, origin: str, here: bool) -> None:
    """Refuse what brings a text of another study, or one that cannot be read: each may become the newest.

    Args:
        here: whether the workspace has a text of the study, so that none has to come.

    Raises:
        CapsafeError: so it is, or there is none.
    """
    others = {text.name for text in texts} - {study}
    if others:
        raise CapsafeError(
            f"{origin} holds a text of another study, {min(others)!r}.",
            "A bundle is about one study; do not trust it.",
        )
    for text in texts:
        recorded_text(text.text, study)
    if not texts and not here:
        raise CapsafeError(
            f"{origin} holds no text of the study it names, {study!r}, and neither does this workspace.",
            "Nothing of it was kept. Export the bundle again where it was made.",
        )


def _unpack(packed: Path, folder: Path, room: int) -> int:
    """One packed job, with those of its files that a job's folder may bring; how many bytes they have.

    Raises:
        CapsafeError: they have more than there is room for.
    """
    folder.mkdir()
    left = room
    for path in sorted(packed.iterdir()):
        if path.name not in KEPT and not _FILE.fullmatch(path.name):
            continue
        target = folder / path.name.removesuffix(".gz")
        if path.name.endswith(".status.json"):
            target.write_text(json.dumps(asdict(ended(read_status(path)))))
            continue
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream, target.open("wb") as out:
            while piece := stream.read(1 << 20):
                left -= len(piece)
                if left < 0:
                    raise CapsafeError(
                        f"The packed jobs unpack to more than {LARGEST >> 30} GB together.",
                        "No study is that large; do not trust it.",
                    )
                out.write(piece)
    open_job(folder)
    return room - left


def ended(status: Status) -> Status:
    """A packed part's status: it may have ended, but it is not at work here."""
    return replace(
        status, state=status.state if status.state in ("done", "partial") else "stopped", host="", pid=0
    )


def texts_in(job: Job, origin: str) -> list[StudyRecord]:
    """The texts of studies that a job holds, in whichever kind of job.

    Raises:
        CapsafeError: something in it is dated later than now.
    """
    texts = []
    for record in job.records():
        if late := [when for when in (job.manifest.created, *times_of(record)) if is_to_come(when)]:
            raise CapsafeError(
                f"{origin} holds something that has not happened yet: {record.type} of {shown(late[0])} "
                "seconds since 1970.",
                "Where it was made a clock was wrong; it would be the newest for ever, so nothing was kept.",
            )
        if isinstance(record, StudyRecord):
            texts.append(record)
    return texts
