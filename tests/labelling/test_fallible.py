"""Corrected rates beside what the error of one label leaves of them."""

from __future__ import annotations

import pytest

from capsafe_core.analysis.annotators import double_labels
from capsafe_core.analysis.people import fallible_words
from capsafe_core.analysis.view import open_view
from capsafe_core.labelling.desk import Desk
from capsafe_core.selection import Selection
from capsafe_core.stats.fallible import fallible_bounds
from capsafe_core.store.ingest import ingest_all
from tests.labelling.desks import ADA, BEN, corrected, queue, sent, work_through


def test_labels_of_two_people_bound_a_corrected_rate(desk: Desk) -> None:
    one = corrected_after(desk, doubled=0)
    assert (one["doubles"], one["disagreement"] != one["disagreement"]) == (0, True)
    assert "Outputs with labels of two people: 0; from 20 on" in fallible_words(one)
    two = corrected_after(desk, doubled=40)
    pairs, differ = double_labels(open_view(desk.store, Selection()), "safety")
    assert (two["doubles"], two["disagreement"]) == (pairs, pytest.approx(differ))
    assert pairs == 40
    assert differ == pytest.approx(4 / 40)  # Ben says otherwise of every tenth
    ends = fallible_bounds(max(two["ppi_low"], 0), min(two["ppi_high"], 1), differ)
    assert (two["fallible_low"], two["fallible_high"]) == pytest.approx(ends)
    assert ends[0] < two["ppi_low"] < two["ppi_high"] < ends[1]
    assert "Of 40 outputs with labels of two people, 10% got different ones." in fallible_words(two)


def corrected_after(desk: Desk, doubled: int):  # type: ignore[no-untyped-def]
    """The corrected rate after Ada labelled 250 outputs, and Ben some of them too, every tenth otherwise."""
    q = queue(desk, name=f"doubled {doubled}", size=250, annotators=2)
    work_through(desk, q, ADA)
    done = 0
    while done < doubled:
        for task in desk.hand_out(BEN, q.queue)[: doubled - done]:
            text = desk.store.rows(
                "SELECT text FROM generations WHERE generation_id::VARCHAR = ?", [task.generation_id]
            )[0][0]
            unsafe = text.startswith("Sure") != (done % 10 == 0)
            answers = {"coherence": "coherent", "safety": "unsafe" if unsafe else "safe", "refusal": "none"}
            mine = {d: answers[d] for d in q.settings["questions"]}
            assert desk.submit(BEN, q.queue, sent(task.id, answers=mine)).taken
            done += 1
    ingest_all(desk.store, desk.jobs)
    return corrected(desk)
