import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.errors import CapsafeError
from capsafe_core.records import Generation, Judgment, LabelEvent, from_dict, identify, to_line

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
    assert dataclasses.replace(record, text="other").id == record.id
    assert dataclasses.replace(record, sample=1).id != record.id
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
