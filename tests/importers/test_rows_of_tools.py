"""Rows of other tools, one table in every form, and files that are not recognised."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.importers import Problems, find_sources, read_source
from tests.importers.looking import lines, look, prompts, quick
from tests.importing import bring

FORMS = ("list", "lines", "columns", "split", "within", "csv", "semicolon", "utf16", "cp1252", "gzip", "chat")


@quick
@given(asked=prompts, form=st.sampled_from(FORMS))
def test_one_table_in_every_form(
    tmp_path_factory: pytest.TempPathFactory, asked: list[str], form: str
) -> None:
    root = tmp_path_factory.mktemp("forms")
    if form == "cp1252":
        asked = [f"Größe {i} – naïve" for i, _ in enumerate(asked)]
    rows = [{"model": "m", "prompt": p, "response": f"r {i}"} for i, p in enumerate(asked)]
    write_form(root, form, rows)
    problems = Problems()
    [source] = find_sources([root])[0]
    read = [(log.model, list(log.rows)) for log in read_source(source, {}, problems)]
    assert problems.count == 0, problems.sentences
    assert [(m, [(r.prompt, r.answer) for r in rs]) for m, rs in read] == [
        ("m", [(r["prompt"], r["response"]) for r in rows])
    ]


def write_form(root: Path, form: str, rows: list[dict[str, Any]]) -> None:
    """A table as other tools would write it."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";" if form == "semicolon" else ",")
    writer.writerow(["", *rows[0]])
    writer.writerows([i, *row.values()] for i, row in enumerate(rows))
    plain = "".join(json.dumps(r) + "\n" for r in rows)
    chat = [
        {"model": r["model"], "messages": [{"role": "user", "content": r["prompt"]},
         {"role": "assistant", "content": r["response"]}]} for r in rows
    ]  # fmt: skip
    names = list(rows[0])
    whole: dict[str, Any] = {
        "list": rows,
        "columns": {n: {str(i): r[n] for i, r in enumerate(rows)} for n in names},
        "split": {"columns": names, "data": [list(r.values()) for r in rows]},
        "within": {"model": "m", "out": {"items": [{k: r[k] for k in names[1:]} for r in rows]}},
        "chat": chat,
    }
    if form in whole:
        (root / "a.json").write_text(json.dumps(whole[form]))
    elif form == "lines":
        (root / "a.json").write_text(plain)
    elif form == "gzip":
        (root / "a.jsonl.gz").write_bytes(gzip.compress(plain.encode()))
    else:
        encoding = {"utf16": "utf-16", "cp1252": "cp1252"}.get(form, "utf-8")
        (root / "a.csv").write_bytes(text.getvalue().encode(encoding))


def test_prompts_answers_and_verdicts_in_three_files(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    lines(logs / "prompts.jsonl", [{"prompt_id": i, "prompt": f"p{i}", "category": "c"} for i in range(5)])
    answers = [{"prompt_id": i, "model": m, "response": f"{m}{i}"} for m in "ab" for i in range(5)]
    lines(logs / "answers.jsonl", answers)
    verdicts = [{"prompt_id": i, "model": m, "unsafe": m == "b"} for m in "ab" for i in range(5)]
    lines(logs / "verdicts.jsonl", verdicts)
    found = bring(tmp_path / "jobs", logs)
    assert (found.outputs, found.prompts, found.verdicts("safety")) == (10, 5, {"safe": 5, "unsafe": 5})
    assert "answers.jsonl is joined with prompts.jsonl by prompt_id" in found.sentences


ROWS: dict[str, tuple[dict[str, Any], tuple[Any, Any, str]]] = {
    "deepeval": (
        {"testCases": [{"input": "q", "actualOutput": "a", "expectedOutput": "e", "metricsData": [
            {"name": "Toxicity", "score": 0.1, "success": True}]}]},
        ("q", "a", "Toxicity"),
    ),
    "mlflow": (
        {"traces": [{"info": {"request_id": "r",
          "assessments": [{"name": "safe", "feedback": {"value": "yes"}}]},
          "data": {"request": '{"messages": [{"role": "user", "content": "q"}]}',
                   "response": '{"choices": [{"message": {"content": "a"}}], "model": "m"}'}}]},
        ("q", "a", "safe"),
    ),
    "alpacaeval": (
        {"rows": [{"instruction": "q", "output": "a", "generator": "m", "dataset": "koala", "score": 1}]},
        ("q", "a", "score"),
    ),
    "turns": (
        {"rows": [{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "one"},
          {"role": "assistant", "content": "two"}, {"role": "user", "content": "q"},
          {"role": "assistant", "content": "a"}], "flagged": False}]},
        (("s", "one", "two", "q"), "a", "flagged"),
    ),
    "nested": (
        {"run": {"model": "m",
          "out": [{"request": {"prompt": "q"}, "response": {"text": "a"}, "unsafe": 0}]}},
        ("q", "a", "unsafe"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_other_tools(tmp_path: Path, name: str) -> None:
    data, (prompt, answer, by) = ROWS[name]
    (tmp_path / "a.json").write_text(json.dumps(data))
    [source] = find_sources([tmp_path])[0]
    [row] = [row for log in read_source(source, {}, Problems()) for row in log.rows]
    asked = row.prompt if isinstance(row.prompt, str) else tuple(turn["content"] for turn in row.prompt)
    assert (asked, row.answer) == (prompt, answer)
    assert by in {s.by for s in row.said}


def test_both_outputs_of_a_comparison(tmp_path: Path) -> None:
    row = {"instruction": "q", "output_1": "a", "generator_1": "x", "output_2": "b", "generator_2": "y"}
    (tmp_path / "a.json").write_text(json.dumps([{**row, "preference": 1.5, "annotator": "z"}]))
    [source] = find_sources([tmp_path])[0]
    found = [
        (log.model, r.answer, len(r.said)) for log in read_source(source, {}, Problems()) for r in log.rows
    ]
    assert found == [("x", "a", 0), ("y", "b", 1)]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"a": [{"prompt": "p", "response": "r"}], "b": {"c": [{"x": 1}]}},
            "several lists of objects: a (1), b.c (1)",
        ),
        ({"learning_rate": 1, "epochs": 2}, "no list of objects. It is an object of: learning_rate, epochs"),
        ([{"colour": "red"}], "Its columns are: colour"),
    ],
)
def test_what_is_not_recognised_says_what_was_seen(tmp_path: Path, data: Any, sentence: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(data))
    found = look(tmp_path)
    said = " ".join([*found["left_out"], *(p for f in found["files"] for p in f["problems"])])
    assert sentence in said


def test_the_list_of_rows_can_be_chosen(tmp_path: Path) -> None:
    data = {"old": [{"prompt": "p", "response": "x"}], "new": {"rows": [{"prompt": "p", "response": "y"}]}}
    (tmp_path / "a.json").write_text(json.dumps({"model": "m", **data}))
    found = look(tmp_path, 'name = "x"\ncolumns = { rows = "new.rows" }\n')
    assert [log["preview"][0]["answer"] for log in found["logs"]] == ["y"]
