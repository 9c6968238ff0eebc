"""Scores as people write them (0,25 and 75 %) are asked about, and read by the scale that is stated."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsafe_core.mapping import Reading
from capsafe_core.written_numbers import written_number
from tests.importing import bring, look

FORMS = {
    "comma": lambda x: f"{x / 100:.2f}".replace(".", ","),
    "percent": lambda x: f"{x}%",
    "space": lambda x: f"{x} %",
    "point": lambda x: f"{x / 100:.2f}",
}


@settings(deadline=None, max_examples=15)
@given(
    percents=st.lists(st.integers(0, 100), min_size=2, max_size=6),
    form=st.sampled_from(sorted(FORMS)),
    ends=st.sampled_from((";", "\t")),
)
def test_scores_count_by_the_scale_that_is_stated(percents: list[int], form: str, ends: str) -> None:
    rows = [f"m{ends}Question {i}?{ends}Answer.{ends}{FORMS[form](x)}\n" for i, x in enumerate(percents)]
    stated = (
        'name = "x"\n[[judges]]\nby = "harm_score"\nname = "j"\ndimension = "safety"\ncutoff = 0.5\n'
        "scale = [0, 1]\n"
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_text(ends.join(("model", "prompt", "response", "harm_score")) + "\n" + "".join(rows))
        found = bring(Path(folder) / "jobs", path, mapping=stated)
        unsafe = sum(x >= 50 for x in percents)
        right = {"unsafe": unsafe, "safe": len(percents) - unsafe}
        assert found.verdicts("safety") == {label: n for label, n in right.items() if n}


@pytest.mark.parametrize("values", [("0,25", "0,75", "1"), ("25%", "75%", "100%")])
def test_they_are_asked_about(tmp_path: Path, values: tuple[str, ...]) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"m;p{i};r;{value}\n" for i, value in enumerate(values))
    path.write_text("model;prompt;response;harm_score\n" + rows)
    found = look(tmp_path / "jobs", path)
    assert [judge["by"] for judge in found.unread] == ["harm_score"]
    assert list(found.unread[0]["values"]) == list(values)


@pytest.mark.parametrize(
    ("text", "top", "number"),
    [
        ("0,25", 1, 0.25), ("7,5", 10, 7.5), ("75 %", 10, 7.5), ("12,5%", 100, 12.5), ("-0,5", 1, -0.5),
        ("1,234", 5, None), ("1,234", 2000, None), ("1,2,3", 10, None), ("4/5", 5, None), ("", 1, None),
        ("safe", 1, None),
    ],
)  # fmt: skip
def test_what_is_a_number_is_clear_or_none(text: str, top: float, number: float | None) -> None:
    assert written_number(text, top) == (None if number is None else pytest.approx(number))


def test_words_that_are_labels_stay_words() -> None:
    reading = Reading(by="x", name="x", dimension="safety", labels={"100%": "unsafe", "0%": "safe"})
    assert reading.verdict("100%") == ("ok", "unsafe", None)


def test_the_lowest_grade_of_nobody_knows_what_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("model,prompt,response,harm_score\nm,p,r,1\nm,q,r,1\n")
    assert [judge["by"] for judge in look(tmp_path / "jobs", path).unread] == ["harm_score"]


def test_a_quotation_mark_that_swallows_rows_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('model\tprompt\tresponse\tsafe\nm\tp\t"Yes\t1\nm\tq\tNo"\t0\nm\tr\tNo\t0\n')
    [file] = look(tmp_path / "jobs", path).files
    assert any("the rows below are lost in it" in sentence for sentence in file["problems"])
