"""The desk: what is handed out, taken in, changed and taken back."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest

from capsafe_core.analysis.people import correction_table
from capsafe_core.analysis.view import open_view
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import list_jobs
from capsafe_core.labelling.answers import HANDED_OUT
from capsafe_core.labelling.desk import Desk, Receipt
from capsafe_core.labelling.open_queue import REPEAT_AFTER
from capsafe_core.people import Person
from capsafe_core.selection import Selection
from capsafe_core.store.batches import set_retracted
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.label_rows import label_rows
from capsafe_core.store.labels import labellers, people_work, truths
from tests.labelling.desks import ADA, BEN, corrected, queue, sent, work_through


def test_each_item_goes_to_as_many_people_as_asked_and_to_nobody_twice(desk: Desk) -> None:
    q = queue(desk, annotators=2, size=30)
    people = [Person(name, "annotator") for name in "abc"]
    seen: Counter[str] = Counter()
    while any(handed := {p.name: desk.hand_out(p, q.queue, 3) for p in people}.values()):
        for person in people:
            for task in {p.name: t for p, t in zip(people, handed, strict=True)}[person.name]:
                assert desk.submit(person, q.queue, sent(task.id)).taken
                seen[task.id] += 1
    assert set(seen.values()) == {2}
    assert len(seen) == 30
    assert desk.progress(people[0], q.queue).done == 60 == desk.progress(people[0], q.queue).total


def test_repeats_come_later_and_leave_the_first_label_alone(desk: Desk) -> None:
    q = queue(desk, repeats=0.2, size=60)
    order = work_through(desk, q, ADA)
    again = [t for t in order if t.endswith("#1")]
    assert 8 <= len(again) <= 12
    assert all(order.index(t) - order.index(t[:-2]) > REPEAT_AFTER - HANDED_OUT for t in again)
    ingest_all(desk.store, desk.jobs)
    assert desk.store.rows("SELECT count(*) FROM current_labels WHERE dimension = 'safety'") == [(60,)]
    assert desk.store.rows(
        "SELECT count(*) FROM current_answers WHERE dimension = 'safety' AND repeat = 1"
    ) == [(len(again),)]
    [work] = people_work(desk.store).to_dict("records")
    assert (work["labels"], work["items"], work["second_looks"]) == (180, 60, len(again))
    assert list(labellers(desk.store)["person"]) == [ADA.name]


def test_the_same_label_sent_twice_is_one_label_and_undo_brings_the_item_back(desk: Desk) -> None:
    q = queue(desk)
    task = desk.hand_out(BEN, q.queue)[0].id
    label = sent(task)
    assert desk.submit(BEN, q.queue, label) == Receipt(label["id"], True) == desk.submit(BEN, q.queue, label)
    assert desk.submit(BEN, q.queue, sent(task, "undo")).taken
    assert task in {t.id for t in desk.hand_out(BEN, q.queue)}
    assert desk.submit(BEN, q.queue, sent(task, answers={"safety": "unsafe"})).taken
    ingest_all(desk.store, desk.jobs)
    assert desk.store.rows(
        "SELECT action, count(*) FROM label_events WHERE dimension = 'safety' GROUP BY action ORDER BY action"
    ) == [("label", 2), ("undo", 1)]
    assert list(truths(desk.store, "safety")["code"]) == [2]
    assert list(truths(desk.store, "coherence")["code"]) == []
    [work] = people_work(desk.store).to_dict("records")
    assert (work["labels"], work["items"], work["taken_back"]) == (1, 1, 1)
    assert desk.progress(BEN, q.queue).mine == desk.progress(BEN, q.queue).done == 1
    assert [row["label"] for row in label_rows(desk.store, q.queue) if "label" in row] == ["unsafe"]


def test_taking_a_label_back_leaves_what_was_said_of_the_output_in_another_queue(desk: Desk) -> None:
    """Two queues over everything share an output; taken back in the second, it still has its first label."""
    first, second = (queue(desk, name=name, size=1200) for name in ("first", "second"))
    shared = {t.id for t in desk.hand_out(BEN, first.queue, 1200)} & {
        t.id for t in desk.hand_out(BEN, second.queue, 1200)
    }
    task = sorted(shared)[0]
    for q, action, label in (
        (first, "label", "unsafe"),
        (second, "label", "safe"),
        (second, "undo", ""),
    ):
        answers = {"safety": label} if label else {}
        assert desk.submit(BEN, q.queue, sent(task, action, answers=answers)).taken
    ingest_all(desk.store, desk.jobs)
    assert list(truths(desk.store, "safety")["code"]) == [2]
    assert [people_work(desk.store)[c].iloc[0] for c in ("labels", "taken_back")] == [1, 1]


def test_a_revised_label_replaces_the_first_and_both_are_kept(desk: Desk) -> None:
    q = queue(desk)
    work_through(desk, q, BEN, 3)
    task, events = desk.recent(BEN, q.queue)[0]
    assert {e.dimension for e in events} == {"coherence", "safety", "refusal"}
    assert desk.submit(
        BEN,
        q.queue,
        sent(
            task.id, answers={"coherence": "cannot_tell", "safety": "cannot_tell", "refusal": "cannot_tell"}
        ),
    ).taken
    ingest_all(desk.store, desk.jobs)
    assert set(
        truths(desk.store, "safety").set_index("generation_id").loc[task.generation_id, ["state"]]
    ) == {"cannot tell"}
    assert desk.store.rows("SELECT count(*) FROM label_events WHERE dimension = 'safety'") == [(4,)]


def test_a_skipped_item_is_no_answer_and_widens_the_bounds(desk: Desk) -> None:
    q = queue(desk, size=300)
    task = desk.hand_out(ADA, q.queue)[0].id
    assert desk.submit(ADA, q.queue, sent(task, "skip")).taken
    work_through(desk, q, ADA)
    row = (
        correction_table(open_view(desk.store, Selection()))
        .set_index(["judge", "stratum"])
        .loc["prefix-zou", "all"]
    )
    assert (row["labels"], row["unusable"]) == (299, 1)
    assert row["lowest"] < row["highest"]
    assert task in {t.id for t in desk.hand_out(BEN, q.queue)}  # somebody else may know


def test_a_paused_queue_hands_out_nothing_and_keeps_what_was_on_its_way(desk: Desk) -> None:
    q = queue(desk)
    task = desk.hand_out(BEN, q.queue)[0].id
    desk.set_state(ADA, q.queue, "closed")
    with pytest.raises(CapsafeError, match="is closed"):
        desk.hand_out(BEN, q.queue)
    receipt = desk.submit(BEN, q.queue, sent(task))
    assert receipt.taken
    assert "closed" in receipt.message
    desk.set_state(ADA, q.queue, "open")
    assert desk.hand_out(BEN, q.queue)


def test_a_deleted_queue_is_said_and_asks_for_the_labels_to_be_kept(desk: Desk) -> None:
    q = queue(desk)
    task = desk.hand_out(BEN, q.queue)[0].id
    shutil.rmtree(desk.jobs / q.queue)
    with pytest.raises(CapsafeError, match="was deleted") as error:
        desk.submit(BEN, q.queue, sent(task))
    assert "save them to a file" in error.value.hint


def test_outputs_that_were_taken_out_are_not_asked_about(desk: Desk) -> None:
    q = queue(desk)
    desk.mark_gone(q.queue, desk._queues[q.queue].order[:30])
    assert len(work_through(desk, q, BEN)) == 10
    assert desk.progress(BEN, q.queue).total == 10


def test_an_output_that_is_gone_does_not_stop_the_queue(desk: Desk) -> None:
    """A job is taken out after the queue was made: its outputs are not asked about, and the rest corrects
    what is left."""
    q = queue(desk, size=300)
    gone = next(job for job in list_jobs(desk.jobs) if job.manifest.name == "made-up-harsh-s0-40")
    set_retracted(desk.store, gone.job_id, True)
    live = {g for (g,) in desk.store.rows("SELECT CAST(generation_id AS VARCHAR) FROM live_generations")}
    desk.mark_gone(q.queue, [g for g in desk._queues[q.queue].order if g not in live])
    done = work_through(desk, q, ADA)
    assert set(done) <= live
    row = corrected(desk)
    assert row["outputs"] == 1080
    assert row["labels"] == len(done)
