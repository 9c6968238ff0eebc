"""What the job around an engine costs: tokens per second of a generate job against the bare engine on the
same prompts.

    python -m tests.bench.engines transformers MODEL ADAPTER     (in the engine's environment)
    python -m tests.bench.engines vllm MODEL ADAPTER             (in vLLM's)
    ... MODEL ADAPTER cuda                                       (on a GPU)

Both run in one process, in turn, on one loaded model; greedy, so that both write the same tokens. Prints one
line of JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from capsafe_core.benchmarks import load_benchmark
from capsafe_core.engines import Weights, find_weights, open_engine
from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.jobs.folder.work import GenerateWork
from capsafe_core.work import generate

PROMPTS, TOKENS, TURNS = 64, 64, 3
SETTINGS: dict[str, dict[str, Any]] = {
    "transformers": {"name": "transformers", "dtype": "bfloat16", "batch_size": 32, "device": "cpu"},
    "vllm": {
        "name": "vllm",
        "dtype": "bfloat16",
        "tensor_parallel": 1,
        "max_model_len": 512,
        "gpu_memory": 0.9,
        "enforce_eager": True,
    },
}


def main(name: str, model: str, adapter: str, device: str = "cpu") -> None:
    settings, root = dict(SETTINGS[name]), Path(tempfile.mkdtemp())
    if "device" in settings:
        settings["device"] = device
    base = find_weights(settings, model, root)
    adapted = find_weights(settings, model, root, (Path(adapter),))
    print(
        json.dumps(
            {
                "engine": name,
                "plain": measured(settings, root, base),
                "with an adapter": measured(settings, root, adapted),
            }
        )
    )


def measured(settings: dict[str, Any], root: Path, weights: Weights) -> dict[str, float]:
    """Tokens per second of the bare engine and of the job, and their ratio: medians of turns."""
    switching = settings["name"] == "vllm"
    (group,) = generate.group_checkpoints([weights], switching)
    engine = open_engine(settings, group.weights, root, group.adapters)
    bench = {
        "name": "direct-requests",
        "source": "project:direct-requests",
        "config": {},
        "seed": 0,
        "size": PROMPTS,
        "answer": "final",
        "scorer": "exact",
    }
    sampling = {
        "temperature": 0.0,
        "top_p": 1.0,
        "max_tokens": TOKENS,
        "samples": 1,
        "seed": 0,
        "system_prompt": "",
    }
    checkpoint = {"model": weights.name, "adapters": []}
    prompts = [p.text for p in load_benchmark(bench).prompts]
    bare = {"transformers": bare_transformers, "vllm": bare_vllm}[settings["name"]]

    def job(turn: int) -> int:
        work = {
            "checkpoints" if switching else "checkpoint": [checkpoint] if switching else checkpoint,
            "benchmarks": [bench],
            "sampling": sampling,
            "engine": settings,
        }
        manifest = Manifest("generate", f"bench-{turn}-{time.time()}", work)
        asked = manifest.asks(GenerateWork)
        with Part(create_job(root / "jobs", manifest)) as part:
            benchmarks = [load_benchmark(bench)]
            streams = list(generate.plan_streams(asked, weights, benchmarks))
            generate.answer_group(part, asked, engine, group, [weights], benchmarks, streams)
            return part.tokens

    paces: dict[str, list[float]] = {"bare": [], "job": []}
    for turn in range(TURNS + 1):
        for kind, run in (("bare", lambda turn: bare(engine, prompts, group.adapters)), ("job", job)):
            pace = timed(run, turn)
            if turn:  # the first is to warm up
                paces[kind].append(pace)
    found = {kind: statistics.median(values) for kind, values in paces.items()}
    return {**found, "ratio": found["job"] / found["bare"]}


def timed(run: Callable[[int], int], turn: int) -> float:
    began = time.perf_counter()
    return run(turn) / (time.perf_counter() - began)


def bare_transformers(engine: Any, prompts: list[str], adapters: list[Path]) -> int:
    """What one would write by hand: prompts sorted by length, padded, generated in batches, decoded."""
    import torch

    tokenizer, model = engine.tokenizer, engine.model
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": p}], tokenize=False, add_generation_prompt=True
        )
        for p in prompts
    ]
    texts.sort(key=len)
    written = 0
    for i in range(0, len(texts), engine.batch_size):
        batch = tokenizer(
            texts[i : i + engine.batch_size], return_tensors="pt", padding=True, add_special_tokens=False
        )
        with torch.inference_mode():
            output = model.generate(
                **batch, do_sample=False, max_new_tokens=TOKENS, pad_token_id=tokenizer.pad_token_id
            )
        answers = output[:, batch.input_ids.shape[1] :]
        tokenizer.batch_decode(answers, skip_special_tokens=True)
        written += int(((answers != tokenizer.pad_token_id) & (answers != tokenizer.eos_token_id)).sum())
    return written


def bare_vllm(engine: Any, prompts: list[str], adapters: list[Path]) -> int:
    from vllm import SamplingParams

    lora = engine._adapters[adapters[0]] if adapters else None
    outputs = engine._llm.chat(
        [[{"role": "user", "content": p}] for p in prompts],
        SamplingParams(temperature=0.0, max_tokens=TOKENS),
        lora_request=lora,
        use_tqdm=False,
    )
    return sum(len(o.outputs[0].token_ids) for o in outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
