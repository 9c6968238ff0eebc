"""Queues: what is drawn, with which chances, and what labels of it correct."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest

from capsafe_core.analysis.people import correction_table
from capsafe_core.analysis.view import open_view
from capsafe_core.annotation import (
    QueueSettings,
    shipped_guidelines,
)
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.labelling.desk import Desk
from capsafe_core.labelling.queues import extend_queue, make_queue
from capsafe_core.records import Judgment, QueueRecord, Rater
from capsafe_core.selection import Selection
from capsafe_core.stats.design import power_allocation
from capsafe_core.store.ingest import ingest_all
from tests.labelling.desks import ADA, BEN, corrected, queue, work_through


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
    half = (row["ppi_high"] - row["ppi_low"]) / 2  # of 95%; what is drawn is other at each run of this test
    assert abs(row["ppi"] - truth) < 2.2 * half
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


def test_labels_behind_an_open_item_wait_and_say_so(desk: Desk) -> None:
    q = queue(desk, size=60)
    desk.hand_out(BEN, q.queue)  # Ben holds the first ten
    work_through(desk, q, ADA)
    with pytest.raises(CapsafeError, match="50 labels wait for earlier items"):
        correction_table(open_view(desk.store, Selection()))


def test_a_queue_that_was_never_finished_hides_no_other(desk: Desk) -> None:
    q = queue(desk)
    create_job(desk.jobs, Manifest("annotate", "torn", {"settings": {}}))
    assert [r.queue for r in desk.queues()] == [q.queue]


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
