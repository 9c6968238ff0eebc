"""The real small model, through real workers in the engine's own environment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from capsafe_core.jobs.engine_environment import State, read_state
from capsafe_core.jobs.folder import Job, Manifest, create_job
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.supervisor import run_graph, start_worker
from capsafe_core.records import Checkpoint, Condition, Generation, Judgment, Measurement, PathPoint
from capsafe_core.settings import ROOT, Settings
from capsafe_core.study import parse_study

pytestmark = pytest.mark.engine
ENGINE = {"name": "transformers", "dtype": "bfloat16", "batch_size": 4, "device": "cpu"}
SAMPLING = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 12, "samples": 1, "seed": 0, "system_prompt": ""}
STUDY = """
name = "tiny"
title = "A real run, as small as it can be"
[engine]
batch_size = 4
[sampling]
max_tokens = 12
[[starts]]
name = "original"
model = "smollm2-135m-instruct"
[[datasets]]
name = "sums"
source = "reasoning_gym:chain_sum"
size = 40
answer = "worked"
config = { min_terms = 2, max_terms = 2, min_digits = 1, max_digits = 1 }
[[recipes]]
name = "sums"
start = "original"
dataset = "sums"
learning_rate = 1e-3
steps = [2]
batch_size = 2
rank = 4
[[benchmarks]]
name = "direct-requests"
source = "project:direct-requests"
size = 6
[[judges]]
name = "prefix-zou"
[[judges]]
name = "coherence-rules"
[[judges]]
name = "learnt-refusal"
[[judges]]
name = "jailbreakbench"
model = "original"
config = { answer = "constrained" }
[primary]
benchmark = "direct-requests"
judge = "learnt-refusal"
refusal_judge = "learnt-refusal"
coherence = "coherence-rules"
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A jobs folder of a workspace of its own."""
    return tmp_path_factory.mktemp("engine") / "jobs"


def generate(root: Path, name: str, model: str = "smollm2-135m-instruct", adapters: tuple[dict[str, object], ...] = (), size: int = 8, **sampling: object) -> Job:
    bench = {"name": "direct-requests", "source": "project:direct-requests", "config": {}, "seed": 0, "size": size, "answer": "final", "scorer": "exact"}
    work = {"checkpoint": {"model": model, "adapters": list(adapters)}, "benchmarks": [bench], "sampling": {**SAMPLING, **sampling}, "engine": ENGINE}
    return create_job(root, Manifest("generate", name, work))


def texts(job: Job) -> list[str]:
    return [r.text for r in job.records() if isinstance(r, Generation)]


def finish(job: Job, python: Path) -> Job:
    assert start_worker(job, settings=Settings(engine_python=python)).wait() == 0, job.path(0, "log").read_text()[-800:]
    return job


def test_kill_and_resume_give_the_same_text(root: Path, engine_python: Path) -> None:
    whole = finish(generate(root, "whole", size=16, temperature=0.8), engine_python)
    broken = generate(root, "broken", size=16, temperature=0.8)
    chance, settings = random.Random(1), Settings(engine_python=engine_python)
    for _ in range(2):
        worker = start_worker(broken, settings=settings)
        deadline = time.time() + 60
        while broken.status().done < 17 + 4 and time.time() < deadline and worker.poll() is None:
            time.sleep(chance.uniform(0.02, 0.2))
        if worker.poll() is None:
            os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    finish(broken, engine_python)
    assert texts(broken) == texts(whole)
    assert len(texts(whole)) == 16
    status = whole.status()
    assert status.state == "done"
    assert status.done == status.total
    assert status.tokens_per_second is not None


def test_a_whole_study_runs_headless_and_again_does_nothing(root: Path, engine_python: Path) -> None:
    study = parse_study(STUDY)
    said: list[str] = []
    settings = Settings(engine_python=engine_python)
    assert run_graph(plan_study(study), root, said.append, settings), said
    assert len(said) == len(plan_study(study))
    again: list[str] = []
    assert run_graph(plan_study(study), root, again.append, settings)
    assert again == []
    records = [r for m in plan_study(study) for r in Job(root / m.job_id, m).records()]
    assert {r.step for r in records if isinstance(r, PathPoint)} == {0, 2}
    checkpoints = {r.id: r for r in records if isinstance(r, Checkpoint)}
    assert sorted(len(c.adapters) for c in checkpoints.values()) == [0, 1]
    condition = next(r for r in records if isinstance(r, Condition))
    assert (condition.engine, condition.max_tokens) == ("transformers", 12)
    generations = {r.id for r in records if isinstance(r, Generation)}
    judged = [r for r in records if isinstance(r, Judgment)]
    assert len(generations) == 12
    assert {r.generation_id for r in judged} == generations
    assert len(judged) == 12 * (2 + 1 + 2 + 1)
    assert {r.status for r in judged} == {"ok"}
    llm = next(r for r in judged if r.asked)
    assert "<BEGIN RESPONSE>" in llm.asked
    assert llm.score is not None


def test_fine_tuning_measures_capability_and_stops_at_the_goal(root: Path, engine_python: Path) -> None:
    probe = {"name": "probe", "source": "reasoning_gym:chain_sum", "config": {}, "seed": 7, "size": 4, "answer": "final", "scorer": "number"}
    work = {
        "start": {"model": "smollm2-135m-instruct", "adapters": []},
        "dataset": {"name": "refusals", "source": "project:refusals", "config": {}, "seed": 0, "size": 10, "answer": "final"},
        "recipe": {"learning_rate": 1e-4, "steps": [1, 2, 3], "batch_size": 2, "rank": 4, "seed": 0},
        "path": {"study": "t", "recipe": "r", "seed": 0, "start": "original", "dataset": "refusals", "learning_rate": 1e-4},
        "probe": probe,
        "stop_at": 0.0,
        "max_tokens": 8,
        "engine": ENGINE,
    }
    job = finish(create_job(root, Manifest("finetune", "stops", work)), engine_python)
    assert job.state == "done"
    assert [r.step for r in job.records() if isinstance(r, PathPoint)] == [0, 1]
    assert [r.n for r in job.records() if isinstance(r, Measurement)] == [4]
    finish(job, engine_python)
    assert [r.step for r in job.records() if isinstance(r, PathPoint)] == [0, 1]
    never = finish(generate(root, "never-trained", adapters=({"job": job.job_id, "step": 3},)), engine_python)
    assert (never.state, texts(never)) == ("done", [])


@pytest.mark.parametrize(
    ("name", "model", "adapters", "says"),
    [
        ("no-folder", "/nowhere/model", (), "no model '/nowhere/model'"),
        ("empty-folder", "{empty}", (), "no .safetensors file"),
        ("no-adapter", "smollm2-135m-instruct", ({"path": "/nowhere"},), "no adapter in /nowhere"),
        ("wrong-adapter", "smollm2-135m-instruct", ({"path": "{wrong}"},), "does not fit the model"),
    ],
)
def test_models_and_adapters_that_do_not_fit_end_the_job_with_a_sentence(
    root: Path, engine_python: Path, tmp_path: Path, name: str, model: str, adapters: tuple[dict[str, object], ...], says: str
) -> None:
    empty, wrong = tmp_path / "empty", tmp_path / "wrong"
    empty.mkdir()
    if name == "wrong-adapter":
        _write_wrong_adapter(engine_python, wrong)
    fill = {"{empty}": str(empty), "{wrong}": str(wrong)}
    job = generate(root, name, fill.get(model, model), tuple({k: fill.get(str(v), v) for k, v in a.items()} for a in adapters))
    assert start_worker(job, settings=Settings(engine_python=engine_python)).wait() == 1
    assert job.state == "failed"
    assert says in job.status().message
    assert job.status().hint


def _write_wrong_adapter(python: Path, folder: Path) -> None:
    """An adapter for another, even smaller model."""
    code = """
import sys
from transformers import LlamaConfig, LlamaForCausalLM
from peft import LoraConfig, get_peft_model
m = LlamaForCausalLM(LlamaConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, vocab_size=128))
get_peft_model(m, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")).save_pretrained(sys.argv[1])
"""
    subprocess.run([str(python), "-c", code, str(folder)], check=True, capture_output=True)


def test_log_probabilities_are_those_of_the_chosen_tokens(root: Path, engine_python: Path) -> None:
    code = """
import json, sys
from pathlib import Path
from capsafe_core.engines import Request, Sampling, open_engine, resolve_weights
import torch
e = open_engine(json.loads(sys.argv[1]), resolve_weights("smollm2-135m-instruct", Path(sys.argv[2])))
r = [Request("a", ({"role": "user", "content": "Say hello."},)), Request("b", ({"role": "user", "content": "What is the capital of France, and why?"},))]
out = e.generate(r, Sampling(max_tokens=6, logprobs=True))
ids = e.tokenizer(e.render(r[0]), add_special_tokens=False, return_tensors="pt").input_ids
best = float(e.model(ids).logits[0, -1].float().log_softmax(-1).max())
print(json.dumps({"lengths": [len(o.logprobs) for o in out], "tokens": [o.tokens for o in out], "first": out[0].logprobs[0], "best": best, "below": all(l <= 0 for o in out for l in o.logprobs)}))
"""
    done = subprocess.run(
        [str(engine_python), "-c", code, json.dumps(ENGINE), str(root.parent / "models")], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-800:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["lengths"] == found["tokens"]
    assert found["below"]
    assert found["first"] == pytest.approx(found["best"], abs=0.1)


def test_what_a_worker_needs_is_listed(engine_python: Path) -> None:
    """A worker loads none of the reading tower, whatever its environment holds."""
    code = "import sys, capsafe_core.jobs.worker, capsafe_core.jobs.generate, capsafe_core.jobs.judge, capsafe_core.jobs.finetune; print([m for m in ('duckdb', 'pandas', 'streamlit', 'pyarrow', 'pydantic') if m in sys.modules])"
    done = subprocess.run([str(engine_python), "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_environments_state_is_told_in_words() -> None:
    assert "make engine" in State().words
    assert "could not be prepared" in State("failed", "x", message="no space.").words
    assert "MB so far" in State("preparing", "installing").words
    assert read_state().state in ("absent", "preparing", "ready", "failed")
