"""What is kept beside the queues: rulings on what people disagree on, the guidelines, remarks on outputs and
lists that have a name."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from capsafe_core.annotation import LONGEST_NOTE, QUESTIONS, Guidelines, read_guidelines, shipped_guidelines
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, Manifest, Shard, list_jobs
from capsafe_core.jobs.foreign import is_foreign, own_job
from capsafe_core.labelling.open_queue import KIND
from capsafe_core.people import Person
from capsafe_core.records import GuidelinesRecord, LabelEvent, Record, Remark, SavedView, check_records
from capsafe_core.replica import must_be_owner
from capsafe_core.store.ingest import ingest_job
from capsafe_core.store.labels import last_ruling, standing_ruling
from capsafe_core.store.remarks import last_remark, saved_views
from capsafe_core.store.store import Store
from capsafe_core.values import well_formed

RULINGS = "adjudications"
GUIDELINES = "guidelines"
REMARKED = "remarks"
LONGEST_VIEW = 80


class Books:
    """Rulings, guidelines and remarks of a workspace, each in a job folder of its own. Any thread may call.

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

    def remark(self, person: Person, generation: str, cell: str, action: str, text: str = "") -> Remark:
        """Keep that a person starred an output, took the star back, or commented on it.

        Raises:
            CapsafeError: the person is not a researcher, or a comment is empty or too long.
        """
        person.must_be("researcher")
        text = well_formed(text).strip()
        if action == "comment" and not 0 < len(text) <= LONGEST_NOTE:
            raise CapsafeError(
                f"A comment has 1 to {LONGEST_NOTE:,} characters.", "Write it again, and shorter."
            )
        with self._lock:
            shard, job = self._book(REMARKED)
            now = max(time.time(), last_remark(self.store, generation) + 1e-3)
            event = Remark(str(uuid.uuid4()), generation, cell, person.name, action, now, text)
            append(shard, [event.event_id], [event])
            ingest_job(self.store, job)
        return event

    def save_view(self, person: Person, study: str, name: str, selection: Mapping[str, str]) -> SavedView:
        """Give a list of outputs a name; without a selection, take the name away.

        Raises:
            CapsafeError: the person is not a researcher, or the name is empty or too long.
        """
        person.must_be("researcher")
        name = " ".join("".join(c if c.isprintable() else " " for c in well_formed(name)).split())
        if not 0 < len(name) <= LONGEST_VIEW:
            raise CapsafeError(f"A name has 1 to {LONGEST_VIEW} characters.", "Choose another name.")
        with self._lock:
            shard, job = self._book(REMARKED)
            known = [view.created for view in saved_views(self.store, study) if view.name == name]
            now = max(time.time(), *(created + 1e-3 for created in known), 0.0)
            kept = SavedView(study, name, dict(selection), person.name, now)
            append(shard, [kept.id], [kept])
            ingest_job(self.store, job)
        return kept

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
        must_be_owner()
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
