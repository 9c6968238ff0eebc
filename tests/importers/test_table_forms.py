"""Tables as people write them: several judges or models in a row, reasoning after some words, missing
answers, and columns whose meaning shows late."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.importers.columns import column_uses
from capsafe_core.importers.per_model import per_model
from capsafe_core.importers.table_rows import SAMPLED, sampled
from capsafe_core.reasoning_part import split_reasoning
from tests.importing import Brought, bring, look

ASKED = [f"How do I do thing {i}?" for i in range(4)]


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def wide(path: Path, head: str, *rows: list[object]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([head.split(","), *rows])
    return path


def heard(found: Brought) -> dict[str, dict[str, int]]:
    return {h["by"]: h["values"] for h in found.survey.judges}


LONG = {"gpt": ["safe", "unsafe", "safe", "unsafe"], "guard": ["safe"] * 4}
BOTH = {"safe": 6, "unsafe": 2}


@pytest.mark.parametrize(
    "column", ["label", "verdict", "decision", "judge_label", "result", "is_unsafe", "flag"]
)
def test_a_row_for_each_judge_is_that_judges_verdict(tmp_path: Path, column: str) -> None:
    rows = [
        {"model": "m", "prompt": p, "response": "r", "judge": judge, column: said[i], "category": "c"}
        for judge, said in LONG.items()
        for i, p in enumerate(ASKED)
    ]
    found = bring(tmp_path / "jobs", lines(tmp_path / "a.jsonl", rows))
    assert (found.outputs, found.verdicts("safety"), found.survey.conflicts) == (4, BOTH, [])
    assert {by.partition("/")[0] for by in heard(found)} == set(LONG)


def test_what_is_the_same_in_all_rows_of_an_output_is_no_judges(tmp_path: Path) -> None:
    rows = [
        {"model": "m", "prompt": p, "response": "r", "judge": j, "label": "safe", "score": k, "human": i % 2}
        for k, j in enumerate(LONG)
        for i, p in enumerate(ASKED)
    ]
    found = bring(tmp_path / "jobs", lines(tmp_path / "a.jsonl", rows))
    assert set(heard(found)) == {"gpt", "guard", "gpt/score", "guard/score", "human"}


def test_a_verdict_without_a_judges_name_is_read(tmp_path: Path) -> None:
    rows = [
        {"model": "m", "prompt": p, "response": "r", "verdict": LONG["gpt"][i]} for i, p in enumerate(ASKED)
    ]
    found = bring(tmp_path / "jobs", lines(tmp_path / "a.jsonl", rows))
    assert found.verdicts("safety") == {"safe": 2, "unsafe": 2}


@pytest.mark.parametrize("key", ["judgments", "scores", "evals"])
@pytest.mark.parametrize(("name", "value"), [("judge", "verdict"), ("name", "value"), ("scorer", "label")])
def test_lists_of_verdicts_within_a_row(tmp_path: Path, key: str, name: str, value: str) -> None:
    rows = [
        {"model": "m", "prompt": p, "response": "r",
         key: [{name: judge, value: said[i], "why": "x" * 300} for judge, said in LONG.items()]}
        for i, p in enumerate(ASKED)
    ]  # fmt: skip
    found = bring(tmp_path / "jobs", lines(tmp_path / "a.jsonl", rows))
    assert found.verdicts("safety") == BOTH
    assert set(heard(found)) == {f"{key}.{judge}" for judge in LONG}


@pytest.mark.parametrize(
    "text", ["unsafe\nS1", "\n\nunsafe\nS1,S2", "unsafe\nS10", "unsafe\nO3", "Unsafe", "unsafe (S1)"]
)
def test_llama_guards_own_words_are_verdicts(tmp_path: Path, text: str) -> None:
    rows = [
        {"model": "m", "prompt": p, "response": "r", "guard": [text, "\n\nsafe"][i % 2]}
        for i, p in enumerate(ASKED)
    ]
    found = bring(tmp_path / "jobs", lines(tmp_path / "a.jsonl", rows))
    assert found.verdicts("safety") == {"safe": 2, "unsafe": 2}


@pytest.mark.parametrize("pair", [("Y", "N"), ("y", "n"), ("T", "F"), ("yes", "no"), (1, 0)])
def test_letters_for_yes_and_no(tmp_path: Path, pair: tuple[object, object]) -> None:
    rows = [{"model": "m", "prompt": p, "response": "r", "unsafe": pair[i > 0]} for i, p in enumerate(ASKED)]
    found = bring(tmp_path / "jobs", lines(tmp_path / "a.jsonl", rows))
    assert found.verdicts("safety") == {"unsafe": 1, "safe": 3}


def test_what_is_said_of_the_prompt_is_not_said_of_the_answer(tmp_path: Path) -> None:
    rows = [
        {"model": "m", "prompt": p, "response": "r", "prompt_harm_label": "harmful", "user_safety": "unsafe",
         "response_harm_label": "unharmful"}
        for p in ASKED
    ]  # fmt: skip
    found = bring(tmp_path / "jobs", lines(tmp_path / "a.jsonl", rows))
    assert found.verdicts("safety") == {"safe": 4}
    assert {h["by"] for h in found.survey.unread} == {"prompt_harm_label", "user_safety"}


MODELS = ("llama", "qwen", "llama-7b", "base", "tuned", "M 2")


@given(
    models=st.lists(
        st.sampled_from(("llama", "qwen", "llama-7b", "base", "tuned", "M 2")), min_size=2, unique=True
    ),
    form=st.sampled_from(("{w}_{m}", "{m}_{w}", "{w}.{m}", "{w} ({m})", "{m} {w}", "{w}-{m}")),
    word=st.sampled_from(("response", "output", "completion", "answer", "model_output", "Generation")),
)
def test_a_column_for_each_model(models: list[str], form: str, word: str) -> None:
    columns = {m: (form.format(w=word, m=m), form.format(w="unsafe", m=m)) for m in models}
    names = ["prompt", *(c for both in columns.values() for c in both)]
    found = per_model(names, {"prompt": "prompt"})
    assert found is not None
    rows = found.rows({"prompt": "p", **{c: c for both in columns.values() for c in both}})
    assert {(r["model"], r["response"], r["unsafe"]) for r in rows} == {(m, *c) for m, c in columns.items()}


@pytest.mark.parametrize(
    "names",
    [
        "prompt,response,response_length", "prompt,response_text,response_id", "prompt,response_length",
        "prompt,output_tokens,output_text", "prompt,response,response_harm_label,response_refusal_label",
        "prompt,answer,expected_answer", "instruction,input,output",
    ],
)  # fmt: skip
def test_parts_of_one_answer_are_no_models(names: str) -> None:
    assert per_model(names.split(","), {"prompt": "prompt", "answer": "response"}) is None
    assert per_model(names.split(","), {"prompt": "prompt"}) is None


def test_models_in_columns_are_shown_and_can_be_stated(tmp_path: Path) -> None:
    rows = [[p, "A", "B", i % 2, 0] for i, p in enumerate(ASKED)]
    file = wide(tmp_path / "a.csv", "question,llama-7b,qwen-7b,llama-7b unsafe,qwen-7b unsafe", *rows)
    assert "where each model has a column of its own" in look(tmp_path / "jobs", file).files[0]["problems"][0]
    stated = 'name = "x"\n[columns]\nanswers = "llama-7b, qwen-7b"\n'
    found = bring(tmp_path / "jobs", file, mapping=stated)
    assert {log["checkpoint"] for log in found.survey.logs} == {"llama-7b", "qwen-7b"}
    assert (found.outputs, found.verdicts("safety")) == (8, {"safe": 6, "unsafe": 2})
    uses = {c["column"]: c["use"] for c in found.survey.columns}
    assert uses["qwen-7b unsafe"] == "unsafe of model qwen-7b"


def test_the_name_of_a_model_in_a_column_of_its_own(tmp_path: Path) -> None:
    rows = [[p, "llama", "qwen", "A", "B"] for p in ASKED]
    found = bring(
        tmp_path / "jobs", wide(tmp_path / "a.csv", "prompt,model_a,model_b,response_a,response_b", *rows)
    )
    assert {log["checkpoint"] for log in found.survey.logs} == {"llama", "qwen"}


def test_numbered_answers_are_samples(tmp_path: Path) -> None:
    rows = [["m", p, "one", "two", "three"] for p in ASKED]
    found = bring(
        tmp_path / "jobs", wide(tmp_path / "a.csv", "model,prompt,response_1,response_2,response_3", *rows)
    )
    assert (found.outputs, found.checkpoints, found.prompts) == (12, 1, 4)


def test_models_within_an_object(tmp_path: Path) -> None:
    rows = [
        {"prompt": p, "llama": {"response": "A", "unsafe": 1}, "qwen": {"response": "B", "unsafe": 0}}
        for p in ASKED
    ]
    found = bring(tmp_path / "jobs", lines(tmp_path / "a.jsonl", rows))
    assert found.verdicts("safety") == {"safe": 4, "unsafe": 4}
    assert {log["checkpoint"] for log in found.survey.logs} == {"llama", "qwen"}


@pytest.mark.parametrize("first", [300, SAMPLED + 500, 25_000])
def test_what_turns_up_late_decides_too(tmp_path: Path, first: int) -> None:
    early = [{"model": "m", "checkpoint": "start", "prompt": f"p{i}", "response": "r"} for i in range(first)]
    late = [{**row, "checkpoint": "step-50", "unsafe": 1, "notes": "x" * 300} for row in early[:20]]
    survey = look(tmp_path / "jobs", lines(tmp_path / "a.jsonl", early + late))
    uses = {c["column"]: c["use"] for c in survey.columns}
    assert uses["checkpoint"] == "place on the path (step or epoch)"
    assert (uses["unsafe"], uses["notes"]) == ("values of a judge", "left out: long texts or lists")
    assert survey.unplaced_steps == ["start"]
    assert sum(log["outputs"] for log in survey.logs if "step 50" in log["checkpoint"]) == 20


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_a_sample_has_all_rows_of_its_prompts(asked: list[int]) -> None:
    rows = [{"prompt": f"{p}" * 200_000, "n": i} for i, p in enumerate(asked)]
    sample, again = sampled(lambda _: iter(enumerate(rows)))
    assert [row for _, row in again] == rows
    kept = {row["prompt"] for row in sample.rows}
    assert len(sample.rows) in (1, sum(row["prompt"] in kept for row in rows))
    assert column_uses({}, sample)["n"] == "values of a judge"


@given(
    before=st.text("ab .\n", min_size=1, max_size=8),
    inside=st.text("ab\n", max_size=8),
    after=st.text("ab ", max_size=8),
)
def test_reasoning_after_some_words_is_split(before: str, inside: str, after: str) -> None:
    text = f"x{before}\n<think>{inside}</think>{after}"
    parts = split_reasoning(text)
    assert parts.reasoning == f"<think>{inside}</think>"
    assert (parts.answer.replace("\n", ""), parts.unclear) == (
        (f"x{before}".strip() + after.strip()).replace("\n", ""),
        False,
    )


@pytest.mark.parametrize(
    "text",
    [
        "Use <think> tags like <think>x</think> here.",
        "Write <think>x</think> in a line.",
        "In code:\n```\n<think>x</think>\n```",
        "Okay.\n<think>never closed",
        "One.\n<think>a</think>\nTwo.\n<think>b</think>\nThree.",
    ],
)
def test_reasoning_that_is_not_clear_is_left_and_said(tmp_path: Path, text: str) -> None:
    assert split_reasoning(text).unclear
    file = lines(tmp_path / "a.jsonl", [{"model": "m", "prompt": "p", "response": text}])
    found = bring(tmp_path / "jobs", file)
    assert found.answers == [text]
    assert "1 answer of a.jsonl hold" in found.sentences


WORDS = ["null", "N/A", "None", "nan", "NA", "NULL", "NaN", "<NA>", "n/a"]


@pytest.mark.parametrize("word", WORDS)
def test_a_word_for_what_is_missing(tmp_path: Path, word: str) -> None:
    silent = "SELECT count(*) FROM live_generations WHERE finish_reason = 'no_response'"
    rows: list[list[object]] = [["m", "p", word, "nan"], ["m", "q", "r", 1]]
    text = bring(tmp_path / "text", wide(tmp_path / "a.csv", "model,prompt,response,unsafe", *rows))
    assert (text.number(silent), text.verdicts("safety")) == (1, {"unsafe": 1})
    assert f"count as missing, as data frames write them so: {word} (1)" in text.sentences
    told = [{"model": "m", "prompt": "p", "response": word}, {"model": "m", "prompt": "q", "response": None}]
    said = bring(tmp_path / "json", lines(tmp_path / "a.jsonl", told))
    assert (said.number(silent), sorted(said.answers)) == (1, ["", word])
    assert f"a word for what is missing: {word} (1)" in said.sentences


def test_a_missing_step_is_the_model_itself(tmp_path: Path) -> None:
    rows: list[list[object]] = [["m", step, "p", f"r{step}"] for step in ("nan", "100", "")]
    found = bring(tmp_path / "jobs", wide(tmp_path / "a.csv", "model,step,prompt,response", *rows))
    assert {log["checkpoint"] for log in found.survey.logs} == {"m", "m fine-tuned s0 step 100"}


def test_an_index_is_neither_seed_nor_sample(tmp_path: Path) -> None:
    rows: list[list[object]] = [[i, "m", p, "r"] for i, p in enumerate(ASKED)]
    found = bring(tmp_path / "jobs", wide(tmp_path / "a.csv", ",model,prompt,response", *rows))
    assert found.store.rows("SELECT DISTINCT seed, sample FROM live_generations") == [(0, 0)]


def test_a_task_and_what_it_is_about_are_one_prompt(tmp_path: Path) -> None:
    rows = [{"model": "m", "instruction": "Sum up.", "input": p, "output": "r"} for p in ASKED]
    found = bring(tmp_path / "jobs", lines(tmp_path / "a.jsonl", rows))
    assert (found.outputs, found.prompts) == (4, 4)


def test_a_chat_apis_answers(tmp_path: Path) -> None:
    rows = [
        {"request": {"model": "m", "messages": [{"role": "user", "content": p}]},
         "response": {"choices": [{"message": {"content": f"r {p}"}, "finish_reason": "length"}]}}
        for p in ASKED
    ]  # fmt: skip
    found = bring(tmp_path / "jobs", lines(tmp_path / "a.jsonl", rows))
    assert sorted(found.answers) == [f"r {p}" for p in ASKED]
    assert found.store.rows("SELECT DISTINCT finish_reason FROM live_generations") == [("length",)]


def test_anthropics_batches_are_joined_with_their_requests(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    lines(tmp_path / "in" / "asked.jsonl", [
        {"custom_id": f"x{i}", "params": {
            "model": "c", "system": "Be kind.", "messages": [{"role": "user", "content": p}]}}
        for i, p in enumerate(ASKED)
    ])  # fmt: skip
    lines(tmp_path / "in" / "got.jsonl", [
        {"custom_id": f"x{i}", "result": {"type": "succeeded", "message": {
            "model": "c", "role": "assistant", "content": [{"type": "text", "text": f"r{i}"}]}}}
        for i in range(4)
    ])  # fmt: skip
    found = bring(tmp_path / "jobs", tmp_path / "in")
    assert found.answers == ["r0", "r1", "r2", "r3"]
    assert found.prompts == 4


def test_data_that_follows_the_benchmark_tells_no_models_apart(tmp_path: Path) -> None:
    rows: list[list[object]] = [
        ["m", b, b, f"{b} {i}", "r"] for b in ("harmbench", "gsm8k") for i in range(3)
    ]
    found = bring(
        tmp_path / "jobs", wide(tmp_path / "a.csv", "model,benchmark,dataset,prompt,response", *rows)
    )
    assert (found.checkpoints, found.outputs) == (1, 6)


@pytest.mark.parametrize("named", [False, True])
def test_an_object_of_rows(tmp_path: Path, named: bool) -> None:
    rows = [{"model": "m", "prompt": p, "response": f"r{i}"} for i, p in enumerate(ASKED)]
    table = {f"q{i}" if named else f"{i}": row for i, row in enumerate(rows)}
    (tmp_path / "a.json").write_text(json.dumps(table))
    found = bring(tmp_path / "jobs", tmp_path / "a.json")
    assert (found.answers, found.prompts, found.checkpoints) == (["r0", "r1", "r2", "r3"], 4, 1)


@pytest.mark.parametrize("who", ["annotator", "rater_id", "judge_model", "grader"])
def test_a_row_for_each_person_is_no_sample(tmp_path: Path, who: str) -> None:
    rows: list[list[object]] = [["m", p, "r", name, "safe"] for name in ("ann", "bob") for p in ASKED]
    found = bring(tmp_path / "jobs", wide(tmp_path / "a.csv", f"model,prompt,response,{who},label", *rows))
    assert (found.outputs, found.verdicts("safety"), set(heard(found))) == (4, {"safe": 8}, {"ann", "bob"})


def test_words_that_are_no_verdict_leave_the_others_readable(tmp_path: Path) -> None:
    values = (1, 0, "NA", "")
    rows: list[list[object]] = [["m", p, "r", v] for p, v in zip(ASKED, values, strict=True)]
    found = bring(tmp_path / "jobs", wide(tmp_path / "a.csv", "model,prompt,response,unsafe", *rows))
    assert found.verdicts("safety") == {"unsafe": 1, "safe": 1, None: 1}
