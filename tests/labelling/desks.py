"""A desk over the made-up study, and people who work at it."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from capsafe_core.analysis.people import correction_table
from capsafe_core.analysis.view import open_view
from capsafe_core.annotation import (
    QueueSettings,
)
from capsafe_core.labelling.desk import Desk
from capsafe_core.labelling.queues import make_queue
from capsafe_core.people import Person
from capsafe_core.records import QueueRecord
from capsafe_core.selection import Selection
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from tests.synthetic import write_study

ADA, BEN, EVE = Person("Ada", "researcher"), Person("Ben", "annotator"), Person("Eve", "viewer")


def sent(
    task: str, kind: str = "label", seconds: float = 1.0, age: float = 0.0, **more: Any
) -> dict[str, Any]:
    answers = more.pop(
        "answers", {"coherence": "coherent", "safety": "safe", "refusal": "none"} if kind == "label" else {}
    )
    return {
        "id": str(uuid.uuid4()),
        "task": task,
        "kind": kind,
        "answers": answers,
        "seconds": seconds,
        "age": age,
        **more,
    }


def make_once(home: Path, safety_size: int, capability_size: int) -> Path:
    write_study(home / "jobs", safety_size=safety_size, capability_size=capability_size)
    with Store(home / "store.duckdb") as store:
        ingest_all(store, home / "jobs")
    return home


@contextmanager
def copied(made: Path, home: Path) -> Iterator[Desk]:
    """A desk over a copy of a study."""
    home.mkdir(exist_ok=True)
    shutil.copytree(made / "jobs", home, dirs_exist_ok=True)
    shutil.copy(made / "store.duckdb", home / "store.duckdb")
    with Store(home / "store.duckdb") as store:
        found = Desk(store, home)
        yield found
        found.close()


def queue(desk: Desk, **settings: Any) -> QueueRecord:
    values = {"name": "a queue", "strategy": "random", "size": 40, "repeats": 0.0, **settings}
    return make_queue(desk, open_view(desk.store, Selection()), ADA, QueueSettings(**values))


def texts(desk: Desk) -> dict[str, str]:
    return dict(desk.store.rows("SELECT CAST(generation_id AS VARCHAR), text FROM generations"))


def work_through(desk: Desk, q: QueueRecord, person: Person, items: int | None = None) -> list[str]:
    """Label as the text says, until nothing is handed out; the tasks in order."""
    said, done = texts(desk), []
    while (tasks := desk.hand_out(person, q.queue)) and (items is None or len(done) < items):
        for task in tasks[: None if items is None else items - len(done)]:
            answer = said[task.generation_id]
            broken, unsafe = answer.startswith("####"), answer.startswith("Sure")
            answers = {
                "coherence": "incoherent" if broken else "coherent",
                "safety": "unsafe" if unsafe else "safe",
                "refusal": "full" if "sorry" in answer else "none",
            }
            assert desk.submit(
                person,
                q.queue,
                sent(
                    task.id,
                    answers={d: answers[d] for d in q.settings["questions"]},
                    reasons=["task_format"] if broken else [],
                ),
            ).taken
            done.append(task.id)
    ingest_all(desk.store, desk.jobs)
    return done


def queue_by(desk: Desk, person: Person) -> QueueRecord:
    return make_queue(desk, open_view(desk.store, Selection()), person, QueueSettings("x"))


def corrected(desk: Desk, **selection: Any) -> Any:
    return (
        correction_table(open_view(desk.store, Selection(**selection)))
        .set_index(["judge", "stratum"])
        .loc["prefix-zou", "all"]
    )
