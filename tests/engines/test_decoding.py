"""Rows that come and go against `generate` itself, on tiny models in 32 bits, which company hardly rounds."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.engine
HEAD = """
import json, random, sys
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from capsafe_core.engines.decoding import Decoder, shared_length, takes_rows

SIZES = dict(
    vocab_size=60, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=8, max_position_embeddings=256, n_embd=32, n_layer=2, n_head=4,
    bos_token_id=1, eos_token_id=2, pad_token_id=0,
)
STOPS = [2, 7, 11]

def model_of(kind, **more):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SIZES, **more})).eval()
    for name, weights in model.named_parameters():  # large enough for scores that differ
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=0.4)
    return model

def prompts_of(seed, count=23):
    draw = random.Random(seed)
    head = [draw.randrange(3, 60) for _ in range([0, 9, 1, 9][seed % 4])]
    prompts = [head + [draw.randrange(3, 60) for _ in range(draw.randrange(1, 14))] for _ in range(count)]
    return sorted(prompts, key=len)

@torch.inference_mode()
def alone(model, prompt, **more):
    output = model.generate(
        input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=20, eos_token_id=STOPS, pad_token_id=0, return_dict_in_generate=True,
        output_logits=True, **{"do_sample": False, **more},
    )
    tokens = output.sequences[0, len(prompt):].tolist()
    logs = [float(l[0].log_softmax(-1)[t]) for l, t in zip(output.logits, tokens)]
    return tokens, logs

@torch.inference_mode()
def together(model, prompts, slots, **more):
    decoder = Decoder(prompts, slots, STOPS, True)
    model.generate(
        input_ids=torch.tensor(prompts[:1]), attention_mask=torch.ones(1, len(prompts[0]), dtype=torch.long),
        max_new_tokens=20, eos_token_id=STOPS, pad_token_id=0,
        custom_generate=decoder, **{"do_sample": False, **more},
    )
    return decoder
"""
ALONE_OR_TOGETHER = """
found = []
for kind in ("llama", "gpt2", "qwen2", "gemma"):
    model = model_of(kind)
    assert takes_rows(model), kind
    model.generation_config.repetition_penalty = 1.3 if kind == "qwen2" else None
    for seed, slots in enumerate((1, 4, 7, 50)):
        prompts = prompts_of(seed)
        expected = [alone(model, prompt) for prompt in prompts]
        answers = together(model, prompts, slots).answers
        found.append({
            "kind": kind, "shared": shared_length(prompts),
            "same": [a.tokens for a in answers] == [tokens for tokens, _ in expected],
            "logs": max(abs(x - y) for a, (_, logs) in zip(answers, expected) for x, y in zip(a.logs, logs)),
            "lengths": sorted({len(a.tokens) for a in answers}),
        })
print(json.dumps(found))
"""
SAMPLED = """
model = model_of("llama")
prompts = prompts_of(3)
runs = []
for seed in (1, 1, 2):
    torch.manual_seed(seed)
    decoder = together(model, prompts, 5, do_sample=True, temperature=0.7, top_k=0)
    runs.append([a.tokens for a in decoder.answers])
first = []
with torch.inference_mode():
    scores = model(torch.tensor(prompts[:1])).logits[0, -1].softmax(-1)
    torch.manual_seed(5)
    for _ in range(20):
        drawn = together(model, [prompts[0]] * 100, 100, do_sample=True, temperature=1.0, top_k=0).answers
        first += [a.tokens[0] for a in drawn]
likely = int(scores.argmax())
print(json.dumps({
    "runs": runs, "share": first.count(likely) / len(first), "expected": float(scores[likely]),
    "drawn": len(first),
}))
"""
OTHERS = """
found = {
    kind: takes_rows(model_of(kind, **more))
    for kind, more in {
        "mistral": {"sliding_window": 8}, "mamba": {"state_size": 4},
        "gemma3_text": {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
    }.items()
}
model = model_of("llama")
model.generation_config.no_repeat_ngram_size = 2
decoder = together(model, prompts_of(1), 4)
answered = sum(len(a.tokens) for a in decoder.answers)
print(json.dumps({"takes": found, "refused": decoder.refused, "answered": answered}))
"""


@pytest.fixture(scope="module")
def found(engine_python: Path) -> Any:
    def run(code: str) -> Any:
        done = subprocess.run(
            [str(engine_python), "-c", HEAD + code], capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    return run


def test_an_answer_is_the_same_alone_and_in_any_company(found: Any) -> None:
    trials = found(ALONE_OR_TOGETHER)
    assert [t["kind"] for t in trials if not t["same"]] == []
    assert max(t["logs"] for t in trials) < 1e-3
    assert {t["shared"] for t in trials} >= {0, 9}, "with and without what all prompts begin with"
    assert max(len(t["lengths"]) for t in trials) > 5, "answers end at different times"
    assert max(t["lengths"][-1] for t in trials) == 20, "and some only at the maximum"


def test_sampled_answers_repeat_with_their_seed_and_follow_the_scores(found: Any) -> None:
    sampled = found(SAMPLED)
    first, again, other = sampled["runs"]
    assert first == again
    assert first != other
    error = (sampled["expected"] * (1 - sampled["expected"]) / sampled["drawn"]) ** 0.5
    assert abs(sampled["share"] - sampled["expected"]) < 4 * error


def test_models_and_settings_that_rows_would_change_are_left_to_generate(found: Any) -> None:
    others = found(OTHERS)
    assert others["takes"] == {"mistral": False, "mamba": False, "gemma3_text": False}
    assert others["refused"]
    assert others["answered"] == 0
