"""Rows of any columns, of a file or of a data set of the hub, learnt and asked as the study writes them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from capsafe_core.benchmarks.conversations import read_conversations
from capsafe_core.errors import CapsafeError

ROW = {
    "passage": "Iron rusts {here}.",
    "question": "Does iron rust",
    "answer": True,
    "choices": {"text": ["yes", "no"], "label": ["A", "B"]},
    "words": ["a", "b"],
    "nothing": None,
}


@pytest.mark.parametrize(
    ("prompt", "response", "turns"),
    [
        ("{passage} {question}?", "{answer}", ("Iron rusts {here}. Does iron rust?", "Yes")),
        ("{question}?\n{choices}", "A", ("Does iron rust?\nA. yes\nB. no", "A")),
        ('{ "q": "{question}" }', "{words}{nothing}", ('{ "q": "Does iron rust" }', "a\nb")),
        ("{question.__class__} {{question}}", "b", ("{question.__class__} {Does iron rust}", "b")),
    ],
)
def test_a_row_of_any_columns_is_learnt_as_the_study_writes_it(
    tmp_path: Path, prompt: str, response: str, turns: tuple[str, str]
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    ((asked, answer),) = read_conversations(path, {"prompt": prompt, "response": response})
    assert (asked["content"], answer["content"]) == turns


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"prompt": "{question}"}, "response is missing"),
        ({"prompt": 3, "response": "{answer}"}, "prompt is missing"),
        ({"prompt": "{query}", "response": "{answer}"}, "the column 'query', which is not there"),
        ({"prompt": "{question}", "response": "{nothing}"}, "1 of 1 rows"),
    ],
)
def test_what_a_study_cannot_write_from_a_row_is_a_sentence(
    tmp_path: Path, config: dict[str, Any], words: str
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    with pytest.raises(CapsafeError) as error:
        read_conversations(path, config)
    assert words in error.value.message


# `datasets` takes a folder of that name for the hub's data set; where there is none, and no hub, it says so.
HUB = """
import json, os, sys
from pathlib import Path
from capsafe_core.benchmarks import load_benchmark
from capsafe_core.benchmarks.loading import load_conversations
from capsafe_core.errors import CapsafeError

os.chdir(sys.argv[1])
Path("owner/quiz").mkdir(parents=True)
rows = [{"q": f"Is {i} even", "a": i % 2 == 0} for i in range(9)]
Path("owner/quiz/train.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
texts = {"prompt": "{q}?", "split": "train[2:7]"}
settings = {"name": "quiz", "source": "hub:owner/quiz", "seed": 0, "size": 3, "answer": "final"}
learnt = load_conversations({**settings, "config": {**texts, "response": "{a}"}})
asked = load_benchmark({**settings, "config": {**texts, "reference": "{a}"}, "scorer": "label"})
problems = []
for name, config in (("owner/none", texts), ("/etc/passwd", {}), ("owner/quiz", {"split": "test"})):
    try:
        load_conversations({**settings, "source": f"hub:{name}", "config": config})
    except CapsafeError as error:
        problems.append(error.message)
print(json.dumps({
    "learnt": [[t["content"] for t in turns] for turns in learnt],
    "asked": [[p.text, p.reference] for p in asked.prompts], "kind": asked.record.kind, "problems": problems,
}))
"""


@pytest.mark.engine
def test_a_data_set_of_the_hub_is_learnt_and_asked(engine_python: Path, tmp_path: Path) -> None:
    command = [str(engine_python), "-c", HUB, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    even = [f"Is {i} even?" for i in range(2, 7)]
    answers = ["Yes", "No", "Yes", "No", "Yes"]
    assert found["learnt"] == [list(pair) for pair in zip(even, answers, strict=True)]
    assert found["asked"] == [list(pair) for pair in zip(even[:3], answers[:3], strict=True)]
    assert found["kind"] == "capability"
    assert "cannot be had from the hub here" in found["problems"][0]
    assert "is not a name of a data set of the hub" in found["problems"][1]
    assert "cannot be had from the hub here" in found["problems"][2]
