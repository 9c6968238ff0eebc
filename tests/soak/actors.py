"""What is killed in the soak: `python -m tests.soak.actors NAME HOME ROUND`.

It says "at work", and works until it is killed, has nothing left, or whoever started it is gone.
"""

from __future__ import annotations

import csv
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from capsafe_core.jobs.folder import Job, Manifest, create_job, list_jobs
from capsafe_core.jobs.importing import plan_import
from capsafe_core.labelling.desk import Desk
from capsafe_core.people import Person
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.work.worker import run
from capsafe_core.workspace.owner import Owner
from tests.importing import look
from tests.labelling.desks import sent
from tests.soak.made import ROWS, queue_of

PARENT = os.getppid()
PERSON = Person("Ada", "annotator")


def alone() -> bool:
    """Whether nobody is there any more who would kill this process."""
    return os.getppid() != PARENT


def unfinished(settings: Settings, kind: str) -> list[Job]:
    """Jobs of a kind that a worker began, or that nobody did."""
    mine = [job for job in list_jobs(settings.jobs_path) if job.manifest.kind == kind]
    return [job for job in mine if job.state != "done"]


def judge_job(settings: Settings, number: int) -> Job:
    """A judge that looks at everything again."""
    generations = [job.job_id for job in list_jobs(settings.jobs_path) if job.manifest.kind == "generate"]
    config = {"datasets": [{"name": "refusals", "source": "project:refusals"}]}
    asked = {"judge": "coherence-rules", "config": config, "model": None, "engine": {}}
    work = {**asked, "generations": generations}
    return create_job(settings.jobs_path, Manifest("judge", f"again-{number}", work))


def import_job(settings: Settings, number: int) -> Job:
    """A table of this round, looked at and planned."""
    table = settings.home / f"table-{number}.csv"
    with table.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["model", "prompt", "response", "unsafe"])
        rows.writerows([f"model-{number}", f"prompt {n}", f"answer {n}", n % 2] for n in range(ROWS))
    survey = look(settings.jobs_path, table)
    job = plan_import(settings.jobs_path, survey, survey.accepted(True))[0]
    for folder in settings.jobs_path.glob("survey-*"):
        shutil.rmtree(folder)
    return job


def worker(settings: Settings, number: int) -> None:
    job = next(iter(unfinished(settings, "judge")), None) or judge_job(settings, number)
    at_work()
    run(job.folder, 0)


def importer(settings: Settings, number: int) -> None:
    job = next(iter(unfinished(settings, "import")), None) or import_job(settings, number)
    at_work()
    run(job.folder, 0)


def ingester(settings: Settings, number: int) -> None:
    while not alone():
        with Store(settings.store_path) as store:
            at_work()
            ingest_all(store, settings.jobs_path)


def owner(settings: Settings, number: int) -> None:
    found = Owner(settings).start()
    at_work()
    while not alone():
        found.look()


def desk(settings: Settings, number: int) -> None:
    """Labels, and says each one that was acknowledged, while the owner reads them."""
    found = Owner(settings).start()
    queue = queue_of(found.desk)
    at_work()
    for task in tasks_of(found.desk, queue):
        entry = sent(task)
        if found.desk.submit(PERSON, queue, entry).taken:
            print(f"ack {entry['id']}", flush=True)
        time.sleep(0.002)


def tasks_of(desk: Desk, queue: str) -> Iterator[str]:
    """New items, then the last ones again and again."""
    while not alone():
        for task in desk.hand_out(PERSON, queue) or [task for task, _ in desk.recent(PERSON, queue)]:
            yield task.id


def at_work() -> None:
    print("at work", flush=True)


ACTORS: dict[str, Callable[[Settings, int], None]] = {
    "worker": worker,
    "importer": importer,
    "ingester": ingester,
    "owner": owner,
    "desk": desk,
}

if __name__ == "__main__":
    os.environ["CAPSAFE_HOME"] = sys.argv[2]
    ACTORS[sys.argv[1]](Settings(home=Path(sys.argv[2])), int(sys.argv[3]))
