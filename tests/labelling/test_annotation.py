"""Queues and labels through the desk: what is drawn, handed out, taken in, kept, and counted."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capsafe_core.analysis.people import correction_table
from capsafe_core.analysis.view import open_view
from capsafe_core.annotation import (
    LONGEST_NOTE,
    QUESTIONS,
    REASONS,
    QueueSettings,
    read_guidelines,
    shipped_guidelines,
)
from capsafe_core.errors import BusyError, CapsafeError
from capsafe_core.jobs.folder import Manifest, Part, create_job, list_jobs
from capsafe_core.labelling.answers import HANDED_OUT, TOLERANCE
from capsafe_core.labelling.desk import Desk, Receipt
from capsafe_core.labelling.open_queue import REPEAT_AFTER, SHOWN
from capsafe_core.labelling.queues import extend_queue, make_queue
from capsafe_core.people import Person, person_named, role_of
from capsafe_core.records import Judgment, LabelEvent, QueueItem, QueueRecord, Rater
from capsafe_core.selection import Selection
from capsafe_core.stats.design import power_allocation
from capsafe_core.store import Store
from capsafe_core.store.batches import set_retracted
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.labels import truths
from capsafe_core.store.rollups import check
from tests.records.test_values import ANY
from tests.synthetic import RATERS, write_study

EACH = int(os.environ.get("CAPSAFE_LABELS_EACH", "300"))
"""labels of each annotator at work side by side"""
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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up study with 120 harmful requests, its jobs and its store, to be copied."""
    return make_once(tmp_path_factory.mktemp("made"), 120, 10)


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


@pytest.fixture
def desk(made: Path, tmp_path: Path) -> Iterator[Desk]:
    with copied(made, tmp_path / "jobs") as found:
        yield found


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


def test_every_item_of_a_queue_has_its_probability_and_the_strata_add_up(desk: Desk) -> None:
    for strategy in ("random", "stratified", "disagreement"):
        q = queue(desk, name=strategy, strategy=strategy, size=60)
        rows = desk.store.rows(
            "SELECT CAST(generation_id AS VARCHAR), stratum, place, probability FROM queue_items WHERE "
            "queue = ? ORDER BY stratum, place",
            [q.queue],
        )
        assert Counter(stratum for _, stratum, _, _ in rows) == {
            s["name"]: s["drawn"] for s in q.strata if s["drawn"]
        }
        assert all(0 < probability <= 1 for *_, probability in rows)
        drawn_from = sum(s["size"] for s in q.strata if s["draw"] == 0)
        assert drawn_from == 1200  # ten checkpoints
        twice = len(rows) - len({g for g, *_ in rows})
        if strategy == "disagreement":
            assert [s["drawn"] for s in q.strata] == [18, 42]
            assert {p for _, stratum, _, p in rows if stratum == "most disputed"} == {1.0}
        else:
            assert len(rows) == 60
            assert twice == 0
            # expected number of draws: the probabilities of all outputs add up to the size
            assert sum(s["size"] * (s["drawn"] / s["size"]) for s in q.strata) == pytest.approx(60)


def test_strata_are_as_fine_as_the_queue_is_large(desk: Desk) -> None:
    small, large = (
        queue(desk, strategy="stratified", size=12),
        queue(desk, name="b", strategy="stratified", size=300),
    )
    assert "checkpoint" in large.words
    assert "checkpoint" not in small.words
    assert all(s["drawn"] >= min(4, s["size"]) for s in large.strata)


def test_allocation_gives_small_strata_a_larger_share_and_never_more_than_they_have() -> None:
    assert power_allocation([1000, 10, 1], 50) == [42, 7, 1]
    assert power_allocation([5, 5], 100) == [5, 5]
    assert sum(power_allocation(list(range(1, 40)), 333)) == 333


def test_a_queue_is_extended_along_the_same_order_and_says_so(desk: Desk) -> None:
    q = queue(desk, size=20)
    before = [i.generation_id for i in desk._queues[q.queue].places]
    longer = extend_queue(desk, ADA, q, 15)
    items = desk._queues[q.queue].places
    assert [i.generation_id for i in items[:20]] == before
    assert len({i.generation_id for i in items}) == 35
    assert [i.place for i in items] == list(range(35))
    assert items[-1].probability == pytest.approx(35 / 1200)
    assert "then 15 more" in longer.words
    assert longer.settings["size"] == 35
    assert desk.store.rows("SELECT count(*) FROM queues WHERE queue = ?", [q.queue]) == [
        (2,)
    ]  # nothing is overwritten
    everything = queue(desk, name="all", size=1200)
    with pytest.raises(CapsafeError, match="already holds every output"):
        extend_queue(desk, ADA, everything, 5)


@pytest.mark.parametrize(("strategy", "share"), [("random", 0.3), ("stratified", 0.3), ("disagreement", 0.6)])
@pytest.mark.parametrize("stop", [1.0, 0.7])
def test_labels_of_each_kind_of_queue_correct_the_judge(
    desk: Desk, strategy: str, share: float, stop: float
) -> None:
    """The judge calls broken text unsafe; people do not. Simulations of coverage are in tests/validate."""
    truth = np.mean(
        [
            t.startswith("Sure")
            for (t,) in desk.store.rows(
                "SELECT text FROM generations JOIN cells USING (cell_id) JOIN benchmarks AS b USING "
                "(benchmark_id) WHERE b.name = 'requests'"
            )
        ]
    )
    q = queue(desk, strategy=strategy, share=share, size=500)
    done = work_through(desk, q, ADA, round(stop * 500))
    row = (
        correction_table(open_view(desk.store, Selection()))
        .set_index(["judge", "stratum"])
        .loc["prefix-zou", "all"]
    )
    assert row["judge_rate"] > truth + 0.05
    assert row["ppi"] == pytest.approx(truth, abs=0.07)
    assert row["ppi_low"] < truth < row["ppi_high"]
    if strategy == "random":
        assert row["labels"] == len(done)


def test_a_queue_of_disputed_outputs_alone_corrects_nothing_and_says_why(desk: Desk) -> None:
    q = queue(desk, strategy="disagreement", share=0.0, size=30)
    done = work_through(desk, q, ADA, 10)
    with pytest.raises(CapsafeError, match="not finished"):
        correction_table(open_view(desk.store, Selection()))
    work_through(desk, q, ADA)
    assert len(done) == 10
    with pytest.raises(CapsafeError, match="had no chance of being labelled") as error:
        correction_table(open_view(desk.store, Selection()))
    assert "random share" in error.value.hint


def test_labels_of_a_part_of_the_outputs_correct_only_that_part(desk: Desk) -> None:
    view = open_view(desk.store, Selection(recipes=("harsh",)))
    q = make_queue(desk, view, ADA, QueueSettings("part", strategy="random", size=300, repeats=0.0))
    work_through(desk, q, ADA)
    both = (
        correction_table(open_view(desk.store, Selection()))
        .set_index(["judge", "stratum"])
        .loc["prefix-zou", "all"]
    )
    assert (
        both["outputs"] == 480
    )  # the harsh run's four checkpoints; the others had no chance of being labelled
    points = open_view(desk.store, Selection()).points
    others = list(points[(points["recipe"] == "gentle") & (points["step"] > 0)]["checkpoint_id"])
    with pytest.raises(CapsafeError, match="Nobody has labelled"):
        correction_table(open_view(desk.store, Selection()), checkpoints=others)


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


def test_what_was_not_shown_or_makes_no_sense_is_refused_with_a_sentence(desk: Desk) -> None:
    q = queue(desk)
    first = desk.hand_out(BEN, q.queue)[0].id
    last = desk._queues[q.queue].order[-1]
    for wrong, sentence in [
        (sent(last), "was not shown to you"),
        (sent(first, seconds=0.2), "less than 250 ms"),
        (sent(first, seconds=float("nan")), "how long"),
        (sent("no such item"), "not in this queue"),
        (sent(first, kind="shout"), "neither a label"),
        (sent(first, answers={}), "no answer"),
        (sent(first, answers={"safety": "purple"}), "no answer to a question"),
        (sent(first, kind="undo"), "nothing to take back"),
        ({**sent(first), "id": "x"}, "could not be read"),
    ]:
        receipt = desk.submit(BEN, q.queue, wrong)
        assert not receipt.taken, wrong
        assert sentence in receipt.message
    assert desk.submit(BEN, q.queue, sent(first)).taken


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


def test_roles_are_checked_where_things_are_written(desk: Desk) -> None:
    q = queue(desk)
    task = desk.hand_out(BEN, q.queue)[0].id
    for action in (
        lambda: queue_by(desk, BEN),
        lambda: desk.set_state(BEN, q.queue, "closed"),
        lambda: desk.books.adjudicate(BEN, "g", "c", "safety", "safe"),
        lambda: desk.books.save_guidelines(BEN, shipped_guidelines().text),
        lambda: desk.submit(EVE, q.queue, sent(task)),
        lambda: desk.hand_out(EVE, q.queue),
        lambda: desk.practised(EVE, q.queue, "v", 1, 1),
    ):
        with pytest.raises(CapsafeError, match=r"only an? (annotator|researcher) may"):
            action()


def queue_by(desk: Desk, person: Person) -> QueueRecord:
    return make_queue(desk, open_view(desk.store, Selection()), person, QueueSettings("x"))


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


def test_hostile_notes_and_names_are_kept_as_they_are(desk: Desk) -> None:
    q = queue(desk)
    who = person_named("  <script>alert(1)</script>\u0000\n  ", "annotator")
    assert who.name == "<script>alert(1)</script>"
    note = "\u202egnp\u200b" + "x" * 100_000
    task = desk.hand_out(who, q.queue)[0].id
    assert desk.submit(
        who,
        q.queue,
        sent(task, note=note, evidence=[{"reason": "other", "start": 0, "end": 3}], confidence=0),
    ).taken
    ingest_all(desk.store, desk.jobs)
    rows = desk.store.rows(
        "SELECT note, confidence, evidence FROM label_events WHERE dimension = 'coherence'"
    )
    assert rows == [(note, 0.0, '[{"reason": "other", "start": 0, "end": 3}]')]
    assert desk.store.rows("SELECT name FROM raters WHERE kind = 'annotator'") == [(who.name,)]
    for name in ("", "   ", "x" * 81):
        with pytest.raises(CapsafeError, match="1 to 80"):
            person_named(name)


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


def test_practice_is_remembered_and_counts_as_no_label(desk: Desk) -> None:
    q = queue(desk)
    version = shipped_guidelines().version
    assert not desk.has_practised(BEN, version)
    desk.practised(BEN, q.queue, version, 12, 15)
    assert desk.has_practised(BEN, version)
    ingest_all(desk.store, desk.jobs)
    assert desk.store.rows("SELECT right_answers, asked FROM practices") == [(12, 15)]
    assert desk.store.rows("SELECT count(*) FROM label_events") == [(0,)]


def test_guidelines_ship_with_fifteen_examples_and_fifteen_items_and_new_versions_are_kept(
    desk: Desk,
) -> None:
    shipped = desk.books.guidelines()
    assert (len(shipped.examples), len(shipped.practice)) == (15, 15)
    assert set(shipped.rules) == set(QUESTIONS)
    assert all(set(e.labels) == set(QUESTIONS) and e.why for e in (*shipped.examples, *shipped.practice))
    assert {r for e in (*shipped.examples, *shipped.practice) for r in e.reasons} == set(REASONS)
    changed = desk.books.save_guidelines(ADA, shipped.text.replace("A plain refusal.", "A refusal."))
    assert changed.version != shipped.version
    assert desk.books.guidelines().version == changed.version
    with pytest.raises(CapsafeError, match="cannot be read"):
        read_guidelines(shipped.text.replace('coherence = "coherent"', 'coherence = "purple"', 1))


def test_roles_come_from_a_file_and_default_to_looking(tmp_path: Path) -> None:
    roles = tmp_path / "roles.toml"
    assert role_of("ada@example.org", roles) == "viewer"
    roles.write_text('"Ada@example.org" = "researcher"\n"ben@example.org" = "boss"\n')
    assert role_of("ada@Example.org", roles) == "researcher"
    with pytest.raises(CapsafeError, match="the role 'boss'"):
        role_of("ben@example.org", roles)
    roles.write_text("not toml")
    with pytest.raises(CapsafeError, match="cannot be read"):
        role_of("ada@example.org", roles)


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


def corrected(desk: Desk, **selection: Any) -> Any:
    return (
        correction_table(open_view(desk.store, Selection(**selection)))
        .set_index(["judge", "stratum"])
        .loc["prefix-zou", "all"]
    )


def test_two_queues_draw_apart_and_their_chances_combine(desk: Desk) -> None:
    one, two = queue(desk, name="one", size=400), queue(desk, name="two", size=400)
    drawn = [{i.generation_id for i in desk._queues[q.queue].places} for q in (one, two)]
    assert (
        90 <= len(drawn[0] & drawn[1]) <= 180
    )  # 133 are expected of independent draws; all 400 of the same one
    for q in (one, two):
        work_through(desk, q, ADA)
    row = corrected(desk)
    truth = np.mean(
        [
            t.startswith("Sure")
            for (t,) in desk.store.rows(
                "SELECT text FROM generations JOIN cells USING (cell_id) JOIN benchmarks AS b USING "
                "(benchmark_id) WHERE b.name = 'requests'"
            )
        ]
    )
    assert row["labels"] == len(drawn[0] | drawn[1])
    assert row["ppi_low"] < truth < row["ppi_high"]


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


def test_labels_behind_an_open_item_wait_and_say_so(desk: Desk) -> None:
    q = queue(desk, size=60)
    desk.hand_out(BEN, q.queue)  # Ben holds the first ten
    work_through(desk, q, ADA)
    with pytest.raises(CapsafeError, match="50 labels wait for earlier items"):
        correction_table(open_view(desk.store, Selection()))


def test_half_a_character_in_a_note_holds_up_nothing(desk: Desk) -> None:
    q = queue(desk)
    first, second = (t.id for t in desk.hand_out(BEN, q.queue)[:2])
    assert desk.submit(BEN, q.queue, sent(first, note="\ud83d")).taken
    assert desk.submit(BEN, q.queue, sent(second, note="fine")).taken
    _, problems = ingest_all(desk.store, desk.jobs)
    assert problems == []
    assert sorted(
        n for (n,) in desk.store.rows("SELECT note FROM label_events WHERE dimension = 'safety'")
    ) == ["?", "fine"]


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"confidence": "abc"},
        {"reasons": 5},
        {"reasons": ["because"]},
        {"evidence": 3},
        {"evidence": [{"start": "a"}]},
        {"answers": {"safety": ["x"]}},
        {"age": float("nan")},
        {"age": 1e9},
    ],
)
def test_what_has_the_wrong_shape_is_refused_also_for_an_item_done_before(
    desk: Desk, wrong: dict[str, Any]
) -> None:
    q = queue(desk)
    task = desk.hand_out(BEN, q.queue)[0].id
    assert not desk.submit(BEN, q.queue, sent(task) | wrong).taken
    assert desk.submit(BEN, q.queue, sent(task)).taken
    assert not desk.submit(BEN, q.queue, sent(task) | wrong).taken
    assert not desk.submit(BEN, q.queue, sent(task, seconds=0.1)).taken


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


def test_a_queue_that_was_never_finished_hides_no_other(desk: Desk) -> None:
    q = queue(desk)
    create_job(desk.jobs, Manifest("annotate", "torn", {"settings": {}}))
    assert [r.queue for r in desk.queues()] == [q.queue]


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


def test_a_queue_called_guidelines_does_not_hide_the_guidelines(desk: Desk) -> None:
    queue(desk, name="Guidelines")
    changed = shipped_guidelines().text.replace("A plain refusal.", "It declines.")
    kept = desk.books.save_guidelines(ADA, changed)
    assert desk.books.guidelines().version == kept.version
    desk.close()
    assert Desk(desk.store, desk.jobs).books.guidelines().version == kept.version


def test_queues_made_while_others_look_are_made(desk: Desk) -> None:
    wrong: list[BaseException] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            try:
                desk.queues()
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(6):
        queue(desk, name=f"queue {i}", size=5)
    ended.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert [r.name for r in desk.queues()] == [f"queue {i}" for i in reversed(range(6))]


def test_an_uncertainty_queue_asks_what_a_judge_is_unsure_of(desk: Desk) -> None:
    """The learnt detector's scores, as its judge job brings them."""
    learnt = Rater("coherence-learnt", "judge", "coherence learnt", ("coherence",), "1", "", {})
    outputs = desk.store.rows(
        "SELECT CAST(generation_id AS VARCHAR), CAST(cell_id AS VARCHAR) FROM generations JOIN cells USING "
        "(cell_id) JOIN benchmarks AS b USING (benchmark_id) WHERE b.name = 'requests' ORDER BY 1"
    )
    with Part(create_job(desk.jobs, Manifest("judge", "scores", {}))) as part:
        part.write(
            "x",
            [
                learnt,
                *(
                    Judgment(g, c, learnt.id, "coherence", "ok", "coherent", score=i / len(outputs))
                    for i, (g, c) in enumerate(outputs)
                ),
            ],
        )
    ingest_all(desk.store, desk.jobs)
    q = queue(desk, strategy="uncertainty", share=0.5, size=40)
    unsure = [i.generation_id for i in desk._queues[q.queue].places if i.stratum == "least certain"]
    middle = {g for g, _ in outputs[len(outputs) // 2 - 12 : len(outputs) // 2 + 12]}
    assert len(unsure) == 20
    assert set(unsure) <= middle


@pytest.mark.parametrize(
    ("right", "asked"),
    [
        (1e30, 15),
        (10**30, 15),
        (float("nan"), 1),
        ("9", "9"),
        (True, 1),
        (-1, 3),
        (4, 3),
        (None, None),
        ([], {}),
        (1, 10**9),
    ],
)
def test_practice_that_makes_no_sense_is_refused_and_what_follows_is_kept(
    desk: Desk, right: Any, asked: Any
) -> None:
    q = queue(desk)
    with pytest.raises(CapsafeError, match="Of the practice items"):
        desk.practised(BEN, q.queue, "v", right, asked)
    assert desk.submit(BEN, q.queue, sent(desk.hand_out(BEN, q.queue)[0].id)).taken
    assert ingest_all(desk.store, desk.jobs)[1] == []
    assert desk.store.rows("SELECT count(*) FROM label_events") == [(3,)]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_whatever_a_browser_sends_is_refused_or_can_be_stored(desk: Desk, data: st.DataObject) -> None:
    known = next((r for r in desk.queues()), None) or queue(desk, size=200)
    tasks = desk.hand_out(BEN, known.queue)
    entry: Any = {
        **sent(tasks[0].id),
        "reasons": ["empty"],
        "evidence": [{"start": 0, "end": 1}],
        "note": "n",
        "confidence": 1,
        "guidelines": "v",
    }
    for key in data.draw(st.lists(st.sampled_from(sorted(entry)), max_size=2)):
        entry[key] = data.draw(ANY)
    entry = data.draw(st.sampled_from([entry] * 9 + [data.draw(ANY)]))
    ingest_all(desk.store, desk.jobs)
    before = desk.store.rows("SELECT count(*) FROM label_events")[0][0]
    receipt = desk.submit(BEN, known.queue, entry)
    assert receipt.taken or receipt.message
    f"{receipt.id}{receipt.message}".encode()
    for right in (data.draw(ANY),):
        with suppress(CapsafeError):
            desk.practised(BEN, known.queue, "v", right, data.draw(ANY))
    assert ingest_all(desk.store, desk.jobs)[1] == []
    assert (desk.store.rows("SELECT count(*) FROM label_events")[0][0] > before) <= receipt.taken


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


@pytest.mark.parametrize(
    "more",
    [
        {"note": "x" * (LONGEST_NOTE + 1)},
        {"evidence": [{"start": 0, "end": 1}] * 300},
        {"reasons": ["empty"] * 300},
        {"guidelines": "x" * 101},
    ],
)
def test_notes_and_marks_are_bounded_with_a_sentence(desk: Desk, more: dict[str, Any]) -> None:
    q = queue(desk)
    task = desk.hand_out(BEN, q.queue)[0].id
    receipt = desk.submit(BEN, q.queue, sent(task, **more))
    assert not receipt.taken
    assert "label the item again" in receipt.message
    assert desk.submit(BEN, q.queue, sent(task)).taken


def test_marks_keep_only_what_is_asked_for(desk: Desk) -> None:
    q = queue(desk)
    task = desk.hand_out(BEN, q.queue)[0].id
    assert desk.submit(
        BEN, q.queue, sent(task, evidence=[{"start": 0, "end": 3, "reason": "empty", "more": ["x"] * 1000}])
    ).taken
    ingest_all(desk.store, desk.jobs)
    assert desk.store.rows("SELECT evidence FROM label_events WHERE dimension = 'coherence'") == [
        ('[{"reason": "empty", "start": 0, "end": 3}]',)
    ]


@pytest.mark.parametrize(
    "settings_",
    [
        {},
        {"name": 5},
        {"name": "x", "questions": [["safety"]]},
        {"name": "x", "size": 1e400},
        {"name": "x", "repeats": "often"},
    ],
)
def test_a_queue_whose_settings_cannot_be_used_hides_no_other(desk: Desk, settings_: dict[str, Any]) -> None:
    q = queue(desk)
    with Part(create_job(desk.jobs, Manifest("annotate", "odd", {"settings": {}}))) as part:
        part.write("x", [QueueRecord("odd", "s", "odd", "open", 1.0, "Ada", settings_, {}, ())])
    assert [r.queue for r in desk.queues()] == [q.queue]
    ingest_all(desk.store, desk.jobs)
    assert desk.hand_out(BEN, q.queue)
