"""Job folders as files to ship: manifests and status as they are, shards compressed."""

from __future__ import annotations

import gzip
import json
import os
import platform
import shutil
from collections import Counter
from pathlib import Path

from capsafe_core import __version__
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, list_jobs, open_job
from capsafe_core.jobs.plan import plan_study
from capsafe_core.records import digest_text
from capsafe_core.study import Study


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
    shutil.copy(job.folder / "manifest.json", folder)
    for part in range(job.manifest.parts):
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
            shutil.copyfileobj(stream, out)
        scratch.replace(target)
