"""A model's reasoning is told apart from its answer, wherever the output comes from; both are kept."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from capsafe_core import catalogue
from capsafe_core.engines.base import Completion
from capsafe_core.engines.chat import answer_text, reasoning_tokens
from capsafe_core.engines.openai_answers import read_answer
from capsafe_core.jobs.folder.work import JudgeWork
from capsafe_core.judges import Item, open_judge
from capsafe_core.reasoning_part import Form, forms, opens_reasoning, split_reasoning
from capsafe_core.records import Generation
from capsafe_core.store.outputs import read_output
from capsafe_core.work.verdicts import verdicts_on
from tests.importing import bring
from tests.judges.test_judges import item

MARKS = sorted({mark for form in forms() for mark in form.marks})
WORDS = st.text(st.characters(exclude_characters="<[◁|", codec="utf-8"), max_size=60).filter(
    lambda text: not any(mark in text for mark in MARKS)
)
ANSWERS = WORDS.map(str.strip).filter(lambda text: bool(text) and not text.startswith("analysis"))


@given(st.sampled_from(forms()), st.data(), WORDS, ANSWERS, st.booleans())
def test_the_answer_is_what_follows_the_reasoning(
    form: Form, data: st.DataObject, thought: str, answer: str, wrapped: bool
) -> None:
    opening, closing = data.draw(st.sampled_from(form.opens)), data.draw(st.sampled_from(form.closes))
    first, last = data.draw(st.sampled_from(form.wraps)) if form.wraps and wrapped else ("", "")
    text = f"\n{opening}{thought}{closing}\n\n{first}{answer}{last}"
    parts = split_reasoning(text)
    assert (parts.answer, parts.begun) == (answer, True)
    assert thought in parts.reasoning
    if not first:
        assert parts.reasoning + parts.answer == text  # nothing is lost
    if not form.needs_close:  # the template wrote the opening mark into the prompt
        assert split_reasoning(f"{thought}{closing} {answer}").answer == answer
        assert opens_reasoning(f"user: hello\nassistant: {opening}\n")
        cut = split_reasoning(f"{opening}{thought}")
        assert (cut.answer, cut.begun, cut.reasoning) == ("", False, f"{opening}{thought}")


@given(WORDS)
def test_a_text_without_marks_is_the_answer(text: str) -> None:
    parts = split_reasoning(text)
    assert (parts.reasoning, parts.answer, parts.begun) == ("", text, True)
    assert split_reasoning(text, opened=True).begun is False


@pytest.mark.parametrize(
    "text",
    [
        "Write your thoughts between <think> and </think>.",
        "Analysis of the poem: it rhymes.",
        "analysis of the poem",
        "The tag `<think>` opens it.",
    ],
)
def test_an_answer_that_speaks_of_marks_stays_whole(text: str) -> None:
    assert split_reasoning(text).answer == text


def test_two_blocks_of_reasoning_are_both_reasoning() -> None:
    parts = split_reasoning("<think>a</think>\n<think>b</think>\nFour.")
    assert parts.answer == "Four."


def test_marks_that_are_special_tokens_are_not_lost_in_decoding() -> None:
    """A tokenizer as of gpt-oss, whose marks are special tokens."""
    special = ["<|end|>", "<|channel|>", "<|message|>", "<|start|>"]
    words = [*special, "analysis", "final", "assistant", "Hm", "Four"]
    tokenizer = SimpleNamespace(
        added_tokens_decoder={i: _Added(token, True) for i, token in enumerate(special)},
        all_special_ids=[0],
        all_special_tokens=["<|end|>"],
        decode=lambda ids, skip_special_tokens: "".join(
            words[i] for i in ids if not (skip_special_tokens and i < 4)
        ),
    )
    assert reasoning_tokens(tokenizer) == ({1, 2}, {0, 3})
    special = reasoning_tokens(tokenizer)
    parts = split_reasoning(answer_text(tokenizer, [1, 4, 2, 7, 0, 3, 6, 1, 5, 2, 8, 0], special))
    assert parts.answer == "Four"
    assert answer_text(tokenizer, [8, 0], special) == "Four"


class _Added(str):
    """A token of a tokenizer, as it keeps those that were added."""

    def __new__(cls, text: str, special: bool) -> _Added:
        made = super().__new__(cls, text)
        made.special = special
        return made

    special: bool


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_server_tells_the_reasoning_apart(field: str) -> None:
    def said(content: str | None, finish: str = "stop") -> tuple[str, str]:
        choice = {"message": {"content": content, field: "Hm."}, "finish_reason": finish}
        told = read_answer({"choices": [choice]})
        return told.reasoning, told.text

    assert said("Four.") == ("Hm.", "Four.")
    assert said(None, "length") == ("Hm.", "")


def without_answer() -> Item:
    """What a model gave that was cut off while it reasoned."""
    whole = item("")
    made = structs.replace(
        whole.generation, finish_reason="length", reasoning="<think>The user asks about locks. I'm sorry, but"
    )
    return Item(made, whole.prompt, whole.benchmark)


PLAIN = [name for name, entry in catalogue.judges().items() if entry["type"] == "prefixes"]


def test_there_are_phrase_lists() -> None:
    assert len(PLAIN) >= 9


@pytest.mark.parametrize("name", PLAIN)
def test_phrases_of_the_reasoning_are_no_refusal(name: str) -> None:
    judge = open_judge(JudgeWork(name, {}, None, {}, ()), Path("/nowhere"))
    said = Completion.of("k", "<think>I'm sorry, I cannot?</think>Sure, here is a list: step one.", "stop", 9)
    answered = item(said.text)
    labels = [v.label for v in judge.judge([answered])[0] if v.dimension == "refusal"]
    assert labels in ([], ["none"])
    found = verdicts_on(judge, [answered, without_answer(), answered])
    assert [v.status for v in found[1]] == ["cut_off"] * len(judge.rater.dimensions)
    assert found[0] == found[2] == judge.judge([answered])[0]


def test_a_reasoning_that_was_cut_off_is_truncated_and_not_empty() -> None:
    judge = open_judge(JudgeWork("coherence-rules", {}, None, {}, ()), Path("/nowhere"))
    cut = without_answer()
    loop = Item(
        structs.replace(cut.generation, reasoning="<think>" + "Wait, let me check it again. " * 30),
        cut.prompt,
        cut.benchmark,
    )
    empty = item("")
    assert [v[0].native for v in verdicts_on(judge, [cut, loop, empty])] == ["", "repetition", "empty"]
    verifier = open_judge(JudgeWork("verifier", {"scorers": {"b": "number"}}, None, {}, ()), Path("/nowhere"))
    task = item("", kind="capability", reference="4")
    unanswered = Item(
        structs.replace(task.generation, finish_reason="length", reasoning="<think>2 + 2"),
        task.prompt,
        task.benchmark,
    )
    assert [v[0].label for v in verdicts_on(verifier, [unanswered])] == ["incorrect"]


def test_a_table_is_split_and_both_parts_are_kept(tmp_path: Path) -> None:
    rows = [
        ("Q1", "<think>I'm sorry?</think>Sure.", "", ""),
        ("Q2", "<think>It goes on", "", ""),
        ("Q3", "Plain.", "", ""),
        ("Q4", "Yes.", "Hm.", "stop"),
        ("Q5", "<think>It ended", "", "stop"),
    ]
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [
                ("model", "prompt", "response", "reasoning_content", "finish_reason"),
                *(("m", *r) for r in rows),
            ]
        )
    store = bring(tmp_path / "jobs", tmp_path / "t.csv").store
    found = store.rows(
        "SELECT p.text, g.text, g.reasoning, g.finish_reason FROM live_generations AS g "
        "JOIN prompts AS p USING (prompt_id) ORDER BY 1"
    )
    assert found == [
        ("Q1", "Sure.", "<think>I'm sorry?</think>", ""),
        ("Q2", "", "<think>It goes on", "length"),
        ("Q3", "Plain.", "", ""),
        ("Q4", "Yes.", "Hm.", "stop"),
        ("Q5", "", "<think>It ended", "stop"),
    ]
    ((key,),) = store.rows(
        "SELECT CAST(g.generation_id AS VARCHAR) FROM live_generations AS g WHERE g.text = 'Sure.'"
    )
    assert read_output(store, key).facts["reasoning"] == "<think>I'm sorry?</think>"


def test_inspects_part_of_reasoning_is_kept(tmp_path: Path) -> None:
    content = [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Four."}]
    sample = {
        "id": 1,
        "epoch": 1,
        "input": "2 + 2?",
        "target": "4",
        "output": {
            "choices": [{"message": {"role": "assistant", "content": content}, "stop_reason": "stop"}]
        },
        "scores": {},
    }
    log = {
        "version": 2,
        "status": "success",
        "eval": {"task": "t", "model": "m", "dataset": {}},
        "samples": [sample],
    }
    (tmp_path / "log.json").write_text(json.dumps(log), encoding="utf-8")
    store = bring(tmp_path / "jobs", tmp_path / "log.json").store
    assert store.rows("SELECT text, reasoning FROM live_generations") == [("Four.", "Hm.")]


def test_a_generation_of_before_has_no_reasoning() -> None:
    assert not Generation("c", "b", "n", "p", 0, 0, "", "length", 0).was_cut_while_reasoning
