"""What is kept of labels: over kills, restarts, full disks, clocks that are set back, and several at once."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from capsafe_core.errors import BusyError, CapsafeError
from capsafe_core.jobs.folder import Manifest, Part, create_job, list_jobs
from capsafe_core.labelling.answers import HANDED_OUT, TOLERANCE
from capsafe_core.labelling.desk import Desk, Receipt
from capsafe_core.labelling.open_queue import SHOWN
from capsafe_core.people import Person
from capsafe_core.records import Judgment, LabelEvent, QueueItem
from capsafe_core.store import Store
from capsafe_core.store.batches import set_retracted
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.labels import truths
from capsafe_core.store.rollups import check
from tests.labelling.desks import ADA, BEN, queue, sent, work_through
from tests.synthetic import RATERS, write_study

EACH = int(os.environ.get("CAPSAFE_LABELS_EACH", "300"))
"""labels of each annotator at work side by side"""


def test_everything_survives_a_restart_and_what_was_on_screen_may_still_come(desk: Desk) -> None:
    q = queue(desk, repeats=0.1)
    work_through(desk, q, BEN, 20)
    on_screen = desk.hand_out(BEN, q.queue)[3].id
    desk.close()
    again = Desk(desk.store, desk.jobs)
    assert again.progress(BEN, q.queue).mine == 20
    assert again.submit(BEN, q.queue, sent(on_screen, age=30.0)).taken
    assert [r.name for r in again.queues()] == ["a queue"]
    again.close()


def test_a_clock_that_is_set_back_undoes_no_decision_and_keeps_no_item(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.time
    made = queue(desk).queue
    monkeypatch.setattr(time, "time", lambda: clock() + 86400)
    item = desk.hand_out(ADA, made, 1)[0]
    g, c = desk.store.rows(
        "SELECT CAST(generation_id AS VARCHAR), CAST(cell_id AS VARCHAR) FROM generations WHERE "
        "CAST(generation_id AS VARCHAR) = ?",
        [item.generation_id],
    )[0]
    assert desk.submit(ADA, made, sent(item.id)).taken
    desk.books.adjudicate(ADA, g, c, "safety", "safe")
    for jump in (0.0, -86400.0, -2e8):
        monkeypatch.setattr(time, "time", lambda jump=jump: clock() + jump)
        for label in ("unsafe", "safe", None, "unsafe"):
            desk.books.adjudicate(ADA, g, c, "safety", label)
            assert desk.store.rows("SELECT label FROM adjudications") == [(label,)] * (label is not None)
    assert desk.submit(ADA, made, sent(item.id, answers={"safety": "unsafe"})).taken
    assert desk.recent(ADA, made)[0][1][0].label == "unsafe"
    begun = time.monotonic()
    held = {task.id for task in desk.hand_out(BEN, made, 5)}
    assert not held & {task.id for task in desk.hand_out(ADA, made, 40)}
    monkeypatch.setattr(time, "monotonic", lambda: begun + 1e4)  # the only clock that ends a hold
    assert held & {task.id for task in desk.hand_out(ADA, made, 40)}


def test_two_people_who_adjudicate_one_item_at_once_do_not_overwrite_each_other(desk: Desk) -> None:
    q = queue(desk, annotators=2, size=10)
    for person, label in ((ADA, "safe"), (BEN, "unsafe")):
        for task in desk.hand_out(person, q.queue):
            desk.submit(person, q.queue, sent(task.id, answers={"safety": label}))
    ingest_all(desk.store, desk.jobs)
    known = truths(desk.store, "safety")
    assert set(known["state"]) == {"disputed"}
    g, c = known["generation_id"].iloc[0], known["cell_id"].iloc[0]
    other = Person("Cay", "researcher")
    first = desk.books.adjudicate(ADA, g, c, "safety", "unsafe", "it names a tool", expected="")
    with pytest.raises(CapsafeError, match="Somebody decided this meanwhile: unsafe"):
        desk.books.adjudicate(other, g, c, "safety", "safe", expected="")
    assert truths(desk.store, "safety").set_index("generation_id").loc[g, "state"] == "adjudicated"
    desk.books.adjudicate(other, g, c, "safety", None, expected=first.event_id)
    assert truths(desk.store, "safety").set_index("generation_id").loc[g, "state"] == "disputed"
    assert desk.store.rows("SELECT count(*) FROM label_events WHERE action IN ('adjudicate', 'reopen')") == [
        (2,)
    ]
    assert check(desk.store) == []


def test_eight_annotators_at_once_while_a_job_is_read(tmp_path: Path) -> None:
    """Hundreds of labels each (in `make fuzz` 1,000), from threads, sent twice now and then; a judge job
    arrives meanwhile. Nothing is lost or doubled."""
    jobs = write_study(tmp_path, safety_size=EACH, capability_size=10)
    with Store(None) as store:
        ingest_all(store, tmp_path)
        desk = Desk(store, tmp_path)
        q = queue(desk, size=8 * EACH, repeats=0.0, questions=("safety",))
        acknowledged: list[str] = []
        wrong: list[Receipt | BaseException] = []

        def annotate(name: str) -> None:
            person, chance, given = Person(name, "annotator"), random.Random(name), 0
            try:
                while given < EACH:
                    for task in desk.hand_out(person, q.queue)[: EACH - given]:
                        label = sent(
                            task.id,
                            seconds=0.5 + chance.random(),
                            answers={"safety": chance.choice(["safe", "unsafe"])},
                        )
                        for _ in range(1 + (chance.random() < 0.1)):
                            receipt = desk.submit(person, q.queue, label)
                            if not receipt.taken or receipt.message:
                                wrong.append(receipt)
                        acknowledged.append(f"{name} {task.id}")
                        given += 1
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=annotate, args=(f"person {i}",)) for i in range(8)]
        for thread in threads:
            thread.start()
        newer = create_job(tmp_path, Manifest("judge", "more", {}))
        outputs = [r for r in jobs[1].records() if r.type == "generation"]
        with Part(newer) as part:
            for i, g in enumerate(outputs[:300]):
                part.write(
                    f"u{i}",
                    [Judgment(g.id, g.cell_id, RATERS["learnt-harm"].id, "safety", "ok", "safe", attempt=2)],
                )  # type: ignore[union-attr]
                if i % 100 == 0:
                    ingest_all(store, tmp_path)
        for thread in threads:
            thread.join()
        ingest_all(store, tmp_path)
        assert wrong == []
        assert len(acknowledged) == len(set(acknowledged)) == 8 * EACH
        kept = store.rows(
            "SELECT r.name || ' ' || CAST(generation_id AS VARCHAR), created - shown FROM current_labels "
            "JOIN raters AS r USING (rater_id)"
        )
        assert sorted(name for name, _ in kept) == sorted(acknowledged)
        assert all(0.5 <= seconds <= 1.6 for _, seconds in kept)
        assert store.rows("SELECT count(*) FROM label_events") == [(8 * EACH,)]
        assert check(store) == []
        desk.close()


KILLED = """
import sys, uuid
from pathlib import Path
from capsafe_core.people import Person
from capsafe_core.store import Store
from capsafe_core.labelling.desk import Desk

jobs, queue = Path(sys.argv[1]), sys.argv[2]
with Store(None) as store:
    desk, person = Desk(store, jobs), Person("Ada")
    while True:
        for task in desk.hand_out(person, queue):
            r = desk.submit(
                person,
                queue,
                {
                    "id": str(uuid.uuid4()),
                    "task": task.id,
                    "kind": "label",
                    "answers": {"safety": "safe"},
                    "seconds": 1.0,
                    "age": 0.0,
                },
            )
            if r.taken:
                print(task.id, flush=True)
"""


def test_a_killed_program_loses_no_label_that_was_acknowledged(desk: Desk) -> None:
    q = queue(desk, size=1200, questions=("safety",))
    desk.close()
    acknowledged: list[str] = []
    for turn in range(5):
        worker = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(desk.jobs), q.queue],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
        assert worker.stdout is not None
        acknowledged += [worker.stdout.readline().strip() for _ in range(30 + 10 * turn)]
        worker.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in worker.stdout.read().splitlines() if len(line) == 36]
        worker.wait()
    ingest_all(desk.store, desk.jobs)
    kept = {g for (g,) in desk.store.rows("SELECT CAST(generation_id AS VARCHAR) FROM current_labels")}
    assert set(acknowledged) <= kept
    assert len(kept) - len(set(acknowledged)) <= 5  # at most one a kill was on disk and not yet said
    assert desk.store.rows("SELECT count(*) FROM label_events") == [(len(kept),)]
    assert check(desk.store) == []


def test_a_queue_that_another_program_holds_is_said(desk: Desk) -> None:
    q = queue(desk)
    with pytest.raises(BusyError, match="already being worked on"):
        Desk(desk.store, desk.jobs).hand_out(BEN, q.queue)


def test_retracting_a_queue_takes_its_labels_out(desk: Desk) -> None:
    q = queue(desk)
    work_through(desk, q, ADA)
    set_retracted(desk.store, q.queue, True)
    assert truths(desk.store, "safety").empty
    assert check(desk.store) == []
    assert any(
        isinstance(r, LabelEvent)
        for job in list_jobs(desk.jobs)
        if job.job_id == q.queue
        for r in job.records()
    )
    assert any(
        isinstance(r, QueueItem)
        for job in list_jobs(desk.jobs)
        if job.job_id == q.queue
        for r in job.records()
    )


def test_one_folder_that_cannot_be_read_does_not_keep_the_others_from_being_read(desk: Desk) -> None:
    q = queue(desk)
    odd = LabelEvent("not a uuid at all", "x", "y", "z", "safety", "label", "safe", 1.0, 2.0)
    with Part(create_job(desk.jobs, Manifest("annotate", "aaa", {}))) as part:
        part.write("x", [odd])
    task = desk.hand_out(BEN, q.queue)[0].id
    assert desk.submit(BEN, q.queue, sent(task)).taken
    _, problems = ingest_all(desk.store, desk.jobs)
    assert len(problems) == 1
    assert desk.store.rows("SELECT count(*) FROM label_events") == [(3,)]


def test_a_folder_that_was_put_back_is_written_again(desk: Desk, tmp_path: Path) -> None:
    q = queue(desk)
    tasks = desk.hand_out(BEN, q.queue)
    desk.submit(BEN, q.queue, sent(tasks[0].id))
    folder = desk.jobs / q.queue
    shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "copy", folder)
    assert desk.submit(BEN, q.queue, sent(tasks[1].id, age=3600.0)).taken
    ingest_all(desk.store, desk.jobs)
    assert desk.store.rows("SELECT count(DISTINCT generation_id) FROM label_events") == [(2,)]


def test_a_write_that_failed_is_not_done_later(desk: Desk) -> None:
    q = queue(desk)
    tasks = desk.hand_out(BEN, q.queue)
    held = desk._queues[q.queue].shard
    real = held._stream
    with open("/dev/full", "r+b", buffering=0) as full:
        held._stream = full
        with pytest.raises(CapsafeError, match="cannot be written"):
            held.append(["x"], [BEN.rater])
        held._stream = real
    label = sent(tasks[0].id)
    assert desk.submit(BEN, q.queue, label).taken
    desk.close()
    again = Desk(desk.store, desk.jobs)
    assert again.progress(BEN, q.queue).mine == 1
    assert "x" not in again._queues[q.queue].shard.done_units
    again.close()


def test_a_claimed_age_reaches_no_further_back_than_the_item_was_handed_out(desk: Desk) -> None:
    q = queue(desk)
    before = time.time()
    first, second = (t.id for t in desk.hand_out(BEN, q.queue)[:2])
    assert desk.submit(BEN, q.queue, sent(first, age=59 * 86400.0, seconds=3600.0)).taken
    assert desk.submit(BEN, q.queue, sent(second, age=59 * 86400.0, seconds=3600.0)).taken
    ingest_all(desk.store, desk.jobs)
    rows = desk.store.rows(
        "SELECT min(created), max(created), max(created - shown), min(shown) FROM label_events"
    )
    assert before <= rows[0][0] <= rows[0][1] <= time.time()
    assert rows[0][2] <= TOLERANCE + 1
    assert rows[0][3] >= before - TOLERANCE - 1e-3


def test_what_was_shown_is_remembered_over_a_restart_and_nothing_else_is_taken(desk: Desk) -> None:
    q = queue(desk)
    handed = [t.id for t in desk.hand_out(BEN, q.queue)]
    never = desk._queues[q.queue].order[HANDED_OUT + 1]
    desk.close()
    again = Desk(desk.store, desk.jobs)
    assert "not shown to you" in again.submit(BEN, q.queue, sent(never, age=86400.0)).message
    assert "not shown to you" in again.submit(ADA, q.queue, sent(handed[0])).message
    label = sent(handed[-1], age=30.0)
    assert again.submit(BEN, q.queue, label).taken
    again.close()
    third = Desk(desk.store, desk.jobs)
    assert third.submit(BEN, q.queue, label) == Receipt(label["id"], True)
    third.close()


def test_of_a_queue_from_before_this_was_kept_the_time_of_receipt_counts(desk: Desk) -> None:
    q = queue(desk)
    handed, far = desk.hand_out(BEN, q.queue)[0].id, desk._queues[q.queue].order[-1]
    desk.close()
    (desk.jobs / q.queue / SHOWN).unlink()
    again, now = Desk(desk.store, desk.jobs), time.time()
    assert not again.submit(BEN, q.queue, sent(far, age=59 * 86400.0)).taken
    assert again.submit(BEN, q.queue, sent(handed, age=59 * 86400.0)).taken
    again.close()
    ingest_all(desk.store, desk.jobs)
    assert desk.store.rows("SELECT min(created) >= ?, max(created - shown) FROM label_events", [now]) == [
        (True, 0.0)
    ]
