"""Queues that are assigned to people: who is handed what, and in which order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capsafe_core.annotation import QueueSettings
from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.labelling.desk import Desk
from capsafe_core.labelling.waiting import waiting_queues
from capsafe_core.people import Person, and_words, may_label, people_named, same
from tests.labelling.desks import ADA, BEN, queue, sent, work_through

CAY = Person("Cay", "annotator")


def test_an_assigned_queue_is_handed_to_its_people_only_and_keeps_what_was_on_its_way(desk: Desk) -> None:
    q = queue(desk, size=25)
    task = desk.hand_out(CAY, q.queue, 25)[0].id
    desk.assign(ADA, q.queue, [" Ada ", "Ben", "Ben"])
    assert desk.left(CAY, q.queue) == 0
    with pytest.raises(NotAllowedError, match="assigned to Ada and Ben"):
        desk.hand_out(CAY, q.queue)
    assert desk.submit(CAY, q.queue, sent(task)).taken, "it was on screen before"
    assert desk.left(BEN, q.queue) == 24, "what is in the hands of somebody else's is free again"
    assert desk.hand_out(BEN, q.queue)
    desk.assign(ADA, q.queue, [])
    assert desk.hand_out(CAY, q.queue)


def test_who_a_queue_was_assigned_to_is_kept_as_events_and_read_again(desk: Desk) -> None:
    q = queue(desk, size=5, assigned=("Ben",))
    desk.assign(ADA, q.queue, ["Cay"])
    rows = desk.store.rows("SELECT author, settings FROM queues WHERE queue = ? ORDER BY created", [q.queue])
    assert [(author, json.loads(s)["assigned"]) for author, s in rows] == [("Ada", ["Ben"]), ("Ada", ["Cay"])]
    desk.close()
    again = Desk(desk.store, desk.jobs)
    with pytest.raises(NotAllowedError, match="assigned to Cay"):
        again.hand_out(BEN, q.queue)
    again.close()


def test_a_queue_needs_as_many_people_as_label_each_item(desk: Desk) -> None:
    q = queue(desk, size=5, annotators=2)
    with pytest.raises(CapsafeError, match="2 people label each item of a queue"):
        desk.assign(ADA, q.queue, ["Ben"])
    with pytest.raises(CapsafeError, match="2 people label each item"):
        QueueSettings("x", annotators=2, assigned=("Ben", "Ben"))
    with pytest.raises(NotAllowedError):
        desk.assign(BEN, q.queue, [])
    assert not desk.queues()[0].settings["assigned"]


def test_the_next_queue_is_ones_own_then_what_everybody_may_label(desk: Desk) -> None:
    made = {
        name: queue(desk, name=name, size=3, assigned=people).queue
        for name, people in (
            ("old", ()),
            ("mine first", ("Ben",)),
            ("mine later", ("Ben", "Cay")),
            ("new", ()),
            ("hers", ("Ada",)),
        )
    }

    def order() -> list[str]:
        return [w.record.name for w in waiting_queues(desk, BEN)]

    assert order() == ["mine first", "mine later", "new", "old", "hers"]
    work_through(desk, next(q for q in desk.queues() if q.queue == made["mine first"]), BEN)
    assert order()[0] == "mine later"
    desk.set_state(ADA, made["mine later"], "paused")
    assert order()[:2] == ["new", "old"]
    assert [w.words for w in waiting_queues(desk, BEN)][2:] == [
        "hers (assigned to Ada)",
        "mine later (yours, paused)",
        "mine first (yours, nothing left for you)",
    ]


def test_people_are_known_by_their_names_and_addresses_in_any_case(tmp_path: Path) -> None:
    roles = tmp_path / "roles.toml"
    roles.write_text('"Ada@Example.org" = "researcher"\n"ben@x.org" = "annotator"\n"eve@x.org" = "viewer"\n')
    assert may_label(roles) == ("ada@example.org", "ben@x.org")
    assert may_label(tmp_path / "none.toml") == ()
    assert same("Ada@Example.org") == same("ada@example.org")
    assert same("Ada") != same("ada"), "two names are two annotators"
    assert people_named(["Ada", " Ada", "a@x.org", "A@X.org"]) == ("Ada", "A@X.org")
    assert [and_words("ABC"[:n]) for n in range(4)] == ["", "A", "A and B", "A, B and C"]
