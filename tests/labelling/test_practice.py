"""Practice, guidelines, and who may do what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from capsafe_core.annotation import (
    QUESTIONS,
    REASONS,
    read_guidelines,
    shipped_guidelines,
)
from capsafe_core.errors import CapsafeError
from capsafe_core.labelling.desk import Desk
from capsafe_core.people import role_of
from capsafe_core.store.ingest import ingest_all
from tests.labelling.desks import ADA, BEN, EVE, queue, queue_by, sent


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
