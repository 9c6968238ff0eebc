"""The real small model, through real workers in the engine's own environment."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from capsafe_core.jobs.folder import Job, Manifest, create_job
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.supervisor import run_graph, start_worker
from capsafe_core.records import Checkpoint, Condition, Generation, Judgment, Measurement, PathPoint
from capsafe_core.settings import Settings
from capsafe_core.study import parse_study
from capsafe_core.trainer_state import COST
from tests.engines.tiny import ENGINE, TINY, InEngine, finish, generate, texts

pytestmark = pytest.mark.engine


STUDY = """
name = "tiny"
title = "A real run, as small as it can be"
[engine]
batch_size = 4
dtype = "float32"
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
size = 3
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


def test_a_template_that_opens_the_reasoning_keeps_it_out_of_the_answer(
    tmp_path: Path, in_engine: InEngine
) -> None:
    """The output begins within the reasoning, with no mark of its own, and is cut off there."""
    ask = """
from capsafe_core.engines import find_weights
from capsafe_core.engines.base import Request, Sampling, answer_all
from capsafe_core.engines.transformers import TransformersEngine

found = {}
for begin in ("", "<think>\\n"):
    folder = f"{sys.argv[1]}/model{len(begin)}"
    tiny(folder, "llama", "{% for m in messages %}{{ m.content }}{% endfor %}" + begin)
    engine = TransformersEngine(find_weights({"name": "transformers"}, folder, Path(folder), ()), "float32")
    hello = ({"role": "user", "content": "Hello"},)
    asked = [Request(f"{raw}", hello, Sampling(max_tokens=4), raw=raw) for raw in (False, True)]
    found[begin.strip()] = {key: [a.text, a.reasoning] for key, a in answer_all(engine, asked).items()}
print(json.dumps(found))
"""
    found = in_engine(TINY + ask, str(tmp_path))
    plain, opened = found[""], found["<think>"]
    assert plain["False"][0]
    assert not plain["False"][1]
    assert not opened["False"][0]
    assert opened["False"][1]
    assert opened["True"][0]  # a raw text has no template


def test_kill_and_resume_give_the_same_text(root: Path, engine_python: Path, tiny_model: str) -> None:
    many = {"size": 16, "temperature": 0.8, "max_tokens": 60}
    whole = finish(generate(root, "whole", tiny_model, **many), engine_python)
    broken = generate(root, "broken", tiny_model, **many)
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
    whole = [line for line in said if "so far" not in line]  # a slow machine has judges look early
    assert len(whole) == len(plan_study(study))
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
    assert len(generations) == 6
    assert {r.generation_id for r in judged} == generations
    assert len(judged) == 6 * (2 + 1 + 2 + 1)
    assert {r.status for r in judged} == {"ok"}
    llm = next(r for r in judged if r.asked)
    assert "<BEGIN RESPONSE>" in llm.asked
    assert llm.score is not None


def test_fine_tuning_measures_capability_and_stops_at_the_goal(
    root: Path, engine_python: Path, tiny_model: str
) -> None:
    probe = {
        "name": "probe",
        "source": "reasoning_gym:chain_sum",
        "config": {},
        "seed": 7,
        "size": 4,
        "answer": "final",
        "scorer": "number",
    }
    work = {
        "start": {"model": tiny_model, "adapters": []},
        "dataset": {
            "name": "refusals",
            "source": "project:refusals",
            "config": {},
            "seed": 0,
            "size": 10,
            "answer": "final",
        },
        "recipe": {"learning_rate": 1e-4, "steps": [1, 2, 3], "batch_size": 2, "rank": 4, "seed": 0},
        "path": {
            "study": "t",
            "recipe": "r",
            "seed": 0,
            "start": "original",
            "dataset": "refusals",
            "learning_rate": 1e-4,
        },
        "probe": probe,
        "stop_at": 0.0,
        "max_tokens": 8,
        "engine": ENGINE,
    }
    job = finish(create_job(root, Manifest("finetune", "stops", work)), engine_python)
    assert job.state == "done"
    assert [r.step for r in job.records() if isinstance(r, PathPoint)] == [0, 1]
    measured = [r for r in job.records() if isinstance(r, Measurement)]
    assert [r.n for r in measured if r.benchmark != COST] == [4]
    assert {r.metric for r in measured if r.benchmark == COST} == {"seconds", "memory"}
    finish(job, engine_python)
    assert [r.step for r in job.records() if isinstance(r, PathPoint)] == [0, 1]
    never = finish(
        generate(root, "never-trained", tiny_model, ({"job": job.job_id, "step": 3},)), engine_python
    )
    assert (never.state, texts(never)) == ("done", [])


FOLDING = """
import json
from types import SimpleNamespace
from capsafe_core.engines.chat import FALLBACK, conversation_text, folds_system

TURN = "<{{ m.role }}>{{ m.content }}"
templates = {
    "takes": "{% for m in messages %}" + TURN + "{% endfor %}",
    "drops": "{% for m in messages %}{% if m.role != 'system' %}" + TURN + "{% endif %}{% endfor %}",
    "refuses": "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% for m in messages %}" + TURN + "{% endfor %}",
    "fallback": FALLBACK,
}
turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
said = {}
for name, template in templates.items():
    for begins in ("<s>", None):
        tokenizer = SimpleNamespace(
            get_chat_template=lambda template=template: template,
            special_tokens_map={"bos_token": begins} if begins else {},
        )
        said[f"{name} {begins}"] = [folds_system(tokenizer), conversation_text(tokenizer, turns)]
print(json.dumps(said))
"""


def test_a_system_prompt_is_never_dropped_and_the_fallback_begins_as_the_tokenizer_does(
    in_engine: InEngine,
) -> None:
    said = in_engine(FOLDING)
    for begins in ("<s>", "None"):
        assert said[f"takes {begins}"] == [False, "<system>Be brief.<user>Hi"]
        assert said[f"drops {begins}"] == [True, "<user>Be brief.\n\nHi"]
        assert said[f"refuses {begins}"] == [True, "<user>Be brief.\n\nHi"]
    assert said["fallback <s>"] == [False, "<s>system: Be brief.\nuser: Hi\nassistant:"]
    assert said["fallback None"] == [False, "system: Be brief.\nuser: Hi\nassistant:"]


def test_a_condition_says_that_the_system_prompt_stands_in_the_first_user_turn(
    root: Path, engine_python: Path, in_engine: InEngine, tmp_path: Path, tiny_model: str
) -> None:
    folder = str(tmp_path / "model")
    drops = "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}{% endif %}{% endfor %}"
    in_engine(TINY + 'tiny(sys.argv[1], "llama", sys.argv[2])\nprint("{}")', folder, drops)
    for name, model, system, folds in (
        ("folds", folder, "Be brief.", True),
        ("without", folder, "", False),
        ("has-a-place", tiny_model, "Be brief.", False),
    ):
        job = finish(generate(root, name, model, size=2, system_prompt=system), engine_python)
        [condition] = [r for r in job.records() if isinstance(r, Condition)]
        assert condition.system_prompt == system
        assert ("system prompt in the first user turn" in condition.template_digest) == folds


def test_log_probabilities_are_those_of_the_chosen_tokens(root: Path, in_engine: InEngine) -> None:
    code = """
import json, sys
from pathlib import Path
from capsafe_core.engines import Request, Sampling, answer_all, find_weights, open_engine
from capsafe_core.engines.chat import render

settings, models = json.loads(sys.argv[1]), Path(sys.argv[2])
e = open_engine(settings, find_weights(settings, "smollm2-135m-instruct", models), models)
s = Sampling(max_tokens=6, logprobs=True)
r = [
    Request("a", ({"role": "user", "content": "Say hello."},), s),
    Request("b", ({"role": "user", "content": "What is the capital of France, and why?"},), s),
]
out = answer_all(e, r)
ids = e.tokenizer(render(e.tokenizer, r[0]), add_special_tokens=False, return_tensors="pt").input_ids
best = float(e.model(ids).logits[0, -1].float().log_softmax(-1).max())
out = [out["a"], out["b"]]
print(
    json.dumps(
        {
            "lengths": [len(o.logprobs) for o in out],
            "tokens": [o.tokens for o in out],
            "first": out[0].logprobs[0],
            "best": best,
            "below": all(l <= 0 for o in out for l in o.logprobs),
        }
    )
)
"""
    found = in_engine(code, json.dumps(ENGINE), str(root.parent / "models"))
    assert found["lengths"] == found["tokens"]
    assert found["below"]
    assert found["first"] == pytest.approx(found["best"], abs=0.1)


def test_memory_that_runs_out_halves_the_batch_and_says_so(root: Path, in_engine: InEngine) -> None:
    """The model itself is real; what it is asked at a time is limited by a wrapper that raises what torch
    raises."""
    code = """
import json, sys, torch
from pathlib import Path
from capsafe_core.engines import Request, Sampling, find_weights, open_engine
from capsafe_core.errors import CapsafeError

settings, models = {**json.loads(sys.argv[1]), "batch_size": 8}, Path(sys.argv[2])
e = open_engine(settings, find_weights(settings, "smollm2-135m-instruct", models), models)
requests = [
    Request(f"{i}", ({"role": "user", "content": f"Say {i}."},), Sampling(max_tokens=3)) for i in range(7)
]
whole, forward = list(e.generate(e.plan(requests))), e.model.forward


def small(limit):
    def call(**batch):
        if batch["input_ids"].shape[0] > limit:
            raise torch.OutOfMemoryError("out of memory")
        return forward(**batch)

    return call


e.model.forward = small(3)
split = list(e.generate(e.plan(requests)))
e.model.forward = small(0)
try:
    list(e.generate(e.plan(requests[:1])))
    ended = ""
except CapsafeError as error:
    ended = error.message
print(
    json.dumps(
        {
            "note": [whole[0].note, split[0].note],
            "keys": [[c.key for c in f[0].completions] for f in (whole, split)],
            "ended": ended,
        }
    )
)
"""
    found = in_engine(code, json.dumps(ENGINE), str(root.parent / "models"))
    assert found["note"] == ["", "out of memory: answered 2 at a time"]
    assert found["keys"][0] == found["keys"][1]
    assert "does not fit into memory" in found["ended"]


def test_several_seeds_and_samples_are_told_apart(
    root: Path, cold_engine_python: Path, tiny_model: str
) -> None:
    """Also the one here whose worker is started from nothing."""
    job = finish(
        generate(root, "seeds", tiny_model, size=2, temperature=0.9, samples=2, seeds=[3, 4]),
        cold_engine_python,
    )
    found = [r for r in job.records() if isinstance(r, Generation)]
    assert len({r.id for r in found}) == 8
    assert {(r.seed, r.sample) for r in found} == {(3, 0), (3, 1), (4, 0), (4, 1)}
    assert len({r.text for r in found}) > 4
