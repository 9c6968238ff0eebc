"""The desk: where queues are made, items handed out, and labels taken in. The only door for what people say.

Every queue is an `annotate` job folder whose shard holds the queue, its items and every label. A label is on
disk before it is acknowledged; the store reads it from there, like everything else. What has been answered
and what is in whose hands is kept in memory beside it, so that handing out needs no query.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from msgspec import structs

from capsafe_core.annotation import QueueSettings
from capsafe_core.errors import BusyError, CapsafeError, NotAllowedError
from capsafe_core.jobs.folder import Manifest, Shard, append_line, list_jobs
from capsafe_core.jobs.foreign import is_foreign, own_job, own_manifest
from capsafe_core.labelling.answers import HANDED_OUT, events_of, problem_of, read_answer
from capsafe_core.labelling.books import Books, append
from capsafe_core.labelling.brought import Read, match_labels
from capsafe_core.labelling.formats import read_labels_file
from capsafe_core.labelling.open_queue import (
    AGAIN,
    KIND,
    SHOWN,
    HandedOut,
    OpenQueue,
    Progress,
    Task,
    read_queue,
)
from capsafe_core.people import Person, people_named
from capsafe_core.records import LabelEvent, Practice, QueueRecord, Record, check_records, digest_text
from capsafe_core.replica import must_be_owner
from capsafe_core.selection import Selection
from capsafe_core.store.ingest import ingest_job
from capsafe_core.store.store import Store
from capsafe_core.values import shown, well_formed

LEASE = 900.0
"""seconds for which an item that was handed out is kept for that person"""
MOST_PRACTICE = 1000
"""practice items of some guidelines"""


@dataclass(frozen=True)
class Drawn:
    """What a queue drew: its frames and items, the strata that they lie in, and how in words."""

    records: Sequence[Record]
    strata: tuple[dict[str, Any], ...]
    words: str


@dataclass(frozen=True)
class Receipt:
    """What became of something that a person sent.

    `taken` is False where it cannot be kept and should not be sent again.
    """

    id: str
    taken: bool
    message: str = ""


class Desk:
    """Queues and labels of a workspace. Any thread may call.

    Args:
        store: where outputs are read.
        jobs: folder of the job folders.
    """

    def __init__(self, store: Store, jobs: Path) -> None:
        self.store, self.jobs = store, jobs
        self._lock = threading.RLock()
        self._queues: dict[str, OpenQueue] = {}
        self.books = Books(store, jobs)
        self.started = time.time()

    def close(self) -> None:
        """Let go of every shard."""
        with self._lock:
            for q in self._queues.values():
                q.shard.close()
            self._queues.clear()
            self.books.close()

    # queues

    def make(
        self,
        person: Person,
        settings: QueueSettings,
        selection: Selection,
        asking: Mapping[str, str],
        draw: Callable[[str], Drawn],
    ) -> QueueRecord:
        """Open a new queue.

        Args:
            selection: from which outputs it draws; it names the study.
            asking: the judges by whom outputs are told apart in the draw.
            draw: given the queue's id, the draw.

        Raises:
            CapsafeError: the person is not a researcher, or what `draw` raises.
        """
        person.must_be("researcher")
        settings, created = replace(settings, assigned=people_named(settings.assigned)), time.time()
        work = {"settings": asdict(settings), "selection": selection.to_query(), "created": created}
        manifest = own_manifest(self.jobs, Manifest(KIND, f"queue-{_file_name(settings.name)}", work))
        drawn = draw(manifest.job_id)
        values = {**asdict(settings), "asking": dict(asking)}
        record = QueueRecord(
            manifest.job_id,
            selection.study,
            settings.name,
            "open",
            created,
            person.name,
            values,
            selection.to_query(),
            drawn.strata,
            drawn.words,
        )
        with self._lock:  # nobody looks at the folder before its queue is in it
            job = own_job(self.jobs, manifest)
            shard = Shard(job)
            append_line(job.folder / SHOWN, asdict(HandedOut("", (), created)))
            append(shard, [f"queue {created}"], [record, *drawn.records])
            self._queues[job.job_id] = read_queue(job, shard)
        ingest_job(self.store, job)
        return record

    def extend(
        self, person: Person, queue: str, draw: Callable[[QueueRecord], Drawn], more: int
    ) -> QueueRecord:
        """Add items to a queue.

        Args:
            draw: given the queue as it stands, the items to add.

        Raises:
            CapsafeError: the person is not a researcher, or what `draw` raises.
        """
        person.must_be("researcher")
        q = self._open(queue)
        return self._change(person, q, lambda: draw(q.record), {"size": q.settings.size + more})

    def set_state(self, person: Person, queue: str, state: str) -> QueueRecord:
        """Pause, open or close a queue. What was labelled stays.

        Raises:
            CapsafeError: the person is not a researcher, or there is no such state.
        """
        person.must_be("researcher")
        if state not in ("open", "paused", "closed"):
            raise CapsafeError(f"A queue cannot be {state!r}.", "Use open, paused or closed.")
        q = self._open(queue)
        return self._change(person, q, lambda: Drawn([], q.record.strata, q.record.words), {}, state)

    def assign(self, person: Person, queue: str, people: Iterable[str]) -> QueueRecord:
        """Say to whom a queue is handed out; to everybody where nobody is named. What was labelled stays.

        Raises:
            CapsafeError: the person is not a researcher, or fewer are named than label each item.
        """
        person.must_be("researcher")
        q, settings = self._open(queue), {"assigned": people_named(people)}
        QueueSettings.from_dict({**q.record.settings, **settings})
        return self._change(person, q, lambda: Drawn([], q.record.strata, q.record.words), settings)

    def _change(
        self,
        person: Person,
        q: OpenQueue,
        drawn: Callable[[], Drawn],
        settings: dict[str, Any],
        state: str = "",
    ) -> QueueRecord:
        with q.lock:
            new = drawn()
            record = structs.replace(
                q.record,
                created=max(time.time(), q.record.created + 1e-3),
                author=person.name,
                strata=new.strata,
                words=new.words,
                state=state or q.record.state,
                settings={**q.record.settings, **settings},
            )
            append(q.shard, [f"queue {record.created}"], [record, *new.records])
            q.take_in([record, *new.records])
        ingest_job(self.store, q.job)
        return record

    def queues(self) -> list[QueueRecord]:
        """Every queue of the workspace's own, the newest first.

        One that was never finished being made, or cannot be read, is left out.
        """
        found = []
        for job in list_jobs(self.jobs):
            if job.manifest.kind == KIND and "settings" in job.manifest.work and not is_foreign(job.folder):
                try:
                    found.append((job.manifest.created, self._open(job.job_id).record))
                except BusyError:
                    raise
                except CapsafeError:
                    continue
        return [record for _, record in sorted(found, key=lambda pair: -pair[0])]

    def _open(self, queue: str) -> OpenQueue:
        must_be_owner()  # an open queue is locked, and cut where a write was broken off
        with self._lock:
            found = self._queues.get(queue)
            if found is not None and not found.shard.is_there:
                found.shard.close()
                del self._queues[queue]
                found = None
            if found is None:
                job = next(
                    (j for j in list_jobs(self.jobs) if j.job_id == queue and j.manifest.kind == KIND), None
                )
                if job is None:
                    raise CapsafeError(
                        "This queue is not there any more: its folder was deleted.",
                        "Labels that were not taken in stay in the browser that sent them; save them to a "
                        "file there and import it with `capsafe labels`.",
                    )
                if is_foreign(job.folder):
                    raise NotAllowedError(
                        "This queue came from elsewhere and has not been adopted, so it cannot be labelled.",
                        "`capsafe adopt STUDY` and the Runs page take it in.",
                    )
                found = read_queue(job, Shard(job))
                self._queues[queue] = found
            return found

    # handing out

    def hand_out(self, person: Person, queue: str, count: int = HANDED_OUT) -> list[Task]:
        """The next items for a person, kept for them for a while; among them now and then one that they have
        labelled before.

        Raises:
            CapsafeError: the person may not label, or the queue is paused, closed, somebody else's or gone.
        """
        person.must_be("annotator")
        q = self._open(queue)
        q.must_be_open_to(person.name)
        with q.lock:
            tasks = list(q.next_tasks(person.name, count))
            q.note_shown(person, [task.id for task in tasks])
            for task in tasks:
                q.held.setdefault(task.generation_id, {})[person.name] = time.monotonic() + LEASE
            return tasks

    # taking in

    def submit(self, person: Person, queue: str, sent: Any) -> Receipt:
        """Take in what a person did with an item: a label, a skip or taking it back.

        The same thing sent twice is taken in once. When an item was shown is known here: what the sender says
        of it counts only as far as it agrees. What is taken in can be stored.

        Args:
            sent: a mapping, as a browser sends it: `id` (made by the sender), `task`, `kind` (label, skip,
                undo), `answers` (dimension -> label), `seconds` on screen before the answer, `age` in seconds
                since it was given; `reasons`, `evidence`, `note`, `confidence`, `guidelines`.

        Raises:
            CapsafeError: the person may not label, the queue's folder is gone, or the disk is full; it should
                be sent again.
        """
        person.must_be("annotator")
        q = self._open(queue)
        given = {k: v for k, v in sent.items() if v is not None} if isinstance(sent, dict) else {}
        unit = well_formed(given["id"])[:100] if isinstance(given.get("id"), str) else ""
        with q.lock:
            if unit in q.shard.done_units:
                return Receipt(unit, True)
            entry = read_answer(given)
            problem = entry if isinstance(entry, str) else problem_of(q, person, entry)
            if problem or isinstance(entry, str):
                return Receipt(unit, False, problem)
            events = list(events_of(q, person, entry))
            records: list[Record] = [*([] if person.rater.id in q.people else [person.rater]), *events]
            try:
                check_records(records)
            except CapsafeError as error:
                return Receipt(unit, False, error.message)
            q.shard.append([unit], records)
            q.take_in(records)
        closed = (
            "" if q.record.state == "open" else f"The queue is {q.record.state} now; what you sent was kept."
        )
        return Receipt(unit, True, closed)

    def mark_gone(self, queue: str, generations: Iterable[str]) -> None:
        """Leave out outputs that are no longer in the store."""
        q = self._open(queue)
        with q.lock:
            q.gone.update(generations)
            q.gone_since = time.monotonic()

    def gone(self, queue: str) -> int:
        """How many of a queue's outputs are no longer in the store."""
        return len(self._open(queue).gone)

    def recent(self, person: Person, queue: str, count: int = 20) -> list[tuple[Task, list[LabelEvent]]]:
        """The last items that a person labelled or skipped, the newest first, with their answers; second
        looks are left out."""
        q = self._open(queue)
        with q.lock:
            mine = [t for t in q.done.get(person.name, {}) if not t.endswith(AGAIN)][-count:]
            return [(Task(t, t), list(q.events[person.name, t])) for t in reversed(mine)]

    def progress(self, person: Person, queue: str) -> Progress:
        """How far a person and the queue are."""
        q = self._open(queue)
        with q.lock:
            return q.progress(person.name)

    def left(self, person: Person, queue: str) -> int:
        """How many items a queue would hand to a person now."""
        q = self._open(queue)
        with q.lock:
            if q.record.state != "open" or not q.is_for(person.name):
                return 0
            return sum(1 for _ in q.next_tasks(person.name, len(q.order)))

    def bring_in(self, person: Person, text: str, name: str) -> Read:
        """Take in labels that were made elsewhere; the same file again changes nothing.

        Args:
            text: of a file as `labelling.formats` reads it.
            name: of the file, for the job's name.

        Raises:
            CapsafeError: the person is not a researcher, or the file cannot be read.
        """
        person.must_be("researcher")
        manifest = own_manifest(
            self.jobs, Manifest(KIND, f"import-{_file_name(name)}", {"digest": digest_text(text)})
        )
        found = match_labels(self.store, read_labels_file(text), manifest.job_id)
        if not found.labels:
            return found
        with self._lock:
            job = own_job(self.jobs, manifest)
            shard = Shard(job)
            unit = f"labels {digest_text(' '.join(sorted(r.id for r in found.records)))}"
            try:
                if unit not in shard.done_units:
                    append(shard, [unit], found.records)
            finally:
                shard.close()
            ingest_job(self.store, job)
        return found

    def practised(self, person: Person, queue: str, guidelines: str, right: Any, asked: Any) -> None:
        """Note how a person did on the practice items of some guidelines.

        Raises:
            CapsafeError: the person may not label, or these are no such numbers.
        """
        person.must_be("annotator")
        q = self._open(queue)
        if not (type(right) is int and type(asked) is int and 0 <= right <= asked <= MOST_PRACTICE):
            raise CapsafeError(
                f"Of the practice items {shown(right)} of {shown(asked)} cannot be right.",
                "Reload the page and practise again.",
            )
        with q.lock:
            practice = Practice(person.rater.id, guidelines, queue, right, asked, time.time())
            append(q.shard, [practice.id], [person.rater, practice])
            q.take_in([person.rater, practice])

    def has_practised(self, person: Person, guidelines: str) -> bool:
        """Whether a person has been through the practice items of these guidelines."""
        self.queues()
        with self._lock:
            return any((person.rater.id, guidelines) in q.practised for q in self._queues.values())


def _file_name(name: str) -> str:
    """A queue's name as a part of a folder's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:40] or "queue"
