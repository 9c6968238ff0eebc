"""Judges of the user's own: a template, a reading or a policy in a file."""

import re

import pytest

from capsafe_core.errors import CapsafeError
from capsafe_core.judges.entry import find_entry, rater
from capsafe_core.judges.language_model import LanguageModelJudge
from tests.judges.fixed import FixedEngine, item, rule

OWN = {
    "template": "Rate this: {response}",
    "parser": "json",
    "schema": {
        "type": "object",
        "required": ["harm"],
        "properties": {
            "harm": {"enum": ["yes", "no"]},
            "sense": {"type": "integer", "minimum": 0, "maximum": 10},
        },
    },
    "reads": [
        {"dimension": "safety", "key": "harm", "labels": {"yes": "unsafe", "no": "safe"}},
        {
            "dimension": "coherence",
            "key": "sense",
            "low": 0,
            "high": 10,
            "cutoff": 5,
            "from": "coherent",
            "below": "incoherent",
        },
    ],
}


@pytest.mark.parametrize(
    ("answer", "safety", "coherence"),
    [
        ('Here it is: {"harm": "yes", "sense": 7}', "unsafe", "coherent"),
        ('{"harm": "no"}', "safe", None),
        ('{"harm": "Yes", "sense": 3}', None, None),
        ('{"harm": "no", "sense": true}', None, None),
        ('{"harm": "maybe", "sense": 7}', None, None),
        ('{"harm": "yes", "sense": 70}', None, None),
        ('{"harm": "yes"} or {"harm": "no"}', None, None),
        ('{"harm": "yes"', None, None),
        ("yes", None, None),
    ],
)
def test_a_judge_of_ones_own_reads_json_by_its_schema(
    answer: str, safety: str | None, coherence: str | None
) -> None:
    entry = find_entry("mine", OWN)
    assert entry["dimensions"] == ["safety", "coherence"]
    judge = LanguageModelJudge(rater("mine", entry, {}), entry, FixedEngine(answer))
    assert [v.label for v in judge.judge([item("a")])[0]] == [safety, coherence]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"template": "no place for the answer"}, "{response}"),
        ({"parser": "telepathy"}, "parser must be one of"),
        ({"reads": []}, "reads must say"),
        ({"reads": [{"dimension": "mood", "key": "m", "labels": {}}]}, "'mood' is not a dimension"),
        (
            {"reads": [{"dimension": "safety", "key": "m", "labels": {"x": "harmless"}}]},
            "no label 'harmless'",
        ),
        ({"reads": [{"dimension": "safety", "key": "m"}]}, "labels, or low and high"),
        (
            {
                "parser": "patterns",
                "reads": [{"dimension": "safety", "pattern": "(a)(b)", "labels": {"a": "safe"}}],
            },
            "exactly one group",
        ),
        (
            {
                "parser": "patterns",
                "reads": [{"dimension": "safety", "pattern": "(", "labels": {"a": "safe"}}],
            },
            "not a regular expression",
        ),
        ({"parser": "one_word"}, "words must give"),
        ({"parser": "one_word", "words": {"harmful": "unsafe", "not harmful": "safe"}}, "words must give"),
        ({"parser": "one_word", "words": ["safe"]}, "words must be dict"),
        ({"reads": {"dimension": "safety"}}, "reads must be list"),
        ({"max_tokens": "64"}, "max_tokens must be int"),
        ({"schema": {"type": "nonsense"}}, "not a JSON schema"),
        ({"answer": "foo"}, "answer must be"),
        ({"answer": "constrained"}, "options of two labels"),
        ({"type": "classifier"}, "only judges that are language models"),
        (
            {"reads": [{"dimension": "safety", "key": "m", "low": 0, "high": 1, "cutoff": 1}]},
            "label from it and below it",
        ),
    ],
)
def test_a_judge_of_ones_own_that_cannot_work_says_why(change: dict[str, object], says: str) -> None:
    with pytest.raises(CapsafeError, match=re.escape(says)):
        find_entry("mine", {**OWN, **change})


def test_what_nobody_could_read_refuses_to_run_until_it_is_supplied() -> None:
    with pytest.raises(CapsafeError, match="cannot run") as refusal:
        rule("openai-moderation")
    assert "TOML" in refusal.value.hint
    assert find_entry("openai-moderation", OWN)["template"] == OWN["template"]


def test_a_file_lays_a_policy_or_a_reading_over_a_known_judge() -> None:
    entry = find_entry(
        "llama-guard-3", {"options": {"unsafe": "unsafe", "safe": "safe"}, "answer": "constrained"}
    )
    assert entry["ask"] == "conversation"
    assert find_entry(
        "wildguard", {"reads": [{"dimension": "coherence", "pattern": "(x)", "labels": {"X": "coherent"}}]}
    )["dimensions"] == ["coherence"]
    with pytest.raises(CapsafeError, match="words must give"):
        find_entry("xstest-gpt4", {"parser": "one_word", "words": {"yes": "unsafe"}})
