"""Facts that need no worker: a job folder whose shard is written at once."""

from __future__ import annotations

import time
from pathlib import Path

from capsafe_core.errors import BusyError, CapsafeError
from capsafe_core.jobs.folder import Job, Manifest, Part, list_jobs
from capsafe_core.jobs.folder.work import StudyWork
from capsafe_core.jobs.foreign import is_foreign, own_job
from capsafe_core.records import StudyRecord, digest_text
from capsafe_core.study import Study, recorded_text


def recorded_study(root: Path, name: str) -> tuple[Study, str]:
    """The newest version of a study that was declared in a workspace, and its text; a foreign one where there
    is no other.

    Raises:
        CapsafeError: there is none.
    """
    records = own_records(root, name) or study_records(root, name)
    if not records:
        raise CapsafeError(
            f"No study {name!r} was run in this workspace.", "Name one that was, or a study file."
        )
    newest = max(records, key=lambda record: record.declared)
    return recorded_text(newest.text, name), newest.text


def study_records(root: Path, name: str) -> list[StudyRecord]:
    """Every text of a study that was declared in a workspace, or came into it."""
    return [record for _, record in declarations(root, name)]


def own_records(root: Path, name: str) -> list[StudyRecord]:
    """Every text of a study that was declared in a workspace or adopted there, in the order of their
    times."""
    own = [record for job, record in declarations(root, name) if not is_foreign(job.folder)]
    return sorted(own, key=lambda record: record.declared)


def declarations(root: Path, name: str) -> list[tuple[Job, StudyRecord]]:
    """The jobs that declare a study, each with the text; of jobs from before manifests carried it, too."""
    jobs = [job for job in list_jobs(root) if job.manifest.declares and job.manifest.study in (name, "")]
    return [(job, r) for job in jobs for r in job.records() if isinstance(r, StudyRecord) and r.name == name]


def record_study(root: Path, study: Study, text: str) -> Job:
    """Declare a study: its text and the time, after those before it, also where the clock was set back.

    The text that is the newest already is not declared again; an earlier one is, and so becomes the newest.
    """
    digest = digest_text(text)
    before = own_records(root, study.name)
    same = [record for record in before if record.digest == digest]
    again = same[-1].again + (before[-1] != same[-1]) if same else 0
    job = own_job(root, Manifest.of(study.name, f"{study.name}-study", StudyWork(digest, again)))
    while job.state != "done":
        try:
            with Part(job) as part:
                if "study" not in part.done_units:
                    last = max((r.declared for r in own_records(root, study.name)), default=0.0)
                    now = max(time.time(), last + 1e-3)
                    part.write("study", [study.record(text, now, again)])
        except BusyError:  # another worker of the same study is recording it
            time.sleep(0.1)
    return job
