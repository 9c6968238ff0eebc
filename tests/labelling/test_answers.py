"""What a browser may send: answers, notes and marks of any content and shape."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capsafe_core.annotation import (
    LONGEST_NOTE,
)
from capsafe_core.errors import CapsafeError
from capsafe_core.labelling.desk import Desk
from capsafe_core.people import person_named
from capsafe_core.store.ingest import ingest_all
from tests.labelling.desks import BEN, queue, sent
from tests.records.test_values import ANY


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
        (sent(first, answers={"safety": "purple"}), "not an answer to a question"),
        (sent(first, kind="undo"), "nothing to take back"),
        ({**sent(first), "id": "x"}, "could not be read"),
    ]:
        receipt = desk.submit(BEN, q.queue, wrong)
        assert not receipt.taken, wrong
        assert sentence in receipt.message
    assert desk.submit(BEN, q.queue, sent(first)).taken


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
