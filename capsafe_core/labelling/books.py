"""What is decided for all queues: rulings on what people disagree on, and the guidelines."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from capsafe_core.annotation import LONGEST_NOTE, QUESTIONS, Guidelines, read_guidelines, shipped_guidelines
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, Manifest, Shard, list_jobs
from capsafe_core.jobs.foreign import is_foreign, own_job
from capsafe_core.labelling.open_queue import KIND
from capsafe_core.people import Person
from capsafe_core.records import GuidelinesRecord, LabelEvent, Record, check_records
from capsafe_core.store.ingest import ingest_job
from capsafe_core.store.labels import last_ruling, standing_ruling
from capsafe_core.store.store import Store

RULINGS = "adjudications"
GUIDELINES = "guidelines"


class Books:
    """Rulings and guidelines of a workspace, each in a job folder of its own. Any thread may call.

    Args:
        store: where rulings are read.
        jobs: folder of the job folders.
    """

    def __init__(self, store: Store, jobs: Path) -> None:
        self.store, self.jobs = store, jobs
        self._lock = threading.RLock()
        self._shards: dict[str, Shard] = {}
        self._guidelines: Guidelines | None = None

    def close(self) -> None:
        """Let go of every shard."""
        with self._lock:
            for shard in self._shards.values():
                shard.close()
            self._shards.clear()

    def adjudicate(
        self,
        person: Person,
        generation: str,
        cell: str,
        dimension: str,
        label: str | None,
        note: str = "",
        expected: str | None = None,
    ) -> LabelEvent:
        """Settle what people disagree on; without a label, open the question again.

        Args:
            expected: the event id of the ruling that the person saw, "" for none; a newer one by somebody
                else is not overruled unseen. None overrules whatever is there.

        Raises:
            CapsafeError: the person is not a researcher, or somebody else decided meanwhile.
        """
        person.must_be("researcher")
        if label is not None and label not in QUESTIONS[dimension].answers:
            raise CapsafeError(
                f"{label!r} is not a label of {dimension}.",
                f"Use one of {', '.join(QUESTIONS[dimension].answers)}.",
            )
        with self._lock:
            shard, job = self._book(RULINGS)
            ingest_job(self.store, job)
            standing = standing_ruling(self.store, generation, dimension)
            if expected is not None and (standing.event_id if standing else "") != expected:
                raise CapsafeError(
                    f"Somebody decided this meanwhile: {standing.label if standing else 'open again'}. Your "
                    "decision was not written over it.",
                    "Look at theirs, and decide again if you still disagree.",
                )
            last = last_ruling(self.store, generation, dimension)
            now = max(time.time(), last + 1e-3)  # the newest counts, also where the clock was set back
            event = LabelEvent(
                str(uuid.uuid4()),
                generation,
                cell,
                person.rater.id,
                dimension,
                "reopen" if label is None else "adjudicate",
                label,
                now,
                now,
                note=note[:LONGEST_NOTE],
            )
            append(shard, [event.event_id], [person.rater, event])
            ingest_job(self.store, job)
        return event

    def save_guidelines(self, person: Person, text: str) -> Guidelines:
        """Keep a new version of the guidelines.

        Raises:
            CapsafeError: the person is not a researcher, or the text cannot be read.
        """
        person.must_be("researcher")
        parsed = read_guidelines(text)
        with self._lock:
            shard, job = self._book(GUIDELINES)
            append(
                shard,
                [f"{parsed.version} {time.time()}"],
                [GuidelinesRecord(parsed.version, text, person.name, time.time())],
            )
            ingest_job(self.store, job)
            self._guidelines = parsed
        return parsed

    def guidelines(self) -> Guidelines:
        """The newest guidelines: the researcher's, else the shipped ones."""
        with self._lock:
            if self._guidelines is None:
                found = sorted(
                    (
                        r
                        for job in self._jobs_of(GUIDELINES)
                        for r in job.records()
                        if isinstance(r, GuidelinesRecord)
                    ),
                    key=lambda record: record.created,
                )
                self._guidelines = next(filter(None, map(_readable, reversed(found))), shipped_guidelines())
            return self._guidelines

    def _jobs_of(self, name: str) -> list[Job]:
        """The folders of this workspace's rulings or guidelines: more than one where a bundle took the
        first, or was adopted."""
        kind = (KIND, name)
        jobs = [job for job in list_jobs(self.jobs) if (job.manifest.kind, job.manifest.name) == kind]
        return [job for job in jobs if not is_foreign(job.folder)]

    def _book(self, name: str) -> tuple[Shard, Job]:
        job = own_job(self.jobs, Manifest(KIND, name, {}))
        if job.job_id in self._shards and not self._shards[job.job_id].is_there:
            self._shards.pop(job.job_id).close()
        if job.job_id not in self._shards:
            self._shards[job.job_id] = Shard(job)
        return self._shards[job.job_id], job


def append(shard: Shard, units: Sequence[str], records: Sequence[Record]) -> None:
    """Write records that can be stored; else nothing."""
    check_records(records)
    shard.append(units, records)


def _readable(record: GuidelinesRecord) -> Guidelines | None:
    try:
        return read_guidelines(record.text)
    except CapsafeError:
        return None
