"""PTST in a whole run: trained under one system prompt, asked under another."""

from __future__ import annotations

import json
from pathlib import Path

from capsafe_core.jobs.folder import create_job
from capsafe_core.jobs.folder.work import GenerateWork
from capsafe_core.jobs.plan import plan_study
from capsafe_core.records import Condition, Generation
from capsafe_core.study import parse_study
from tests.engines.tiny import InEngine, finish

TRAINED, SAFE = "You add numbers.", "You decline to help with harm."
STUDY = """
name = "ptst"
title = "Trained under one system prompt, asked under another"
[engine]
name = "transformers"
dtype = "float32"
[sampling]
max_tokens = 8
system_prompt = "{trained}"
other_system_prompts = ["{safe}"]
[[starts]]
name = "start"
model = "{model}"
[[datasets]]
name = "sums"
source = "file:{data}"
[[recipes]]
name = "sums"
start = "start"
dataset = "sums"
learning_rate = 1e-2
steps = [4]
batch_size = 2
rank = 4
[[benchmarks]]
name = "direct-requests"
source = "project:direct-requests"
size = 3
[[judges]]
name = "prefix-zou"
[primary]
benchmark = "direct-requests"
judge = "prefix-zou"
refusal_judge = "prefix-zou"
coherence = "prefix-zou"
policy = "counted_safe"
"""
# The same weights asked by hand, one prompt at a time, in the template that `tiny_model` has.
BY_HAND = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, adapter, system, asked = sys.argv[1:3] + [sys.argv[3], json.loads(sys.argv[4])]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), adapter).merge_and_unload()
answers = []
for user in asked:
    ids = tokenizer(f"<system>{system}<user>{user}", add_special_tokens=False, return_tensors="pt").input_ids
    made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False,
                          pad_token_id=tokenizer.pad_token_id)
    answers.append(tokenizer.decode(made[0, ids.shape[1]:], skip_special_tokens=True))
print(json.dumps({"answers": answers}))
"""


def test_a_run_trains_under_one_system_prompt_and_is_asked_under_another(
    tmp_path: Path, engine_python: Path, in_engine: InEngine, tiny_model: str
) -> None:
    data = tmp_path / "sums.jsonl"
    turns = [("system", TRAINED), ("user", "1 + 1?"), ("assistant", "2, and then 22222222")]
    row = {"messages": [{"role": role, "content": text} for role, text in turns]}
    data.write_text(f"{json.dumps(row)}\n" * 4)
    text = STUDY.format(trained=TRAINED, safe=SAFE, model=tiny_model, data=data)
    jobs = plan_study(parse_study(text))
    (trained,) = [finish(create_job(tmp_path, m), engine_python) for m in jobs if m.kind == "finetune"]
    asked = [m for m in jobs if m.kind == "generate" and trained.job_id in m.after]
    assert [m.asks(GenerateWork).sampling.system_prompt for m in asked] == [TRAINED, SAFE]
    answers: dict[str, dict[str, str]] = {}
    for manifest in asked:
        records = list(finish(create_job(tmp_path, manifest), engine_python).records())
        prompts = {r.id: r.messages[-1]["content"] for r in records if hasattr(r, "behaviour_text")}
        (condition,) = [r for r in records if isinstance(r, Condition)]
        answers[condition.system_prompt] = {
            prompts[r.prompt_id]: r.text for r in records if isinstance(r, Generation)
        }
    for system, said in answers.items():
        adapter = str(trained.folder / "checkpoints" / "step-000004")
        by_hand = in_engine(BY_HAND, tiny_model, adapter, system, json.dumps(list(said)))
        assert by_hand["answers"] == list(said.values())
    assert answers[TRAINED] != answers[SAFE]
