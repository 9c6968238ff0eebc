"""A queue as it is kept in memory: what was drawn, what is in whose hands, and what was answered.

It is read from the queue's shard, and kept up to date with what is written there, so that handing out needs
no query.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

from msgspec.structs import replace

from capsafe_core.annotation import QueueSettings
from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.jobs.folder import Job, Shard, append_line, read_lines
from capsafe_core.people import Person, and_words, is_among
from capsafe_core.records import LabelEvent, Practice, QueueItem, QueueRecord, Rater, Record, digest_text
from capsafe_core.values import Seconds

KIND = "annotate"
"""of the jobs that hold queues and what people decide"""
REPEAT_AFTER = 15
"""items between the first and the second look of the same person"""
SHOWN = "shown.jsonl"
"""the file of a queue's folder that says what was handed to whom, and when"""
LOOK_AGAIN = 60.0
"""seconds after which outputs that were gone are looked for again: a store may have been rebuilt meanwhile"""
AGAIN = "#1"
"""the end of a task's id where the same person looks a second time"""


class UnfinishedError(CapsafeError):
    """A queue's folder has no queue in it: the program ended while it was made."""


@dataclass(frozen=True)
class HandedOut:
    """Tasks that were handed to a person.

    The first of a queue names nobody: it says that whatever came later is there, too.
    """

    person: str
    tasks: tuple[str, ...]
    at: Seconds


@dataclass(frozen=True)
class Task:
    """One item in front of one person."""

    id: str
    generation_id: str
    repeat: int = 0


def second_look(generation: str) -> str:
    """The task in which a person looks at an output again."""
    return f"{generation}{AGAIN}"


@dataclass(frozen=True)
class Progress:
    """How far a queue is.

    `mine` and `today` are items that a person did, second looks among them, so that nothing on their screen
    tells which those are. `done` are annotations (one person's labels of one item) that all people gave, and
    `total` those that the queue asks for.
    """

    mine: int
    today: int
    done: int
    total: int


@dataclass
class OpenQueue:
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

    def is_for(self, who: str) -> bool:
        """Whether the queue may be handed to a person."""
        return not self.settings.assigned or is_among(who, self.settings.assigned)

    def must_be_open_to(self, who: str) -> None:
        """Refuse what is paused, closed or somebody else's.

        Raises:
            CapsafeError: it is one of these.
        """
        if self.record.state != "open":
            raise CapsafeError(
                f"The queue {self.record.name} is {self.record.state}.",
                "Choose another one, or ask whoever made it.",
            )
        if not self.is_for(who):
            raise NotAllowedError(
                f"The queue {self.record.name} is assigned to {and_words(self.settings.assigned)}.",
                "Choose another one, or ask a researcher to assign it to you.",
            )

    def progress(self, who: str) -> Progress:
        """How far a person and the queue are."""
        midnight = time.mktime((*time.localtime()[:3], 0, 0, 0, 0, 0, -1))
        mine = list(self.done.get(who, {}).values())
        given = sum(min(len(people), self.settings.annotators) for people in self.answered.values())
        total = self.settings.annotators * (len(self.order) - len(self.gone))
        return Progress(len(mine), sum(t >= midnight for t in mine), given, total)

    def next_tasks(self, who: str, count: int) -> Iterator[Task]:
        """What a person is handed next; among them now and then something that they have labelled before."""
        now, given = time.monotonic(), 0
        if self.gone and now - self.gone_since > LOOK_AGAIN:
            self.gone.clear()
            self.started.clear()
        mine = self.done.get(who, {})
        first = [task for task in mine if not task.endswith(AGAIN) and who in self.answered.get(task, {})]
        repeats = math.floor(self.settings.repeats * len(first)) - sum(task.endswith(AGAIN) for task in mine)
        before = [
            task
            for task in first[: max(0, len(first) - REPEAT_AFTER)]
            if second_look(task) not in mine and task not in self.gone
        ]
        before.sort(
            key=lambda task: digest_text(f"{self.record.queue} {who} {task}")
        )  # any of them, not the first ones, when everything was new
        for task in before[: max(0, repeats)]:
            given += 1
            yield Task(second_look(task), task, 1)
        edge = True  # nothing is left for this person before here
        for place in range(self.started.get(who, 0), len(self.order)):
            if given >= count:
                return
            generation = self.order[place]
            others = [p for p in self.answered.get(generation, {}) if p != who]
            over = generation in mine or generation in self.gone or len(others) >= self.settings.annotators
            if edge and over:
                self.started[who] = place + 1
            edge = edge and over
            waiting = [
                p
                for p, until in self.held.get(generation, {}).items()
                if p != who and until > now and p not in others and self.is_for(p)
            ]
            if not over and len(others) + len(waiting) < self.settings.annotators:
                given += 1
                yield Task(generation, generation)

    def note_shown(self, person: Person, tasks: Sequence[str]) -> None:
        """Keep what is handed out for the first time, so that a restart does not forget it."""
        seen = self.seen.setdefault(person.name, {})
        new = HandedOut(person.name, tuple(task for task in tasks if task not in seen), time.time())
        if new.tasks:
            try:
                append_line(self.job.folder / SHOWN, asdict(new))
            except OSError as error:
                raise CapsafeError(
                    f"What is shown of {self.record.name} cannot be noted: {error.strerror}.",
                    "Free some space and try again.",
                ) from error
            seen.update(dict.fromkeys(new.tasks, new.at))

    def take_in(self, records: Sequence[Record]) -> None:
        """Bring what is in memory up to date with records that are on disk now."""
        drawn = False
        for record in records:
            if isinstance(record, QueueRecord):
                self.settings = QueueSettings.from_dict(record.settings)
                self.record = replace(record, settings={**record.settings, **asdict(self.settings)})
            elif isinstance(record, QueueItem):
                self.places.append(record)
                self.items.setdefault(record.generation_id, record)
                drawn = True
            elif isinstance(record, Rater):
                self.people[record.id] = record.name
            elif isinstance(record, Practice):
                self.practised.add((record.rater_id, record.guidelines))
            elif isinstance(record, LabelEvent) and record.rater_id in self.people:
                self._remember(self.people[record.rater_id], record)
        if drawn:
            sizes = {s["name"]: s["drawn"] for s in self.record.strata}
            order = dict.fromkeys(
                item.generation_id
                for item in sorted(
                    self.places,
                    key=lambda item: ((item.place + 0.5) / max(sizes.get(item.stratum, 1), 1), item.stratum),
                )
            )
            self.order = list(order)
            self.started.clear()

    def _remember(self, who: str, event: LabelEvent) -> None:
        task = second_look(event.generation_id) if event.repeat else event.generation_id
        self.latest[who] = max(self.latest.get(who, 0.0), event.created)
        self.held.get(event.generation_id, {}).pop(who, None)
        mine, key = self.done.setdefault(who, {}), (who, task)
        people = self.answered.setdefault(event.generation_id, {})
        if event.action == "undo":
            mine.pop(task, None)
            self.events.pop(key, None)
            if not event.repeat:
                people.pop(who, None)
            self.started.clear()  # it comes back
            return
        known = [
            e for e in self.events.get(key, []) if e.created == event.created
        ]  # the other questions of the same answer
        self.events[key] = [*known, event]
        mine.pop(task, None)
        mine[task] = event.created
        if event.action == "skip":
            people.pop(who, None)
        elif not event.repeat:
            people[who] = event.created


def _usable(record: Record) -> bool:
    """Whether a queue can be asked as a record has it."""
    if isinstance(record, QueueRecord):
        try:
            QueueSettings.from_dict(record.settings)
        except CapsafeError:
            return False
    return True


def read_queue(job: Job, shard: Shard) -> OpenQueue:
    """A queue as its shard tells it."""
    records = list(filter(_usable, job.records()))
    first = next((r for r in records if isinstance(r, QueueRecord)), None)
    if first is None:
        shard.close()
        raise UnfinishedError(
            f"The queue in {job.job_id} was never finished being made.",
            "Delete its folder and make it again.",
        )
    q = OpenQueue(job, shard, first, QueueSettings.from_dict(first.settings))
    q.take_in(records)
    for handed in read_lines(job.folder / SHOWN, HandedOut):
        q.all_seen = q.all_seen or not handed.person
        for task in handed.tasks:
            q.seen.setdefault(handed.person, {}).setdefault(task, handed.at)
    return q
