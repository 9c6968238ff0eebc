"""The desk: where queues are made, items handed out, and labels taken in. The only door for what people say.

Every queue is an `annotate` job folder whose shard holds the queue, its items and every label. A label is on
disk before it is acknowledged; the store reads it from there, like everything else. What has been answered
and what is in whose hands is kept in memory beside it, so that handing out needs no query.
"""

from __future__ import annotations

import math
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec.structs import replace

from capsafe_core.annotation import (
    LONGEST_NOTE,
    OTHER,
    QUESTIONS,
    REASONS,
    Guidelines,
    QueueSettings,
    read_guidelines,
    shipped_guidelines,
)
from capsafe_core.errors import BusyError, CapsafeError, NotAllowedError
from capsafe_core.jobs.folder import Job, Manifest, Shard, append_line, create_job, list_jobs, read_lines
from capsafe_core.jobs.foreign import is_foreign
from capsafe_core.labelling.exchange import Read, match_labels, read_labels_file
from capsafe_core.people import Person
from capsafe_core.records import (
    GuidelinesRecord,
    LabelEvent,
    Practice,
    QueueItem,
    QueueRecord,
    Rater,
    Record,
    check_records,
    digest_text,
    identify,
)
from capsafe_core.selection import Selection
from capsafe_core.store.ingest import ingest_job
from capsafe_core.store.labels import last_ruling, standing_ruling
from capsafe_core.store.store import Store
from capsafe_core.values import Holding, OneOf, Seconds, Shape, Within, shown, well_formed

KIND = "annotate"
SHOWN_AT_LEAST = 0.25
"""seconds that an item must have been on screen before it can be labelled"""
HANDED_OUT = 10
LEASE = 900.0
"""seconds for which an item that was handed out is kept for that person"""
REPEAT_AFTER = 15
"""items between the first and the second look of the same person"""
LONGEST_ABSENCE = 60 * 86400.0
"""seconds after which what a browser kept is too old to be taken in"""
TOLERANCE = 2.0
"""seconds by which a browser's clock may run faster than this one"""
MOST_PRACTICE = 1000
"""practice items of some guidelines"""
MOST_MARKS = 200
"""marks and reasons of one answer"""
SHOWN = "shown.jsonl"
"""the file of a queue's folder that says what was handed to whom, and when"""
LOOK_AGAIN = 60.0
"""seconds after which outputs that were gone are looked for again: a store may have been rebuilt meanwhile"""
AGAIN = "#1"
"""the end of a task's id where the same person looks a second time"""
RULINGS = "adjudications"
GUIDELINES = "guidelines"


Place = Annotated[int, Within(0, 1 << 30)]
Mark = Annotated[dict[str, Any], Holding({"start": Place, "end": Place})]
"""characters of an answer that a person marked, and why"""


class UnfinishedError(CapsafeError):
    """A queue's folder has no queue in it: the program ended while it was made."""


@dataclass(frozen=True)
class Drawn:
    """What a queue drew: its frames and items, the strata that they lie in, and how in words."""

    records: Sequence[Record]
    strata: tuple[dict[str, Any], ...]
    words: str


@dataclass(frozen=True)
class HandedOut:
    """Tasks that were handed to a person.

    The first of a queue names nobody: it says that whatever came later is there, too.
    """

    person: str
    tasks: tuple[str, ...]
    at: Seconds


@dataclass(frozen=True)
class Sent:
    """What a browser sends of an item; `Desk.submit` tells what it means."""

    id: str
    task: str
    kind: Annotated[str, OneOf(("label", "skip", "undo"))]
    answers: dict[str, str] = field(default_factory=dict)
    seconds: Seconds = 0.0
    age: Annotated[float, Within(0, LONGEST_ABSENCE)] = 0.0
    reasons: tuple[Annotated[str, OneOf((*REASONS, OTHER))], ...] = ()
    evidence: tuple[Mark, ...] = ()
    note: str = ""
    confidence: Annotated[float, Within(0, 1)] | None = None
    guidelines: str = ""


_SENT = Shape(Sent)
_WRONG = {
    "kind": "It is neither a label, nor a skip, nor taking one back.",
    "seconds": "It does not say how long the item was shown, or when it was answered.",
    "age": "It does not say how long the item was shown, or when it was answered.",
    "reasons": "Its reasons, marks or confidence cannot be read.",
    "evidence": "Its reasons, marks or confidence cannot be read.",
    "confidence": "Its reasons, marks or confidence cannot be read.",
}
"""why something that holds what it may not is not kept; of all other fields, that it could not be read"""


@dataclass(frozen=True)
class Task:
    """One item in front of one person."""

    id: str
    generation_id: str
    repeat: int = 0


def _second(generation: str) -> str:
    """The task in which a person looks at an output again."""
    return f"{generation}{AGAIN}"


@dataclass(frozen=True)
class Receipt:
    """What became of something that a person sent.

    `taken` is False where it cannot be kept and should not be sent again.
    """

    id: str
    taken: bool
    message: str = ""


@dataclass(frozen=True)
class Progress:
    """How far a queue is: items that a person did, today and in all; labels that all people gave, and that
    the queue asks for."""

    mine: int
    today: int
    done: int
    total: int


@dataclass
class _OpenQueue:
    """A queue in memory."""

    job: Job
    shard: Shard
    record: QueueRecord
    settings: QueueSettings
    lock: threading.Lock = field(default_factory=threading.Lock)
    items: dict[str, QueueItem] = field(default_factory=dict)
    """by generation"""
    places: list[QueueItem] = field(default_factory=list)
    """items as they were drawn: an output of two strata stands there twice"""
    order: list[str] = field(default_factory=list)
    """generation ids, as they are handed out"""
    answered: dict[str, dict[str, float]] = field(default_factory=dict)
    """generation -> person -> when they labelled it"""
    done: dict[str, dict[str, float]] = field(default_factory=dict)
    """person -> task -> when they labelled or skipped it; the newest last"""
    held: dict[str, dict[str, float]] = field(default_factory=dict)
    """generation -> person -> until when it is theirs, by a clock that nobody sets"""
    seen: dict[str, dict[str, float]] = field(default_factory=dict)
    """person -> task -> when it was handed to them first"""
    all_seen: bool = False
    """whether `seen` knows of everything that was handed out since the queue was made"""
    events: dict[tuple[str, str], list[LabelEvent]] = field(default_factory=dict)
    """(person, task) -> the newest answers"""
    gone: set[str] = field(default_factory=set)
    """outputs that were not there when they were last looked for, at `gone_since`"""
    gone_since: float = 0.0
    people: dict[str, str] = field(default_factory=dict)
    """rater id -> name, of whom a label or a practice is in the shard"""
    practised: set[tuple[str, str]] = field(default_factory=set)
    """(rater id, guidelines)"""
    latest: dict[str, float] = field(default_factory=dict)
    """person -> time of their last event"""
    started: dict[str, int] = field(default_factory=dict)
    """person -> how far along `order` nothing is left for them"""


class Desk:
    """Queues and labels of a workspace. Any thread may call.

    Args:
        store: where outputs are read.
        jobs: folder of the job folders.
    """

    def __init__(self, store: Store, jobs: Path) -> None:
        self.store, self.jobs = store, jobs
        self._lock = threading.RLock()
        self._queues: dict[str, _OpenQueue] = {}
        self._books: dict[str, Shard] = {}
        self._guidelines: Guidelines | None = None
        self.started = time.time()

    def close(self) -> None:
        """Let go of every shard."""
        with self._lock:
            for shard in [*(q.shard for q in self._queues.values()), *self._books.values()]:
                shard.close()
            self._queues.clear()
            self._books.clear()

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
            CapsafeError: the person is no researcher, or what `draw` raises.
        """
        person.must_be("researcher")
        created = time.time()
        manifest = Manifest(
            KIND,
            f"queue-{_file_name(settings.name)}",
            {"settings": asdict(settings), "selection": selection.to_query(), "created": created},
        )
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
            job = create_job(self.jobs, manifest)
            shard = Shard(job)
            append_line(job.folder / SHOWN, asdict(HandedOut("", (), created)))
            _append(shard, [f"queue {created}"], [record, *drawn.records])
            self._queues[job.job_id] = _read(job, shard)
        ingest_job(self.store, job)
        return record

    def extend(
        self, person: Person, queue: str, draw: Callable[[QueueRecord], Drawn], more: int
    ) -> QueueRecord:
        """Add items to a queue.

        Args:
            draw: given the queue as it stands, the items to add.

        Raises:
            CapsafeError: the person is no researcher, or what `draw` raises.
        """
        person.must_be("researcher")
        q = self._open(queue)
        return self._change(person, q, lambda: draw(q.record), {"size": q.settings.size + more})

    def set_state(self, person: Person, queue: str, state: str) -> QueueRecord:
        """Pause, open or close a queue. What was labelled stays.

        Raises:
            CapsafeError: the person is no researcher, or there is no such state.
        """
        person.must_be("researcher")
        if state not in ("open", "paused", "closed"):
            raise CapsafeError(f"A queue cannot be {state!r}.", "Use open, paused or closed.")
        q = self._open(queue)
        return self._change(person, q, lambda: Drawn([], q.record.strata, q.record.words), {}, state)

    def _change(
        self,
        person: Person,
        q: _OpenQueue,
        drawn: Callable[[], Drawn],
        settings: dict[str, Any],
        state: str = "",
    ) -> QueueRecord:
        with q.lock:
            new = drawn()
            record = replace(
                q.record,
                created=max(time.time(), q.record.created + 1e-3),
                author=person.name,
                strata=new.strata,
                words=new.words,
                state=state or q.record.state,
                settings={**q.record.settings, **settings},
            )
            _append(q.shard, [f"queue {record.created}"], [record, *new.records])
            _take_in(q, [record, *new.records])
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

    def _open(self, queue: str) -> _OpenQueue:
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
                        "This queue came from elsewhere and has not been adopted, so nobody labels in it.",
                        "`capsafe adopt STUDY` and the Runs page take it in.",
                    )
                found = _read(job, Shard(job))
                self._queues[queue] = found
            return found

    # handing out

    def hand_out(self, person: Person, queue: str, count: int = HANDED_OUT) -> list[Task]:
        """The next items for a person, kept for them for a while; among them now and then one that they have
        labelled before.

        Raises:
            CapsafeError: the person may not label, or the queue is paused, closed or gone.
        """
        person.must_be("annotator")
        q = self._open(queue)
        if q.record.state != "open":
            raise CapsafeError(
                f"The queue {q.record.name} is {q.record.state}.",
                "Choose another one, or ask whoever made it.",
            )
        with q.lock:
            tasks = list(self._next(q, person.name, count))
            self._note_shown(q, person, [task.id for task in tasks])
            for task in tasks:
                q.held.setdefault(task.generation_id, {})[person.name] = time.monotonic() + LEASE
            return tasks

    def _note_shown(self, q: _OpenQueue, person: Person, tasks: Sequence[str]) -> None:
        """Keep what is handed out for the first time, so that a restart does not forget it."""
        seen = q.seen.setdefault(person.name, {})
        new = HandedOut(person.name, tuple(task for task in tasks if task not in seen), time.time())
        if new.tasks:
            try:
                append_line(q.job.folder / SHOWN, asdict(new))
            except OSError as error:
                raise CapsafeError(
                    f"What is shown of {q.record.name} cannot be noted: {error.strerror}.",
                    "Free some space and try again.",
                ) from error
            seen.update(dict.fromkeys(new.tasks, new.at))

    def _next(self, q: _OpenQueue, who: str, count: int) -> Iterator[Task]:
        now, given = time.monotonic(), 0
        if q.gone and now - q.gone_since > LOOK_AGAIN:
            q.gone.clear()
            q.started.clear()
        mine = q.done.get(who, {})
        first = [task for task in mine if not task.endswith(AGAIN) and who in q.answered.get(task, {})]
        repeats = math.floor(q.settings.repeats * len(first)) - sum(task.endswith(AGAIN) for task in mine)
        before = [
            task
            for task in first[: max(0, len(first) - REPEAT_AFTER)]
            if _second(task) not in mine and task not in q.gone
        ]
        before.sort(
            key=lambda task: digest_text(f"{q.record.queue} {who} {task}")
        )  # any of them, not the first ones, when everything was new
        for task in before[: max(0, repeats)]:
            given += 1
            yield Task(_second(task), task, 1)
        edge = True  # nothing is left for this person before here
        for place in range(q.started.get(who, 0), len(q.order)):
            if given >= count:
                return
            generation = q.order[place]
            others = [p for p in q.answered.get(generation, {}) if p != who]
            over = generation in mine or generation in q.gone or len(others) >= q.settings.annotators
            if edge and over:
                q.started[who] = place + 1
            edge = edge and over
            waiting = [
                p
                for p, until in q.held.get(generation, {}).items()
                if p != who and until > now and p not in others
            ]
            if not over and len(others) + len(waiting) < q.settings.annotators:
                given += 1
                yield Task(generation, generation)

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
            try:
                entry = Sent(**_SENT.known(given))
            except ValueError:
                wrong = next(
                    (
                        sentence
                        for name, sentence in _WRONG.items()
                        if name in given and not _SENT.holds(name, [given[name]])
                    ),
                    "It could not be read.",
                )
                return Receipt(unit, False, wrong)
            problem = self._problem(q, person, entry)
            if problem:
                return Receipt(unit, False, problem)
            events = list(self._events(q, person, entry))
            records: list[Record] = [*([] if person.rater.id in q.people else [person.rater]), *events]
            try:
                check_records(records)
            except CapsafeError as error:
                return Receipt(unit, False, error.message)
            q.shard.append([unit], records)
            _take_in(q, records)
        closed = (
            "" if q.record.state == "open" else f"The queue is {q.record.state} now; what you sent was kept."
        )
        return Receipt(unit, True, closed)

    def _problem(self, q: _OpenQueue, person: Person, entry: Sent) -> str:
        """Why something cannot be kept; empty where it can."""
        try:
            uuid.UUID(entry.id)
        except ValueError:
            return "It could not be read."
        generation, _, again = entry.task.partition("#")
        if generation not in q.items or again not in ("", "1"):
            return "It is about an item that is not in this queue."
        if entry.kind == "label" and not entry.answers:
            return "It has no answer."
        for dimension, label in entry.answers.items():
            if dimension not in q.settings.questions or label not in QUESTIONS[dimension].answers:
                return f"{shown(label)} is no answer to a question of this queue."
        if len(entry.note) > LONGEST_NOTE:
            return (
                f"The note has {len(entry.note):,} characters, and {LONGEST_NOTE:,} are kept at most: "
                "shorten it and label the item again."
            )
        if max(len(entry.reasons), len(entry.evidence)) > MOST_MARKS or len(entry.guidelines) > 100:
            return f"It has more than {MOST_MARKS} marks or reasons: leave some out and label the item again."
        if any(
            mark["end"] <= mark["start"] or mark.get("reason") not in (None, *REASONS, OTHER)
            for mark in entry.evidence
        ):
            return "Its reasons, marks or confidence cannot be read."
        if entry.kind != "undo" and entry.seconds < SHOWN_AT_LEAST:
            return (
                f"The item was shown for less than {SHOWN_AT_LEAST * 1000:.0f} ms, so the key was not "
                "meant for it."
            )
        if entry.task in q.done.get(person.name, {}):
            return ""
        if entry.kind == "undo":
            return "There is nothing to take back."
        if entry.task in q.seen.get(person.name, {}):
            return ""
        # of a queue from before this was kept nobody remembers: what this person would get next may have been
        # on their screen
        near = not q.all_seen and entry.task in {t.id for t in self._next(q, person.name, 2 * HANDED_OUT)}
        return "" if near else "The item was not shown to you."

    def _events(self, q: _OpenQueue, person: Person, entry: Sent) -> Iterator[LabelEvent]:
        generation, _, again = entry.task.partition("#")
        began, created = self._times(q, person, entry)
        for dimension in q.settings.questions:
            label = entry.answers.get(dimension) if entry.kind == "label" else None
            if entry.kind == "label" and label is None:
                continue
            reasons, evidence = (
                (entry.reasons, tuple(map(_span, entry.evidence))) if dimension == "coherence" else ((), ())
            )
            yield LabelEvent(
                identify("label", entry.id, dimension),
                generation,
                q.items[generation].cell_id,
                person.rater.id,
                dimension,
                entry.kind,
                label,
                began,
                created,
                reasons,
                evidence,
                entry.note,
                q.record.queue,
                entry.confidence,
                entry.guidelines,
                int(again == "1"),
            )

    def _times(self, q: _OpenQueue, person: Person, entry: Sent) -> tuple[float, float]:
        """When the item came on screen and when it was answered: as the sender says, but not before it was
        handed out.

        Where that is not known, it is the time of receipt, and how long it was shown stays open.
        """
        now, handed = time.time(), q.seen.get(person.name, {}).get(entry.task)
        after = q.latest.get(person.name, 0.0) + 1e-5
        if handed is None:
            created = max(now, after)
            return created, created
        created = max(now - entry.age, handed, after)
        return max(created - entry.seconds, handed - TOLERANCE), created

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
        midnight = time.mktime((*time.localtime()[:3], 0, 0, 0, 0, 0, -1))
        with q.lock:
            mine = list(q.done.get(person.name, {}).values())
            given = sum(min(len(people), q.settings.annotators) for people in q.answered.values())
            return Progress(
                len(mine),
                sum(t >= midnight for t in mine),
                given,
                q.settings.annotators * (len(q.order) - len(q.gone)),
            )

    # decisions and rules

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
            CapsafeError: the person is no researcher, or somebody else decided meanwhile.
        """
        person.must_be("researcher")
        if label is not None and label not in QUESTIONS[dimension].answers:
            raise CapsafeError(
                f"{label!r} is no label of {dimension}.",
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
            _append(shard, [event.event_id], [person.rater, event])
            ingest_job(self.store, job)
        return event

    def bring_in(self, person: Person, text: str, name: str) -> Read:
        """Take in labels that were made elsewhere; the same file again changes nothing.

        Args:
            text: of a file as `store.exchange` reads it.
            name: of the file, for the job's name.

        Raises:
            CapsafeError: the person is no researcher, or the file cannot be read.
        """
        person.must_be("researcher")
        manifest = Manifest(KIND, f"import-{_file_name(name)}", {"digest": digest_text(text)})
        found = match_labels(self.store, read_labels_file(text), manifest.job_id)
        if not found.labels:
            return found
        with self._lock:
            job = create_job(self.jobs, manifest)
            shard = Shard(job)
            unit = f"labels {digest_text(' '.join(sorted(r.id for r in found.records)))}"
            try:
                if unit not in shard.done_units:
                    _append(shard, [unit], found.records)
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
            _append(q.shard, [practice.id], [person.rater, practice])
            _take_in(q, [person.rater, practice])

    def has_practised(self, person: Person, guidelines: str) -> bool:
        """Whether a person has been through the practice items of these guidelines."""
        self.queues()
        with self._lock:
            return any((person.rater.id, guidelines) in q.practised for q in self._queues.values())

    def save_guidelines(self, person: Person, text: str) -> Guidelines:
        """Keep a new version of the guidelines.

        Raises:
            CapsafeError: the person is no researcher, or the text cannot be read.
        """
        person.must_be("researcher")
        parsed = read_guidelines(text)
        with self._lock:
            shard, job = self._book(GUIDELINES)
            _append(
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
                        for job in self._books_of(GUIDELINES)
                        for r in job.records()
                        if isinstance(r, GuidelinesRecord)
                    ),
                    key=lambda record: record.created,
                )
                self._guidelines = next(filter(None, map(_readable, reversed(found))), shipped_guidelines())
            return self._guidelines

    def _books_of(self, name: str) -> list[Job]:
        """The folders of this workspace's rulings or guidelines: a second one where the first came from
        elsewhere."""
        manifests = (Manifest(KIND, name, {}), Manifest(KIND, name, {"beside": "foreign"}))
        jobs = [Job(self.jobs / manifest.job_id, manifest) for manifest in manifests]
        return [job for job in jobs if not is_foreign(job.folder)]

    def _book(self, name: str) -> tuple[Shard, Job]:
        job = create_job(self.jobs, self._books_of(name)[0].manifest)
        if job.job_id in self._books and not self._books[job.job_id].is_there:
            self._books.pop(job.job_id).close()
        if job.job_id not in self._books:
            self._books[job.job_id] = Shard(job)
        return self._books[job.job_id], job


def _span(mark: dict[str, Any]) -> dict[str, Any]:
    """A mark without what is not asked for."""
    return {key: mark[key] for key in ("reason", "start", "end") if key in mark}


def _append(shard: Shard, units: Sequence[str], records: Sequence[Record]) -> None:
    """Write records that can be stored; else nothing."""
    check_records(records)
    shard.append(units, records)


def _readable(record: GuidelinesRecord) -> Guidelines | None:
    try:
        return read_guidelines(record.text)
    except CapsafeError:
        return None


def _usable(record: Record) -> bool:
    """Whether a queue can be asked as a record has it."""
    if isinstance(record, QueueRecord):
        try:
            QueueSettings.from_dict(record.settings)
        except CapsafeError:
            return False
    return True


def _read(job: Job, shard: Shard) -> _OpenQueue:
    """A queue as its shard tells it."""
    records = list(filter(_usable, job.records()))
    first = next((r for r in records if isinstance(r, QueueRecord)), None)
    if first is None:
        shard.close()
        raise UnfinishedError(
            f"The queue in {job.job_id} was never finished being made.",
            "Delete its folder and make it again.",
        )
    q = _OpenQueue(job, shard, first, QueueSettings.from_dict(first.settings))
    _take_in(q, records)
    for handed in read_lines(job.folder / SHOWN, HandedOut):
        q.all_seen = q.all_seen or not handed.person
        for task in handed.tasks:
            q.seen.setdefault(handed.person, {}).setdefault(task, handed.at)
    return q


def _take_in(q: _OpenQueue, records: Sequence[Record]) -> None:
    """Bring what is in memory up to date with records that are on disk now."""
    drawn = False
    for record in records:
        if isinstance(record, QueueRecord):
            q.settings = QueueSettings.from_dict(record.settings)
            q.record = replace(record, settings={**record.settings, **asdict(q.settings)})
        elif isinstance(record, QueueItem):
            q.places.append(record)
            q.items.setdefault(record.generation_id, record)
            drawn = True
        elif isinstance(record, Rater):
            q.people[record.id] = record.name
        elif isinstance(record, Practice):
            q.practised.add((record.rater_id, record.guidelines))
        elif isinstance(record, LabelEvent) and record.rater_id in q.people:
            _remember(q, q.people[record.rater_id], record)
    if drawn:
        sizes = {s["name"]: s["drawn"] for s in q.record.strata}
        order = dict.fromkeys(
            item.generation_id
            for item in sorted(
                q.places,
                key=lambda item: ((item.place + 0.5) / max(sizes.get(item.stratum, 1), 1), item.stratum),
            )
        )
        q.order = list(order)
        q.started.clear()


def _remember(q: _OpenQueue, who: str, event: LabelEvent) -> None:
    task = _second(event.generation_id) if event.repeat else event.generation_id
    q.latest[who] = max(q.latest.get(who, 0.0), event.created)
    q.held.get(event.generation_id, {}).pop(who, None)
    mine, key = q.done.setdefault(who, {}), (who, task)
    people = q.answered.setdefault(event.generation_id, {})
    if event.action == "undo":
        mine.pop(task, None)
        q.events.pop(key, None)
        if not event.repeat:
            people.pop(who, None)
        q.started.clear()  # it comes back
        return
    known = [
        e for e in q.events.get(key, []) if e.created == event.created
    ]  # the other questions of the same answer
    q.events[key] = [*known, event]
    mine.pop(task, None)
    mine[task] = event.created
    if event.action == "skip":
        people.pop(who, None)
    elif not event.repeat:
        people[who] = event.created


def _file_name(name: str) -> str:
    """A queue's name as a part of a folder's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:40] or "queue"
