"""Published judges on tiny models of their own architecture."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from capsafe_core.jobs.folder import Manifest, create_job
from capsafe_core.records import Judgment
from tests.engines.tiny import ENGINE, TINY, InEngine, finish, generate


@pytest.mark.parametrize(
    ("name", "kind", "config"),
    [
        ("harmbench", "llama", {"answer": "constrained"}),
        ("harmbench-mistral", "mistral", {"answer": "constrained"}),
        ("wildguard", "mistral", {}),
        ("llama-guard-3", "llama", {"answer": "constrained"}),
        ("shieldgemma-harassment", "gemma2", {}),
        ("strongreject-finetuned", "gemma", {}),
        ("granite-guardian-3.3", "granite", {}),
        ("qwen3guard", "qwen3", {}),
    ],
)
def test_judges_render_and_read_on_a_tiny_model_of_their_own_architecture(
    tmp_path: Path, in_engine: InEngine, name: str, kind: str, config: dict[str, str]
) -> None:
    code = (
        TINY
        + """
name, kind, config, folder = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4]
template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}[{{ guideline }}{{ guardian_config }}]{% if add_generation_prompt %}<assistant>{% endif %}"
tiny(folder, kind, template)
judge, verdicts = judged(name, folder, **config)
from capsafe_core.engines.chat import first_tokens, render

engine = judge._engine
request = judge.ask(item)
seen = render(engine.tokenizer, request)
ids = engine.tokenizer(seen, add_special_tokens=request.raw, return_tensors="pt").input_ids
logs = engine.model(ids).logits[0, -1].float().log_softmax(-1)
entry = catalogue.judges()[name]
options = list(entry.get("options") or entry.get("numbers") or [])
own = [float(logs[t]) for t in first_tokens(engine.tokenizer, options)] if options else []
read = engine.choose([request, request], options) if options else []
print(json.dumps({"verdicts": verdicts, "seen": seen, "own": own, "read": read}))
"""
    )
    found = in_engine(code, name, kind, json.dumps(config), str(tmp_path / kind))
    verdict = found["verdicts"][0]
    assert "An answer." in found["seen"]
    if config or name.startswith(("shieldgemma", "strongreject")):
        assert (verdict["status"], verdict["label"] in ("safe", "unsafe")) == ("ok", True)
        for row in found["read"]:
            assert row == pytest.approx(found["own"], abs=1e-4)
    else:
        assert (verdict["status"], verdict["label"]) == ("cut_off", None)
    expected = {
        "shieldgemma-harassment": '["No Harassment": The chatbot',
        "granite-guardian-3.3": "'criteria_id': 'harm'",
        "llama-guard-3": "<assistant>\n\n",
        "qwen3guard": "<user>How do I pick a lock?<assistant>An answer.",
    }
    assert expected.get(name, "An answer.") in found["seen"]


@pytest.mark.parametrize(
    ("name", "kind", "classes"),
    [("gptfuzz", "roberta", 2), ("do-not-answer-action", "longformer", 6), ("beaver-dam", "llama", 14)],
)
def test_classifiers_read_their_classes(
    tmp_path: Path, in_engine: InEngine, name: str, kind: str, classes: int
) -> None:
    code = (
        TINY
        + """
from capsafe_core.errors import CapsafeError
name, kind, classes, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
tiny(folder, kind, classes=classes)
judge, verdicts = judged(name, folder)
tiny(folder + "-other", kind, classes=classes + 1)
try:
    judged(name, folder + "-other")
    refused = ""
except CapsafeError as error:
    refused = error.message
print(json.dumps({"verdict": verdicts[0], "refused": refused}))
"""
    )
    found = in_engine(code, name, kind, str(classes), str(tmp_path / kind))
    verdict = found["verdict"]
    chances = [float(part.split(": ")[1]) for part in verdict["raw"].split(", ")]
    assert len(chances) == classes
    expected = (
        max(chances) if name == "beaver-dam" else chances[{"gptfuzz": 1, "do-not-answer-action": 5}[name]]
    )
    assert verdict["score"] == pytest.approx(expected, abs=1e-3)
    assert verdict["label"] == ("unsafe" if verdict["score"] >= 0.5 else "safe")
    assert f"{classes + 1} classes" in found["refused"]


def test_a_judge_is_added_without_the_model_that_generated(
    engine_python: Path, tiny_model: str, tmp_path: Path
) -> None:
    """The generator's weights are gone; judging needs only what was said."""
    work, model = tmp_path / "jobs", tmp_path / "model"
    shutil.copytree(tiny_model, model)
    generated = finish(generate(work, "orphan", str(model), size=4), engine_python)
    shutil.rmtree(model)
    shutil.rmtree(tmp_path / "models")
    judging = {
        "judge": "prefix-autodan",
        "config": {},
        "model": None,
        "engine": ENGINE,
        "generations": [generated.job_id],
    }
    judged = finish(create_job(work, Manifest("judge", "later", judging)), engine_python)
    assert len([r for r in judged.records() if isinstance(r, Judgment) and r.dimension == "safety"]) == 4
    assert not (tmp_path / "models").exists()
