"""Job folders as files to ship: manifests and status as they are, shards compressed."""

from __future__ import annotations

import gzip
import json
import os
import platform
import re
import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from capsafe_core import __version__
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, Status, list_jobs, open_job
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.record_job import recorded_study
from capsafe_core.records import FORMAT, digest_text
from capsafe_core.study import Study

LARGEST = 32 << 30
"""bytes of a bundle or of one of its shards, unpacked"""
KEPT = ("manifest.json", "head.json", "inputs.jsonl", "fitted.json")
"""what a job's folder holds besides its shards and their status, where it holds it"""
_NAME = re.compile(r"(?:study\.toml|versions\.json|jobs/[\w.+-]+/[\w.+-]+)")


def pack_bundle(study: Study, text: str, jobs: Path, job_ids: Sequence[str], target: Path) -> int:
    """Write a study as one file that another machine opens: its text, what made it, and the job folders that hold its facts.

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
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / "study.toml").write_text(text, encoding="utf-8")
        (root / "versions.json").write_text(
            json.dumps({"capsafe": __version__, "format": FORMAT, "python": platform.python_version(), "study": study.name, "study_digest": digest_text(text)}, indent=1)
        )
        for job in wanted:
            _pack(job, root / "jobs" / job.job_id)
        new = target.with_name(f"{target.name}.new")
        with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(p for p in root.rglob("*") if p.is_file()):
                archive.write(path, path.relative_to(root))
        new.replace(target)
    return len(wanted)


def unpack_bundle(source: Path, jobs: Path) -> str:
    """Put a bundle's job folders into a workspace; what is there already is left alone.

    Returns:
        The study's name.

    Raises:
        CapsafeError: it is no bundle, or of a newer capsafe.
    """
    try:
        with zipfile.ZipFile(source) as archive, tempfile.TemporaryDirectory() as scratch:
            names = archive.namelist()
            strange = [name for name in names if not _NAME.fullmatch(name) or ".." in name]
            if strange or "versions.json" not in names:
                raise CapsafeError(f"{source.name} is no bundle of capsafe" + (f": it holds {strange[0][:80]!r}." if strange else "."), "`capsafe export bundle` writes one.")
            about = json.loads(archive.read("versions.json"))
            if about.get("format") != FORMAT:
                raise CapsafeError(f"{source.name} has format {about.get('format')!r}; this capsafe reads format {FORMAT}.", "Update capsafe.")
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
                raise CapsafeError(f"{source.name} would unpack to more than {LARGEST >> 30} GB.", "No bundle is that large; do not trust it.")
            archive.extractall(scratch)  # names were checked: they stay inside
            for manifest in Path(scratch).glob("jobs/*/manifest.json"):
                manifest.write_text(json.dumps(_harmless(json.loads(manifest.read_text()))))
                for status in manifest.parent.glob("*.status.json"):
                    Status(**json.loads(status.read_text()))
                open_job(manifest.parent)
            unpack_jobs(Path(scratch), jobs)
            name = str(about["study"])
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError, zlib.error) as error:
        raise CapsafeError(f"{source.name} cannot be read as a bundle: {error}.", "It may be cut off; get it anew.") from error
    recorded_study(jobs, name)
    return name


def _harmless(value: Any) -> Any:
    """A manifest of somebody else without what would choose a program, or let code that comes with a model run."""
    if isinstance(value, dict):
        return {k: "" if k == "python" else _harmless(v) for k, v in value.items() if k not in ("trusted", "pickles")}
    return [_harmless(v) for v in value] if isinstance(value, list) else value


def pack_jobs(study: Study, text: str, jobs: Path, target: Path) -> int:
    """Write a study's finished jobs into target/jobs and what they took into target/provenance.json.

    Returns:
        How many jobs.

    Raises:
        CapsafeError: a job of the study is not done.
    """
    wanted = [j for j in list_jobs(jobs) if j.manifest.name == f"{study.name}-study"] + [open_job(jobs / m.job_id) for m in plan_study(study)]
    unfinished = [job.job_id for job in wanted if job.state != "done"]
    if unfinished:
        raise CapsafeError(f"These jobs are not done: {', '.join(unfinished[:3])}.", "Run the study to its end first.")
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
    for part in range(job.manifest.parts):
        if not job.path(part, "shard.jsonl").exists():
            continue
        if job.path(part, "status.json").exists():  # what people do has none
            status = {**json.loads(job.path(part, "status.json").read_text()), "host": "", "pid": 0}
            (folder / job.path(part, "status.json").name).write_text(json.dumps(status))
        with gzip.GzipFile(folder / f"{job.path(part, 'shard.jsonl').name}.gz", "wb", mtime=0) as out:
            out.write(job.path(part, "shard.jsonl").read_bytes())


def _provenance(study: Study, text: str, jobs: list[Job]) -> dict[str, object]:
    seconds: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for job in jobs:
        for part in range(job.manifest.parts):
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


def unpack_jobs(source: Path, jobs: Path) -> None:
    """Put packed jobs into a jobs folder; what is there already is left alone."""
    for packed in sorted((source / "jobs").glob("*/*")):
        target = jobs / packed.parent.name / packed.name.removesuffix(".gz")
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(f"{target.name}.unpacking")
        with gzip.open(packed) if packed.suffix == ".gz" else packed.open("rb") as stream, scratch.open("wb") as out:
            while piece := stream.read(1 << 20):
                if out.tell() > LARGEST:
                    scratch.unlink()
                    raise CapsafeError(f"{packed.name} unpacks to more than {LARGEST >> 30} GB.", "No job is that large; do not trust it.")
                out.write(piece)
        scratch.replace(target)
