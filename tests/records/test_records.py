import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from capsafe_core.errors import CapsafeError
from capsafe_core.records import (
    Generation,
    Judgment,
    LabelEvent,
    Record,
    Rows,
    from_dict,
    generation_key,
    identify,
    records_in,
    to_line,
)
from capsafe_core.records.lines import as_written, parse_line
from capsafe_core.settings import ROOT
from tests.records.test_values import ANY, WHOLE

DEMO = ROOT / "data" / "demo" / "jobs"

text = st.text(max_size=60)


@given(text, st.integers(0, 9), st.sampled_from(["stop", "length"]))
def test_a_record_survives_its_line(answer: str, sample: int, reason: str) -> None:
    record = Generation(
        identify("c"), identify("b"), identify("n"), identify("p"), sample, 0, answer, reason, 3
    )
    line = to_line(record)
    assert line.count("\n") == 1
    assert from_dict(json.loads(line)) == record


@given(text)
def test_evidence_and_labels_survive(note: str) -> None:
    judgment = Judgment(
        identify("g"),
        identify("c"),
        identify("r"),
        "coherence",
        "ok",
        "incoherent",
        evidence=({"reason": note, "start": 0, "end": 2},),
    )
    event = LabelEvent(
        identify("e"),
        identify("g"),
        identify("c"),
        identify("r"),
        "safety",
        "label",
        "safe",
        1.0,
        2.0,
        reasons=(note,),
        note=note,
    )
    assert from_dict(json.loads(to_line(judgment))) == judgment
    assert from_dict(json.loads(to_line(event))) == event


def test_ids_depend_on_what_identifies_and_on_nothing_else() -> None:
    record = Generation("c", "b", "n", "p", 0, 0, "text", "stop", 3)
    assert replace(record, text="other").id == record.id
    assert replace(record, sample=1).id != record.id
    assert identify("a", 1) != identify("b", 1)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"v": 2, "type": "generation"}, "format 2"),
        ({"v": 1, "type": "song"}, "unknown type 'song'"),
        ({"v": 1, "type": "generation"}, "incomplete"),
    ],
)
def test_lines_that_cannot_be_read_say_why(line: dict[str, object], says: str) -> None:
    with pytest.raises(CapsafeError, match=says):
        from_dict(line)


def line_of(values: dict[str, object]) -> bytes:
    return (json.dumps(values) + "\n").encode()


def slowly(raw: bytes) -> Record | None:
    try:
        return from_dict(parse_line(raw))
    except CapsafeError:
        return None


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(WHOLE), st.data())
def test_the_quick_reading_and_the_thorough_one_agree_on_any_value(
    record: Record, data: st.DataObject
) -> None:
    """The quick one may leave a line to the thorough one; it never takes what that one refuses."""
    values = json.loads(to_line(record))
    assert as_written(line_of(values)) == record
    values[data.draw(st.sampled_from(sorted(values)[:-1]))] = data.draw(ANY)
    quick = as_written(line_of(values))
    if quick is not None:
        assert slowly(line_of(values)) == quick
        assert to_line(quick).encode() == line_of(values)


def test_a_judgment_of_threes_is_a_sentence_that_names_field_and_value() -> None:
    values = {key: 3 for key in json.loads(to_line(WHOLE[9]))} | {"v": 1, "type": "judgment"}
    with pytest.raises(CapsafeError, match=r"asked is 3, not text"):
        list(records_in(line_of({**values, "attempt": 1})))
    told: list[CapsafeError] = []
    assert list(records_in(line_of(values), told.append)) == []
    assert "A record of type judgment cannot be used: asked is 3, not text" in str(told[0])


def demo_lines() -> list[bytes]:
    shards = sorted(DEMO.glob("*/*.shard.jsonl.gz"))
    lines = [
        line for shard in shards for line in gzip.decompress(shard.read_bytes()).splitlines(keepends=True)
    ]
    return [line for line in lines if not line.startswith(b'{"type": "commit"')]


def test_every_line_of_the_demo_study_is_written_again_byte_for_byte_and_keeps_its_ids() -> None:
    """The ids are those that other lines name: an output's cell, and the prompt, judge and output of a
    judgment."""
    lines = demo_lines()
    records = [record for line in lines for record in records_in(line)]
    for line, record in zip(lines, records, strict=True):
        written, there = json.loads(to_line(record)), json.loads(line)
        later = {k: v for k, v in written.items() if k not in there}  # what came after the study was made
        assert later in ({}, {"asked": "", "reasoning": ""}, {"again": 0})
        assert line_of({k: written[k] for k in there}) == line
    assert all(as_written(line) is not None for line in lines)
    ids = {record.id for record in records if not isinstance(record, Rows)}
    outputs = [r for r in records if isinstance(r, Generation)]
    judgments = [r for r in records if isinstance(r, Judgment)]
    assert {r.prompt_id for r in outputs} | {r.condition_id for r in outputs} <= ids
    assert {r.generation_id for r in judgments} | {r.rater_id for r in judgments} <= ids
    assert {r.cell_id for r in judgments} <= {r.cell_id for r in outputs}
    assert outputs[0].id == generation_key(
        outputs[0].cell_id, outputs[0].prompt_id, outputs[0].sample, outputs[0].seed
    )


def test_rows_are_written_again_byte_for_byte_and_are_their_records() -> None:
    outputs = [replace(WHOLE[7], prompt_id=identify("p", i), text=f"text {i}") for i in range(3)]
    columns = ("prompt_id", "sample", "seed", "text", "finish_reason", "tokens", "asked")
    same = {name: getattr(outputs[0], name) for name in ("checkpoint_id", "benchmark_id", "condition_id")}
    rows = Rows(
        "generation",
        [g.id for g in outputs],
        {**same, "attack_id": None},
        {name: [getattr(g, name) for g in outputs] for name in columns},
    )
    line = to_line(rows).encode()
    assert as_written(line) == rows
    assert list(records_in(line)) == [rows]
    assert list(rows.records()) == outputs
    assert to_line(rows).encode() == line
    spaced = json.dumps(json.loads(line), indent=1).replace("\n", " ").encode() + b"\n"
    assert as_written(spaced) is None
    assert list(records_in(spaced)) == [rows]
    for column in columns:
        short = {**rows.columns, column: rows.columns[column][:2]}
        with pytest.raises(CapsafeError):
            list(records_in(to_line(Rows("generation", rows.ids, rows.same, short)).encode()))
