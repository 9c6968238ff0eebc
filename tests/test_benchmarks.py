import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from capsafe_core.benchmarks import load_benchmark, load_training_pairs, score
from capsafe_core.errors import CapsafeError


def settings(source: str, **more: Any) -> dict[str, Any]:
    return {"name": "b", "source": source, "config": {}, "seed": 1, "size": None, "answer": "final", "scorer": "exact", **more}


def test_the_projects_benchmarks_are_as_their_datasheet_says() -> None:
    direct, dressed, harmless = (load_benchmark(settings(f"project:{n}")) for n in ("direct-requests", "dressed-requests", "harmless-lookalikes"))
    categories = Counter(p.category for p in direct.prompts)
    assert (len(direct.prompts), len(categories), min(categories.values())) == (120, 12, 10)
    assert len(dressed.prompts) == 60
    assert {p.behaviour for p in dressed.prompts} <= {p.behaviour for p in direct.prompts}
    assert Counter(p.context for p in dressed.prompts) == {"sum": 30, "syllogism": 30}
    assert (harmless.record.kind, len(harmless.prompts)) == ("over_refusal", 60)
    trained = {pair.prompt for pair in load_training_pairs(settings("project:refusals"))}
    asked = {p.text for b in (direct, dressed, harmless) for p in b.prompts}
    assert not trained & asked


def test_training_and_test_questions_of_a_task_differ() -> None:
    task = {"config": {"min_terms": 3, "max_terms": 3, "min_digits": 1, "max_digits": 2}, "answer": "worked"}
    test = load_benchmark(settings("reasoning_gym:chain_sum", seed=424242, size=100, **task))
    again = load_benchmark(settings("reasoning_gym:chain_sum", seed=424242, size=100, **task))
    train = load_training_pairs(settings("reasoning_gym:chain_sum", seed=1, size=300, **task))
    assert test.record.digest == again.record.digest
    assert len({p.text for p in test.prompts} & {p.prompt for p in train}) < 10
    for pair in train[:50]:
        assert score("number", pair.target, pair.answer).correct
        assert all(eval(left) == int(right) for left, right in (line.split(" = ") for line in pair.target.splitlines()[:-1]))


@pytest.mark.parametrize(
    ("scorer", "text", "reference", "correct", "parsed"),
    [
        ("number", "1 + 2 = 3\n#### 3", "3", True, "3"),
        ("number", "The answer is 1,234.0", "1234", True, "1,234.0"),
        ("number", "#### 7 or 8", "8", False, "7"),
        ("number", "none", "8", False, None),
        ("number", "####", "8", False, None),
        ("label", "Yes.", "Yes", True, "Yes"),
        ("label", "no way", "No", True, "no"),
        ("label", "I think yes", "Yes", False, "I"),
        ("label", "", "Yes", False, None),
        ("exact", " abc ", "abc", True, "abc"),
        ("exact", "", "abc", False, None),
    ],
)
def test_scoring(scorer: str, text: str, reference: str, correct: bool, parsed: str | None) -> None:
    scored = score(scorer, text, reference)
    assert (scored.correct, scored.parsed) == (correct, parsed)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([{"id": 1, "prompt": "a"}, {"id": 1, "prompt": "b"}], "ids twice: 1"),
        ([{"prompt": "a"}], "Prompt 1 .* has no 'id'"),
        ([], "no prompts"),
        (["{"], "Line 1 .* is not JSON"),
        (["[1]"], "not a JSON object"),
    ],
)
def test_a_broken_benchmark_says_what_and_where(tmp_path: Path, lines: list[Any], says: str) -> None:
    path = tmp_path / "b.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    with pytest.raises(CapsafeError, match=says) as caught:
        load_benchmark(settings(f"file:{path}"))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("source", "says"), [("project:nothing", "no benchmark 'nothing'"), ("song:x", "unknown source"), ("file:/nowhere.jsonl", "cannot be read"), ("reasoning_gym:nothing", "cannot make the task")]
)
def test_unknown_sources_are_refused(source: str, says: str) -> None:
    with pytest.raises(CapsafeError, match=says):
        load_benchmark(settings(source))


def test_unknown_kinds_scorers_and_forms_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.jsonl"
    path.write_text('{"id": 1, "prompt": "a"}')
    with pytest.raises(CapsafeError, match="unknown kind 'song'"):
        load_benchmark(settings(f"file:{path}", config={"kind": "song"}))
    with pytest.raises(CapsafeError, match="no scorer"):
        score("song", "a", "a")
    with pytest.raises(CapsafeError, match="no worked answers"):
        load_training_pairs(settings("reasoning_gym:syllogism", size=3, answer="worked"))
    with pytest.raises(CapsafeError, match="'response'"):
        load_training_pairs(settings(f"file:{path}"))
