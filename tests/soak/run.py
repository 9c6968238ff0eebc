"""Kills over everything that writes, for as long as one likes: `make soak`.

    python -m tests.soak.run [--kills 1000] [--minutes 60] [--home build/soak]

Each round starts something that writes job folders (worker, importer) beside something that holds the store
(ingester, owner, label desk) and kills both at moments that the round's number decides. Every few rounds all
is finished and counted: nothing acknowledged is lost, nothing is there twice, `check` finds nothing, and a
rebuilt store holds the same. It can be ended at any time, and goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capsafe_core.jobs.folder import list_jobs
from capsafe_core.records import Generation, Judgment, LabelEvent, identify
from capsafe_core.settings import ROOT, Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.rebuild import check_all, rebuild_store
from capsafe_core.work.worker import run
from tests.soak.actors import unfinished
from tests.soak.made import ROWS, make

WRITERS, HOLDERS = ("worker", "importer"), ("desk", "owner", "ingester")
CYCLE = 6
"""rounds between two counts"""
LONGEST = 1.0
"""seconds from the beginning of an actor's work to its kill, at most"""


@dataclass
class Soak:
    """The rounds of a workspace."""

    settings: Settings

    @property
    def _log(self) -> Path:
        return self.settings.home / "soak.jsonl"

    def done(self) -> list[dict[str, Any]]:
        """What earlier runs did; a line that was cut is left out."""
        text = self._log.read_text() if self._log.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1] if line.endswith("}")]

    def _note(self, **what: Any) -> None:
        with self._log.open("a") as stream:
            stream.write(json.dumps(what) + "\n")

    def round(self, number: int) -> int:
        """One round; how many processes were killed."""
        chance = random.Random(number)
        names = (HOLDERS[number % 3], WRITERS[number % 2])  # a writer has its work done sooner
        running = [self._start(name, number) for name in names]
        ends = [time.monotonic() + chance.uniform(0.0, LONGEST / (1 + 3 * (n in WRITERS))) for n in names]
        killed = []
        for name, process, end in sorted(zip(names, running, ends, strict=True), key=lambda one: one[2]):
            try:
                process.wait(timeout=max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                killed.append(name)
                process.wait()
        self._note(round=number, killed=killed)
        return len(killed)

    def _start(self, name: str, number: int) -> subprocess.Popen[bytes]:
        """An actor that is at work, or has ended."""
        said = self.settings.home / f"said-{name}-{number}"
        with said.open("wb") as out, (self.settings.home / f"faults-{name}").open("ab") as faults:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.soak.actors", name, str(self.settings.home), str(number)],
                cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=out, stderr=faults,
            )  # fmt: skip
        while b"at work\n" not in said.read_bytes() and process.poll() is None:
            time.sleep(0.01)
        if process.poll():
            raise AssertionError(f"{name} ended by itself: {self.settings.home / f'faults-{name}'}")
        return process

    def count(self, number: int) -> dict[str, int]:
        """Finish what was begun, and count.

        Raises:
            AssertionError: something was lost, doubled or damaged.
        """
        jobs = self.settings.jobs_path
        for job in [*unfinished(self.settings, "judge"), *unfinished(self.settings, "import")]:
            assert run(job.folder, 0) == 0, job.job_id
            assert job.state == "done", job.job_id
        with Store(self.settings.store_path) as store:
            _, problems = ingest_all(store, jobs)
            assert problems == [], problems
            assert (found := check_all(store, jobs).problems) == [], found
            held = _held(store)
        written = _written(jobs)
        assert [len(written[name]) for name in held] == [len(ids) for ids in held.values()], "lost or doubled"
        assert written == {name: set(ids) for name, ids in held.items()}, "lost or doubled"
        assert self._acknowledged() <= written["labels"], "an acknowledged label was lost"
        tables = sum(job.manifest.name.endswith("import") for job in list_jobs(jobs))
        assert len(written["outputs"]) - self._made() == tables * ROWS
        rebuilt = rebuild_store(self.settings.store_path, jobs, "500MB", 2)
        with Store(self.settings.store_path) as store:
            assert _held(store) == held
        for old in self.settings.home.glob("store.2*"):
            old.unlink()
        assert rebuilt.problems == []
        counts = {name: len(ids) for name, ids in written.items()}
        self._note(counted=number, **counts, acknowledged=len(self._acknowledged()))
        return counts

    def _made(self) -> int:
        generate = [job for job in list_jobs(self.settings.jobs_path) if job.manifest.kind == "generate"]
        return sum(isinstance(record, Generation) for job in generate for record in job.records())

    def _acknowledged(self) -> set[str]:
        """The events of every label whose acknowledgement was heard."""
        lines = [
            line.split()
            for said in self.settings.home.glob("said-desk-*")
            for line in said.read_text().splitlines(keepends=True)
            if line.startswith("ack ") and line.endswith("\n")
        ]
        return {identify("label", entry, "safety") for _, entry in lines}


def _held(store: Store) -> dict[str, list[str]]:
    """The ids of what a store holds, doubles with it."""
    queries = {
        "outputs": "SELECT CAST(generation_id AS VARCHAR) FROM generations",
        "judgments": "SELECT CAST(generation_id AS VARCHAR) || CAST(rater_id AS VARCHAR) || dimension"
        " || attempt FROM judgments",
        "labels": "SELECT CAST(event_id AS VARCHAR) FROM label_events WHERE dimension = 'safety'",
    }
    return {name: sorted(one for (one,) in store.rows(query)) for name, query in queries.items()}


def _written(jobs: Path) -> dict[str, set[str]]:
    """The ids of what the folders hold."""
    found: dict[str, set[str]] = {"outputs": set(), "judgments": set(), "labels": set()}
    for job in list_jobs(jobs):
        for record in job.records():
            if isinstance(record, Generation):
                found["outputs"].add(record.id)
            elif isinstance(record, Judgment):
                key = f"{record.generation_id}{record.rater_id}{record.dimension}{record.attempt}"
                found["judgments"].add(key)
            elif isinstance(record, LabelEvent) and record.dimension == "safety":
                found["labels"].add(record.event_id)
    return found


def soak(home: Path, kills: int, minutes: float) -> dict[str, int]:
    """Rounds until so many processes were killed in all runs together, or the time is over; the last counts,
    with `kills` and `rounds`."""
    found = Soak(make(home))
    done = found.done()
    killed = sum(len(line.get("killed", ())) for line in done)
    number = 1 + max((line["round"] for line in done if "round" in line), default=-1)
    until = time.monotonic() + 60 * minutes
    counts: dict[str, int] = {}
    while killed < kills and time.monotonic() < until:
        killed += found.round(number)
        number += 1
        if number % CYCLE == 0:
            counts = found.count(number - 1)
            print(f"capsafe: {killed} kills in {number} rounds; {counts}", flush=True)
    if number % CYCLE or not counts:
        counts = found.count(number - 1)
    return {"kills": killed, "rounds": number, **counts}


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=1000)
    options.add_argument("--minutes", type=float, default=60.0)
    options.add_argument("--home", type=Path, default=ROOT / "build" / "soak")
    given = options.parse_args()
    given.home.mkdir(parents=True, exist_ok=True)
    print(f"capsafe: {soak(given.home, given.kills, given.minutes)}; nothing lost, nothing doubled")
