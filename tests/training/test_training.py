"""Fine-tuning: the forms of data, what of them is learnt, and that a kill changes no weight."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.benchmarks import load_training_pairs
from capsafe_core.benchmarks.conversations import read_conversations
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, Manifest, create_job
from capsafe_core.jobs.folder.work import FinetuneWork
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.supervisor import start_worker
from capsafe_core.places import ROOT
from capsafe_core.records import Generation, Measurement, PathPoint
from capsafe_core.settings import Settings
from capsafe_core.study import load_study, parse_study
from capsafe_core.trainer_state import COST
from capsafe_core.work.finetune import _reached
from tests.engines.tiny import ENGINE, TINY, InEngine, finish, generate

KILLS = int(os.environ.get("CAPSAFE_KILLS", "3"))
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=30).filter(
    lambda text: bool(text.strip())
)
FORMS: dict[str, Any] = {
    "pair": lambda q, a: {"prompt": q, "response": a},
    "completion": lambda q, a: {"prompt": q, "completion": a},
    "question": lambda q, a: {"question": q, "answer": a},
    "messages": lambda q, a: {
        "messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]
    },
    "sharegpt": lambda q, a: {"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]},
    "alpaca": lambda q, a: {"instruction": q, "input": "", "output": a},
    "dolly": lambda q, a: {"instruction": q, "context": "", "response": a, "category": "x"},
}


@given(st.sampled_from(sorted(FORMS)), st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5))
def test_every_form_of_data_is_the_same_conversations(
    tmp_path_factory: pytest.TempPathFactory, form: str, pairs: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("data") / "data.jsonl"
    path.write_text("".join(json.dumps(FORMS[form](q, a)) + "\n" for q, a in pairs), encoding="utf-8")
    found = read_conversations(path)
    assert [(c[0]["role"], c[-1]["role"]) for c in found] == [("user", "assistant")] * len(pairs)
    assert [(c[0]["content"], c[-1]["content"]) for c in found] == pairs
    settings = {"name": "d", "source": f"file:{path}", "config": {}, "seed": 0, "size": 9, "answer": "final"}
    assert [(p.prompt, p.target) for p in load_training_pairs(settings)] == pairs


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"prompt": "a", "response": "b"}, {"prompt": "c", "response": ""}], "1 of 2 rows"),
        ([{"prompt": "a", "response": None}], "1 of 1 rows"),
        ([{"messages": [{"role": "user", "content": "a"}]}], "1 of 1 rows"),
        ([{"messages": [{"role": "tool", "content": "a"}, {"role": "assistant", "content": "b"}]}], "1 of 1"),
        ([{"text": "a"}], "in no form that can be learnt from: it has text"),
        ([], "has no rows"),
    ],
)
def test_data_that_cannot_be_learnt_is_a_sentence(
    tmp_path: Path, rows: list[dict[str, Any]], words: str
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(CapsafeError) as error:
        read_conversations(path)
    assert words in error.value.message


LEARNT = """
from capsafe_core.training.learnt import IGNORED, examples
from capsafe_core.engines.transformers import load_tokenizer
from capsafe_core.engines.models import Weights
from datasets import Dataset

tiny(sys.argv[1] + "/model", "llama", "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}")
tokenizer = load_tokenizer(Weights("m", Path(sys.argv[1]) / "model", ""))
turns = lambda *texts: tuple(
    {"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(texts)
)
def told(found):
    learnt = [i if l == i else None for i, l in zip(found.ids, found.labels)]
    marked = "".join("_" if i is None else tokenizer.decode([i]) for i in learnt)
    return [tokenizer.decode(found.ids), marked, found.was_cut]
one, two = turns("Hi", "Abc"), turns("Hi", "Abc", "So", "Def")
out = {"one": told(examples(tokenizer, [one], 0)[0]), "two": told(examples(tokenizer, [two], 0)[0])}
out["cut"] = told(examples(tokenizer, [one], len(examples(tokenizer, [one], 0)[0].ids) - 2)[0])
for name, kept, data in (("none", 3, [one, two]), ("rewrites", 0, [two])):
    if name == "rewrites":
        tokenizer.chat_template = "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}"
    try:
        examples(tokenizer, data, kept)
    except Exception as error:
        out[name] = error.message
Dataset.from_list([{"prompt": "Hi", "response": "Abc"}]).save_to_disk(sys.argv[1] + "/saved")
from capsafe_core.benchmarks.conversations import read_conversations
out["saved"] = [t["content"] for t in read_conversations(Path(sys.argv[1]) / "saved")[0]]
print(json.dumps(out))
"""


def test_what_the_assistant_says_is_learnt_and_nothing_else(in_engine: InEngine, tmp_path: Path) -> None:
    found = in_engine(TINY + LEARNT, str(tmp_path))
    asked = "<user>Hi</s><assistant>"
    assert found["one"][0] == asked + "Abc</s>"
    assert found["one"][1].replace("_", "") == "Abc</s>"
    assert found["one"][2] is False
    whole, marked, _ = found["two"]
    assert whole == asked + "Abc</s><user>So</s><assistant>Def</s>"
    assert marked.replace("_", "") == "Abc</s>Def</s>"
    assert found["cut"][1].replace("_", "") == "Ab"
    assert found["cut"][2] is True
    assert found["none"] == "Of 2 of 2 conversations no answer is left within 3 tokens."
    assert "writes earlier turns otherwise" in found["rewrites"]
    assert found["saved"] == ["Hi", "Abc"]


def training(root: Path, name: str, model: str, steps: list[int], **more: Any) -> Job:
    """A fine-tuning job on the project's refusals."""
    data = {"name": "refusals", "source": "project:refusals", "config": {}, "seed": 0, "size": 10}
    work = {
        "start": {"model": model, "adapters": []},
        "dataset": {**data, "answer": "final"},
        "recipe": {"learning_rate": 1e-2, "steps": steps, "batch_size": 2, "rank": 4, "seed": 0, **more},
        "path": {
            "study": "t",
            "recipe": "r",
            "seed": 0,
            "start": "original",
            "dataset": "refusals",
            "learning_rate": 1e-2,
        },
        "probe": None,
        "stop_at": None,
        "max_tokens": 8,
        "engine": ENGINE,
    }
    return create_job(root, Manifest("finetune", name, work))


def weights_of(job: Job) -> dict[str, str]:
    """Step -> hash of its weights."""
    return {
        path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (job.folder / "checkpoints").glob("step-*/*.safetensors")
    }


def costs(job: Job, metric: str) -> list[float]:
    """What a job recorded of each checkpoint it made, in order."""
    told = [r for r in job.records() if isinstance(r, Measurement) and r.benchmark == COST]
    return [r.value for r in told if r.metric == metric]


def test_a_long_training_is_not_taken_for_a_capable_one(tmp_path: Path) -> None:
    work = training(tmp_path, "goal", "m", [1]).manifest.asks(FinetuneWork)
    work = msgspec.structs.replace(work, stop_at=0.6)
    took = [Measurement("c", COST, "seconds", 60.0, None, None, "job")]
    right = [Measurement("c", "sums", "accuracy", value, None, None, "probe") for value in (0.5, 0.6)]
    assert not _reached(work, [*took, right[0]])
    assert _reached(work, [*took, right[1]])


def test_a_run_that_was_killed_comes_to_the_same_weights(
    tmp_path: Path, engine_python: Path, tiny_model: str
) -> None:
    steps = [60 * (i + 1) for i in range(KILLS + 2)]
    whole = finish(training(tmp_path / "a", "run", tiny_model, steps), engine_python)
    settings = Settings(engine_python=engine_python)
    broken = training(tmp_path / "b", "run", tiny_model, steps)
    chance, killed, states = random.Random(5), 0, set[str]()
    for kill in range(KILLS):
        worker = start_worker(broken, settings=settings)
        while (
            len(weights_of(broken)) <= kill and worker.poll() is None
        ):  # it has got further than the last time
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.1))
        if worker.poll() is None:
            os.kill(worker.pid, signal.SIGKILL)
            killed += 1
        worker.wait()
        states |= {path.name for path in (broken.folder / "training").glob("checkpoint-*")}
        folders = (broken.folder / "checkpoints").glob("step-*")
        assert not [path for path in folders if not list(path.glob("*.safetensors"))]
    assert killed
    assert states, "it was always killed before it had something to go on from"
    finish(broken, engine_python)
    assert weights_of(broken) == weights_of(whole)
    assert sorted(weights_of(whole)) == [f"step-{step:06d}" for step in steps]
    assert [r.step for r in broken.records() if isinstance(r, PathPoint)] == [0, *steps]
    took = costs(broken, "seconds")
    assert len(took) == len(steps)
    assert took == sorted(took)  # of all runs, not of the last
    assert min(took + costs(broken, "memory")) > 0


@pytest.mark.parametrize("method", ["dora", "rslora", "full"])
def test_other_ways_of_training_answer_too(
    tmp_path: Path, engine_python: Path, tiny_model: str, method: str
) -> None:
    more = {"method": method, "schedule": "cosine", "accumulate": 2, "max_length": 150}
    more |= {"packing": True} if method == "rslora" else {"gradient_checkpointing": True}
    job = finish(training(tmp_path, method, tiny_model, [2], **more), engine_python)
    folder = job.folder / "checkpoints" / "step-000002"
    assert (folder / "adapter_config.json").exists() == (method != "full")
    adapters: tuple[dict[str, object], ...] = ({"job": job.job_id, "step": 2},)
    made = finish(generate(tmp_path, "answers", tiny_model, adapters, 2, max_tokens=4), engine_python)
    plain = finish(generate(tmp_path, "plain", tiny_model, (), 2, max_tokens=4), engine_python)
    said = [[r for r in one.records() if isinstance(r, Generation)] for one in (made, plain)]
    assert [len(some) for some in said] == [2, 2]
    assert {r.checkpoint_id for r in said[0]}.isdisjoint({r.checkpoint_id for r in said[1]})
    assert "longer than 150 tokens" in job.status().message


# Mitigations in plain matrices, as their papers write them: P is made, and multiplied with the whole update.
PLAIN = """
import torch
from capsafe_core.training.mitigations import METHODS, Given, Pair

torch.manual_seed(0)
shapes = {f"layers.{i}.{m}": (7 + i, 5) for i in range(3) for m in ("q", "v")}
make = lambda rank, scaling: {
    name: Pair(torch.randn(rank, i), torch.randn(o, rank), scaling) for name, (o, i) in shapes.items()
}
tuned, alignment = make(2, 2.0), make(3, 0.5)
given, off = Given(tuned, alignment), []
for strength in (0.0, 0.34, 0.5, 0.99):
    found = {name: METHODS[name](given, strength) for name in METHODS}
    turned = {}
    for name in shapes:
        update, v = tuned[name].update, alignment[name].update
        published = v @ v.T / torch.linalg.norm(v)
        projector = v @ torch.linalg.pinv(v)
        off.append((found["scale"][name].update - (1 - strength) * update).abs().max())
        off.append((found["resta"][name].update - (update + strength * v)).abs().max())
        for method, p in (("safelora", published), ("safelora-projector", projector)):
            c = p @ update
            cos = float((c * update).sum() / c.norm() / update.norm())
            turned.setdefault(method, []).append((cos, name, c, update))
    for method, rows in turned.items():
        chosen = {name for _, name, *_ in sorted(rows, key=lambda r: r[0])[: round(strength * len(rows))]}
        for _, name, c, update in rows:
            off.append((found[method][name].update - (c if name in chosen else update)).abs().max())
problems = []
for given in (Given(tuned, None), Given(tuned, dict(list(alignment.items())[1:]))):
    try:
        METHODS["safelora"](given, 0.5)
    except Exception as error:
        problems.append(error.message)
print(json.dumps({"off": float(max(off)), "problems": problems}))
"""


def test_mitigations_are_their_papers_matrices(in_engine: InEngine) -> None:
    found = in_engine("import json\n" + PLAIN)
    assert found["off"] < 1e-4
    assert "the start has no adapter" in found["problems"][0]
    assert "alignment did not change layers.0.q" in found["problems"][1]


UPDATES = """
import json, sys
from pathlib import Path
from capsafe_core.work.mitigate import _adapter

trained, made = (_adapter(Path(folder)) for folder in sys.argv[1:3])
print(json.dumps({"off": max(float((made[n].update - 0.75 * trained[n].update).abs().max()) for n in trained),
                  "same": sorted(made) == sorted(trained)}))
"""


def test_a_mitigated_recipe_is_a_path_over_its_strength(
    tmp_path: Path, engine_python: Path, in_engine: InEngine, tiny_model: str
) -> None:
    """Aligned, then fine-tuned, then mitigated; every strength answers."""
    align = finish(training(tmp_path, "align", tiny_model, [2]), engine_python)
    over = {"model": tiny_model, "adapters": [{"job": align.job_id, "step": 2}]}
    made = training(tmp_path, "tune", tiny_model, [2, 3])
    manifest = made.manifest
    work = {**manifest.work, "start": over}
    tune = finish(create_job(tmp_path, replace(manifest, name="over", work=work)), engine_python)
    for method in ("scale", "safelora", "safelora-projector", "resta", "ties", "dare"):
        work = {
            "of": tune.job_id,
            "start": over,
            "method": method,
            "strengths": [0.25, 0.5],
            "path": {**manifest.work["path"], "recipe": method, "learning_rate": None},
            "engine": ENGINE,
        }
        job = finish(create_job(tmp_path, Manifest("mitigate", method, work)), engine_python)
        assert [r.step for r in job.records() if isinstance(r, PathPoint)] == [0, 1000, 750, 500]
        assert len({r.checkpoint_id for r in job.records() if isinstance(r, PathPoint)}) == 4
        assert len(costs(job, "seconds")) == len(costs(job, "memory")) == 2
        if method == "scale":
            folders = (tune.folder / "checkpoints/step-000003", job.folder / "checkpoints/step-000750")
            told = in_engine(UPDATES, *map(str, folders))
            assert told["same"]
            assert told["off"] < 1e-6
    adapters: tuple[dict[str, object], ...] = (*over["adapters"], {"job": job.job_id, "step": 750})  # type: ignore[misc]
    answered = finish(generate(tmp_path, "mitigated", tiny_model, adapters, 2, max_tokens=4), engine_python)
    assert len([r for r in answered.records() if isinstance(r, Generation)]) == 2


MITIGATED = """
[[recipes]]
name = "half"
of = "{of}"
start = "{start}"
dataset = "{dataset}"
{more}
"""


@pytest.mark.parametrize(
    ("of", "start", "more", "words"),
    [
        ("sums", "aligned", 'mitigation = "scale"\nstrengths = [0.5]', ""),
        ("nobody", "aligned", 'mitigation = "scale"\nstrengths = [0.5]', "'nobody' is not among the recipes"),
        ("sums", "original", 'mitigation = "scale"\nstrengths = [0.5]', "has the start and the data set of"),
        ("sums", "aligned", "strengths = [0.5]", "names a mitigation and strengths"),
        ("sums", "aligned", 'mitigation = "scale"\nstrengths = [1.5]', "between 0 and 1"),
        ("sums", "aligned", 'mitigation = "scale"\nstrengths = [0.5, 0.5]', "between 0 and 1"),
    ],
)
def test_a_recipe_that_mitigates_another_is_planned_or_refused(
    of: str, start: str, more: str, words: str
) -> None:
    text = (ROOT / "data" / "demo" / "study.toml").read_text(encoding="utf-8")
    text += MITIGATED.format(of=of, start=start, dataset="sums", more=more)
    if words:
        with pytest.raises(CapsafeError) as error:
            parse_study(text)
        assert words in error.value.message
        return
    before = {m.job_id for m in plan_study(load_study(ROOT / "data" / "demo" / "study.toml")[0])}
    jobs = plan_study(parse_study(text))
    new = [m for m in jobs if m.job_id not in before]
    assert [m.kind for m in new if m.kind != "judge"] == ["mitigate", "mitigate", "generate", "generate"]
    mitigated = {m.job_id for m in jobs if m.kind == "mitigate"}
    assert all(set(m.after) <= mitigated for m in new if m.kind == "generate")
