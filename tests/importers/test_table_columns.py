"""What tells checkpoints of one model apart in a table, its encodings, and its joints."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from capsafe_core.jobs.looking import Survey
from capsafe_core.reasoning_part import split_reasoning
from tests.importing import Brought, bring, look


def table(root: Path, header: str, *rows: str, encoding: str = "utf-8") -> Brought:
    text = io.StringIO()
    out = csv.writer(text)
    out.writerows([header.split(","), *(row.split(",") for row in rows)])
    (root / "in").mkdir()
    (root / "in" / "x.csv").write_bytes(text.getvalue().encode(encoding))
    return bring(root / "jobs", root / "in")


def sentences_of(survey: Survey) -> str:
    return " ".join([*survey.left_out, *(p for f in survey.files for p in f["problems"])])


def crossed(first: list[str], second: list[str]) -> list[str]:
    return [f"{a},{b},p{i},{a} {b} {i},{i % 2}" for a in first for b in second for i in range(3)]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("checkpoint", ["50", "100"]),
        ("checkpoint", ["step_50", "checkpoint-100"]),
        ("checkpoint", ["lora", "dora"]),
        ("revision", ["step1000", "step2000"]),
        ("adapter", ["", "tuned"]),
        ("method", ["none", "lora"]),
        ("train_dataset", ["math", "code"]),
    ],
)
def test_what_stands_beside_a_model_tells_its_checkpoints_apart(
    tmp_path: Path, column: str, values: list[str]
) -> None:
    found = table(tmp_path, f"model,{column},prompt,response,unsafe", *crossed(["a", "b"], values))
    assert (found.checkpoints, found.outputs, found.prompts) == (4, 12, 3)
    assert found.failures == []
    assert found.sentences.strip() == ""


def test_a_base_model_with_a_numbered_checkpoint_is_a_path(tmp_path: Path) -> None:
    rows = crossed(["a", "b"], ["checkpoint-50", "checkpoint-100"])
    found = table(tmp_path, "base_model,checkpoint,prompt,response,unsafe", *rows)
    assert found.store.rows("SELECT DISTINCT step FROM path_points WHERE step > 0 ORDER BY ALL") == [
        (50,),
        (100,),
    ]
    assert (found.checkpoints, found.outputs) == (4, 12)


def test_a_word_among_places_is_asked_about(tmp_path: Path) -> None:
    found = table(tmp_path, "model,checkpoint,prompt,response,unsafe", *crossed(["a"], ["50", "final"]))
    assert "final = 300" in found.sentences
    assert (found.checkpoints, found.outputs) == (1, 3)


def test_data_sets_with_prompts_of_their_own_are_benchmarks(tmp_path: Path) -> None:
    rows = ["m,harmbench,p,r,1", "m,harmbench,q,r,0", "m,gsm8k,s,r,0"]
    found = table(tmp_path, "model,dataset,prompt,response,unsafe", *rows)
    assert {log["benchmark"] for log in found.survey.logs} == {"harmbench", "gsm8k"}


def test_one_data_set_says_nothing_of_the_model(tmp_path: Path) -> None:
    found = table(tmp_path, "model,dataset,prompt,response,unsafe", "m,d,p,r,1", "n,d,p,s,0")
    assert {log["checkpoint"] for log in found.survey.logs} == {"m", "n"}


@pytest.mark.parametrize(
    "column",
    [
        "not_harmful", "unharmful", "non_toxic", "is_not_safe", "incorrect", "mismatch", "wrong",
        "misaligned", "not refused", "nonrefusal",
    ],
)  # fmt: skip
@pytest.mark.parametrize("benchmark", ["x", "harmbench", "gsm8k"])
def test_a_name_that_denies_is_asked_about(tmp_path: Path, column: str, benchmark: str) -> None:
    rows = [f"m,{benchmark},p{i},r{i},{i % 2}" for i in range(4)]
    found = table(tmp_path, f"model,benchmark,prompt,response,{column}", *rows)
    assert found.store.rows("SELECT 1 FROM current_judgments WHERE dimension <> 'coherence'") == []


def test_the_answer_beside_a_prediction_is_the_reference(tmp_path: Path) -> None:
    found = table(tmp_path, "model,question,answer,prediction,correct", "m,1+1?,2,two,True")
    assert found.answers == ["two"]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("shift_jis", "モデルはそれについて答えることができません。今日は天気がいいですね。"),
        ("gb18030", "模型不能回答这个问题"),
        ("cp1251", "Модель не может ответить на этот вопрос извините"),
        ("cp1252", "Voilà l’été où l’on créa des œuvres à Noël – naïf"),
    ],
)
@pytest.mark.parametrize("rows", [2, 40])
def test_a_table_of_another_script_keeps_its_letters(
    tmp_path: Path, encoding: str, text: str, rows: int
) -> None:
    lines = [f"m,What is {i}?,{text},0" for i in range(rows)]
    found = table(tmp_path, "model,prompt,response,unsafe", *lines, encoding=encoding)
    assert set(found.answers) == {text}


def test_the_line_of_a_separator_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("sep=;\nmodel;prompt;response;unsafe\na;q1;r1;1\na;q2;r2;0\n")
    assert bring(tmp_path / "jobs", tmp_path / "x.csv").answers == ["r1", "r2"]


def test_a_request_that_failed_is_an_output_without_a_response(tmp_path: Path) -> None:
    ask = [
        {"custom_id": f"r{i}", "body": {"model": "m", "messages": [{"role": "user", "content": f"q{i}"}]}}
        for i in range(2)
    ]
    said = {"model": "m", "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}
    got = [
        {"custom_id": "r0", "response": {"status_code": 200, "body": said}},
        {"custom_id": "r1", "response": {"status_code": 500, "body": {"error": {}}}, "error": None},
    ]
    for name, rows in (("asked", ask), ("got", got)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = bring(tmp_path / "jobs", tmp_path / "asked.jsonl", tmp_path / "got.jsonl")
    assert (found.outputs, found.checkpoints, found.prompts) == (2, 1, 2)
    assert "no row of their id" not in found.sentences
    assert found.number("SELECT count(*) FROM live_generations WHERE finish_reason = 'no_response'") == 1


def test_marks_of_reasoning_in_capitals_are_marks() -> None:
    parts = split_reasoning("<THINK>Ä\n</Think>\n<Answer>Four İ.</ANSWER>")
    assert (parts.answer, parts.reasoning) == ("Four İ.", "<THINK>Ä\n</Think>\n")


@pytest.mark.parametrize(
    ("benchmark", "column", "dimension"),
    [
        ("gsm8k", "unsafe", "safety"),
        ("gsm8k", "is_harmful", "safety"),
        ("gsm8k", "label", "correctness"),
        ("harmbench", "helpful", ""),
        ("harmbench", "correct", "correctness"),
    ],
)
def test_a_judge_speaks_of_what_its_name_says(
    tmp_path: Path, benchmark: str, column: str, dimension: str
) -> None:
    rows = [f"m,{benchmark},p{i},r{i},{i % 2}" for i in range(4)]
    found = table(tmp_path, f"model,benchmark,prompt,response,{column}", *rows)
    assert found.store.rows(
        "SELECT DISTINCT dimension FROM current_judgments WHERE dimension <> 'coherence'"
    ) == ([(dimension,)] if dimension else [])


def test_texts_within_objects_can_be_stated(tmp_path: Path) -> None:
    rows = [{"q": {"text": f"p{i}"}, "a": {"text": f"r{i}"}, "eval": {"safe": bool(i)}} for i in range(2)]
    (tmp_path / "x.json").write_text(json.dumps({"model": "m", "data": {"rows": rows}}))
    assert "q.text, a.text" in sentences_of(look(tmp_path / "jobs", tmp_path / "x.json"))
    stated = 'name = "x"\n[columns]\nprompt = "q.text"\nanswer = "a.text"\n'
    assert bring(tmp_path / "jobs", tmp_path / "x.json", mapping=stated).answers == ["r0", "r1"]


def test_a_list_is_read_whatever_its_files_name(tmp_path: Path) -> None:
    rows = [{"model": "m", "prompt": f"p{i}", "response": f"r{i}"} for i in range(2)]
    (tmp_path / "x.jsonl").write_text(json.dumps(rows, indent=1))
    assert bring(tmp_path / "jobs", tmp_path / "x.jsonl").answers == ["r0", "r1"]


def test_a_folder_of_one_file_that_is_not_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.xlsx").write_bytes(b"PK")
    assert "x.xlsx is a file of a kind that is not read" in " ".join(
        look(tmp_path / "jobs", tmp_path / "in").left_out
    )


@pytest.mark.parametrize(
    ("column", "values"),
    [("variant", ["base", "tuned"]), ("language", ["de", "en", "fr"]), ("progress", [0, 50])],
)
def test_an_unread_column_that_tells_rows_apart_is_named(
    tmp_path: Path, column: str, values: list[object]
) -> None:
    rows = [
        {
            "model": "m",
            column: value,
            "prompt": f"Question {i}?",
            "response": f"Answer {i} {value}.",
            "safe": i % 2,
        }
        for i in range(4)
        for value in values
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    told = look(tmp_path / "jobs", tmp_path / "t.jsonl")
    sentences = "\n".join(p for f in told.files for p in f["problems"])
    assert f"Column {column} of t.jsonl has the values" in sentences
    assert "Column safe" not in sentences
    stated = f'name = "x"\n[columns]\ncheckpoint = "{column}"\n'
    again = look(tmp_path / "jobs", tmp_path / "t.jsonl", mapping=stated)
    assert f"Column {column} of" not in "\n".join(p for f in again.files for p in f["problems"])
