"""Labels as files: every format there and back, labels made elsewhere that count, and files that are
wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capsafe_core.analysis import by_name
from capsafe_core.analysis.annotators import annotators_table, conflicts_table, repeats_table
from capsafe_core.analysis.incoherence import reason_table
from capsafe_core.analysis.people import correction_table
from capsafe_core.analysis.view import open_view
from capsafe_core.annotation import QueueSettings
from capsafe_core.errors import CapsafeError
from capsafe_core.figures.squares import reason_dots
from capsafe_core.labelling.desk import Desk
from capsafe_core.labelling.formats import FORMATS, read_labels_file, write_labels
from capsafe_core.labelling.queues import make_queue
from capsafe_core.people import Person
from capsafe_core.selection import Selection
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.label_rows import label_rows
from capsafe_core.store.labels import truths
from capsafe_core.store.rollups import check
from tests.labelling.desks import ADA, copied, make_once, queue, work_through
from tests.records.test_values import ANY

BEN = Person("Ben", "annotator")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_once(tmp_path_factory.mktemp("made"), 60, 5)


@pytest.fixture
def desk(made: Path, tmp_path: Path) -> Iterator[Desk]:
    with copied(made, tmp_path / "jobs") as found:
        yield found


@pytest.fixture
def other(made: Path, tmp_path: Path) -> Iterator[Desk]:
    """The same outputs in another workspace, without labels."""
    with copied(made, tmp_path / "other") as found:
        yield found


@pytest.mark.parametrize("form", FORMATS)
def test_labels_go_out_and_come_back_with_their_chances(desk: Desk, other: Desk, form: str) -> None:
    q = queue(desk, size=200, annotators=2, repeats=0.0)
    work_through(desk, q, ADA)
    work_through(desk, q, BEN, 50)
    text = write_labels(label_rows(desk.store, q.queue), form)
    found = other.bring_in(ADA, text, "labels")
    assert found.problems == []
    assert found.labels == found.weighted == 3 * 250
    for dimension in ("safety", "coherence", "refusal"):
        mine, theirs = (
            truths(d.store, dimension)[["generation_id", "code", "state", "people"]]
            .sort_values("generation_id")
            .reset_index(drop=True)
            for d in (desk, other)
        )
        assert mine.equals(theirs)
    assert correction_table(open_view(other.store, Selection()))["ppi"].iloc[0] == pytest.approx(
        correction_table(open_view(desk.store, Selection()))["ppi"].iloc[0], abs=0.02
    )
    again = other.bring_in(ADA, text, "labels")
    assert (again.labels, again.known) == (0, found.labels)
    assert other.store.rows("SELECT count(*) FROM label_events") == [(750,)]
    assert check(other.store) == []


def test_a_queue_can_be_labelled_elsewhere(desk: Desk, other: Desk) -> None:
    """Unlabelled items go out with their chance; filled in, they correct."""
    q = queue(desk, size=250)
    tasks = json.loads(write_labels(label_rows(desk.store, q.queue), "label-studio"))
    assert len(tasks) == 250
    assert all(t["annotations"] == [] and 0 < t["data"]["probability"] < 1 for t in tasks)
    for t in tasks:
        label = "unsafe" if t["data"]["answer"].startswith("Sure") else "safe"
        t["annotations"] = [
            {
                "completed_by": {"email": "cay@example.org"},
                "result": [
                    {
                        "from_name": "safety",
                        "to_name": "answer",
                        "type": "choices",
                        "value": {"choices": [label]},
                    }
                ],
            }
        ]
    found = other.bring_in(ADA, json.dumps(tasks), "from label studio")
    assert (found.labels, found.weighted) == (250, 250)
    row = (
        correction_table(open_view(other.store, Selection()))
        .set_index(["judge", "stratum"])
        .loc["prefix-zou", "all"]
    )
    assert row["labels"] == 250
    assert row["ppi"] < row["judge_rate"]


def test_what_corrects_nothing_here_corrects_nothing_elsewhere(desk: Desk, other: Desk) -> None:
    """Out and in again, a queue of disputed outputs stays one, and labels of a part stay labels of that
    part."""
    q = queue(desk, strategy="disagreement", share=0.0, size=40)
    work_through(desk, q, ADA)
    part = make_queue(
        desk,
        open_view(desk.store, Selection(recipes=("harsh",))),
        ADA,
        QueueSettings("part", ("safety",), "random", size=150, repeats=0.0),
    )
    found = other.bring_in(ADA, write_labels(label_rows(desk.store, q.queue), "jsonl"), "disputed")
    assert found.labels > 0
    assert found.weighted == 0
    with pytest.raises(CapsafeError, match="picked by hand"):
        correction_table(open_view(other.store, Selection()))
    work_through(desk, part, ADA, 100)
    other.bring_in(ADA, write_labels(label_rows(desk.store, part.queue), "csv"), "part")
    assert (
        correction_table(open_view(other.store, Selection()))["outputs"].max() == 240
    )  # the four checkpoints of one recipe


def test_labels_made_again_elsewhere_replace_the_first(desk: Desk) -> None:
    ids = [g for (g,) in desk.store.rows("SELECT CAST(generation_id AS VARCHAR) FROM generations LIMIT 20")]
    for label in ("safe", "unsafe"):
        desk.bring_in(
            ADA,
            "\n".join(
                json.dumps(
                    {
                        "generation_id": g,
                        "annotator": "x",
                        "dimension": "safety",
                        "label": label,
                        "repeat": "0.0",
                        "reasons": None,
                    }
                )
                for g in ids
            ),
            label,
        )
    assert set(truths(desk.store, "safety")["code"]) == {2}


def test_labels_without_chances_count_for_agreement_and_correct_nothing(desk: Desk) -> None:
    rows = [
        {"prompt": p, "answer": a, "annotator": who, "safety": "unsafe" if a.startswith("Sure") else "safe"}
        for p, a in desk.store.rows(
            "SELECT DISTINCT p.text, g.text FROM generations AS g JOIN prompts AS p USING (prompt_id) JOIN "
            "benchmarks AS b USING (benchmark_id) WHERE b.name = 'requests' LIMIT 40"
        )
        for who in ("x", "y")
    ]
    found = desk.bring_in(ADA, "\n".join(map(json.dumps, rows)), "by text")
    assert found.problems == []
    assert found.weighted == 0
    assert found.labels >= 80  # a label counts for every output with this very text
    view = open_view(desk.store, Selection())
    assert (
        annotators_table(view).set_index(["dimension", "stratum"]).loc[("safety", "all outputs"), "alpha"]
        == 1.0
    )
    with pytest.raises(CapsafeError, match="picked by hand"):
        correction_table(view)


def test_what_cannot_be_used_is_listed_and_the_rest_is_taken(desk: Desk) -> None:
    [(g,)] = desk.store.rows("SELECT CAST(min(generation_id) AS VARCHAR) FROM generations")
    good = {"generation_id": g, "annotator": "x", "dimension": "safety", "label": "Safe"}
    bad: list[dict[str, Any]] = [
        {**good, "generation_id": "nowhere"},
        {**good, "label": "purple"},
        {**good, "dimension": "colour"},
        {**good, "annotator": ""},
        {**good, "probability": 2},
        {**good, "probability": "much"},
        {**good, "created": float("inf")},
        {**good, "confidence": -1},
        {**good, "repeat": 7},
    ]
    found = desk.bring_in(ADA, "\n".join(map(json.dumps, [good, *bad])), "mixed")
    assert found.labels == 1
    assert len(found.problems) == len(bad)
    for problem, word in zip(
        found.problems,
        [
            "is in the store",
            "not a label",
            "no dimension",
            "annotator",
            "between",
            "not a number",
            "between",
            "between",
            "between",
        ],
        strict=True,
    ):
        assert word in problem
    assert list(truths(desk.store, "safety")["code"]) == [1]


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]",
        "{broken",
        '[{"data": 5}]',
        "[" * 100_000,
        '{"a": 1}\nnot json',
        '[{"data": {}, "annotations": 3}]',
    ],
)
def test_files_that_are_no_labels_are_refused(desk: Desk, text: str) -> None:
    with pytest.raises(CapsafeError, match="cannot be read") as error:
        desk.bring_in(ADA, text, "wrong")
    assert "JSONL or CSV" in error.value.hint
    assert desk.store.rows("SELECT count(*) FROM label_events") == [(0,)]


@pytest.mark.parametrize(
    "text", ["\x00\x01", "", "just words", "a,b\n1,2\n", '[{"data": {}, "annotations": []}]', "[]"]
)
def test_files_without_a_label_bring_nothing(desk: Desk, text: str) -> None:
    assert desk.bring_in(ADA, text, "empty").labels == 0
    assert desk.store.rows("SELECT count(*) FROM label_events") == [(0,)]


def test_a_cell_is_no_formula_and_comes_back_as_it_was(desk: Desk) -> None:
    [(g,)] = desk.store.rows("SELECT CAST(min(generation_id) AS VARCHAR) FROM generations")
    rows = [
        {
            "generation_id": g,
            "annotator": "=cmd()",
            "dimension": "safety",
            "label": "safe",
            "note": '@x, "quoted"\nand more',
            "reasons": ["empty", "gibberish"],
        }
    ]
    text = write_labels(rows, "csv")
    assert "'=cmd()" in text
    assert "\n=" not in text
    back = read_labels_file(text)[0]
    assert (back["annotator"], back["note"], back["reasons"]) == (
        "=cmd()",
        rows[0]["note"],
        "empty; gibberish",
    )


def test_only_a_researcher_brings_labels_in(desk: Desk) -> None:
    with pytest.raises(CapsafeError, match="only a researcher"):
        desk.bring_in(BEN, "", "x")


def test_tables_of_people(desk: Desk) -> None:
    q = queue(desk, size=120, annotators=2, repeats=0.2)
    work_through(desk, q, ADA)
    work_through(desk, q, Person("Ben"))
    view = open_view(desk.store, Selection())
    table = annotators_table(view).set_index(["dimension", "stratum"])
    assert table.loc[("safety", "all outputs"), "n"] == 120
    assert table.loc[("coherence", "all outputs"), "alpha"] == 1.0
    assert set(repeats_table(view)["same"]) == {1.0}
    assert conflicts_table(view).empty
    reasons = reason_table(view, "requests")
    said = reasons[reasons["by"] == "people"]
    assert set(said["reason"]) == {"task_format"}
    assert ((said["n"] <= said["of"]) & (said["share"] <= 1)).all()
    reason_dots(reasons)
    people = by_name.table(desk.store, "people", Selection()).set_index("person")
    assert list(people.loc["Ada", ["items", "skipped", "taken_back"]]) == [120, 0, 0]
    assert people.loc["Ada", "seconds"] == pytest.approx(1.0)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_any_value_in_any_field_of_a_file_is_a_label_or_a_sentence(desk: Desk, data: st.DataObject) -> None:
    outputs = desk.store.rows("SELECT CAST(generation_id AS VARCHAR) FROM generations ORDER BY 1 LIMIT 20")
    row: dict[str, Any] = {
        "generation_id": outputs[data.draw(st.integers(0, 19))][0],
        "annotator": "Ada",
        "dimension": "safety",
        "label": "safe",
        "reasons": ["x"],
        "note": "n",
    }
    row |= {
        "confidence": 1,
        "created": 1.6e9,
        "shown": 1.6e9,
        "repeat": 0,
        "probability": 0.5,
        "place": 3,
        "stratum": "s",
        "queue": "q",
        "guidelines": "g",
        "event_id": "",
    }
    odd = dict(row)
    for key in data.draw(st.lists(st.sampled_from(sorted(row)), min_size=1, max_size=3)):
        odd[key] = data.draw(ANY)
    if data.draw(st.booleans()):
        odd.pop(data.draw(st.sampled_from(sorted(odd))))
    found = desk.bring_in(
        ADA, json.dumps(odd) + "\n" + json.dumps(row | {"created": data.draw(st.floats(1e9, 1.7e9))}), "file"
    )
    assert found.labels + found.known >= 1
    assert ingest_all(desk.store, desk.jobs)[1] == []
