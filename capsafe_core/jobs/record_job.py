"""Facts that need no worker: a job folder whose shard is written at once."""

from __future__ import annotations

import time
from pathlib import Path

from capsafe_core.jobs.folder import Job, Manifest, Part, create_job
from capsafe_core.records import digest_text
from capsafe_core.study import Study


def record_study(root: Path, study: Study, text: str) -> Job:
    """Declare a study: its text and the time, once for each version of the text."""
    job = create_job(root, Manifest("import", f"{study.name}-study", {"digest": digest_text(text)}))
    if job.state != "done":
        with Part(job) as part:
            if "study" not in part.done_units:
                part.write("study", [study.record(text, time.time())])
    return job
