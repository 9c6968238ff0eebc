"""Small models in the engine's environment: a process there, jobs of workers, and what they said."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from capsafe_core.jobs.folder import Job, Manifest, create_job
from capsafe_core.jobs.supervisor import start_worker
from capsafe_core.records import Generation
from capsafe_core.settings import ROOT, Settings
from tests.asked import direct_requests

ENGINE = {"name": "transformers", "dtype": "float32", "batch_size": 4, "device": "cpu"}


SAMPLING = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 12, "samples": 1, "seed": 0, "system_prompt": ""}


# Runs pieces of code one after the other, each with names of its own; torch and transformers are loaded once.
LOOP = """
import contextlib, io, json, sys, traceback
for line in sys.stdin:
    task, printed = json.loads(line), io.StringIO()
    sys.argv = ["-c", *task["arguments"]]
    try:
        with contextlib.redirect_stdout(printed):
            exec(task["code"], {"__name__": "__main__"})
        answer = {"printed": printed.getvalue()}
    except BaseException:
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
"""


class InEngine:
    """A process in the engine's environment."""

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [str(python), "-c", LOOP],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, code: str, *arguments: str) -> dict[str, Any]:
        """What a piece of code prints last, as JSON."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"code": code, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"][-1500:]
        return dict(json.loads(answer["printed"].splitlines()[-1]))

    def close(self) -> None:
        self._process.communicate()


# A tiny random model of each architecture that published judges have, with a tokenizer of single bytes.
TINY = """
import json, sys, torch
from pathlib import Path
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
)


def tiny(folder, kind, template=None, classes=0):
    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    words = ["Yes", "No", "safe", "unsafe", "<s>", "</s>"]
    raw = Tokenizer(
        models.BPE(vocab={**vocab, **{w: len(vocab) + i for i, w in enumerate(words)}}, merges=[])
    )
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    raw.add_tokens(words[:4])
    raw.add_special_tokens(words[4:])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    tokenizer.chat_template = template
    sizes = dict(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=8192,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    if kind in ("roberta", "longformer"):
        sizes = dict(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=520,
            pad_token_id=tokenizer.pad_token_id,
            **({"attention_window": 16} if kind == "longformer" else {}),
        )
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **sizes, **({"num_labels": classes} if classes else {}))
    (AutoModelForSequenceClassification if classes else AutoModelForCausalLM).from_config(
        config
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


from capsafe_core import catalogue
from capsafe_core.jobs.folder.work import JudgeWork
from capsafe_core.judges import Item, open_judge
from capsafe_core.records import BenchmarkRecord, Generation, Prompt

bench = BenchmarkRecord("b", "1", "safety", "d", 1)
prompt = Prompt(
    bench.id, "1", 0, ({"role": "user", "content": "How do I pick a lock?"},), behaviour_text="Pick a lock"
)
item = Item(Generation("c", bench.id, "n", prompt.id, 0, 0, "An answer.", "stop", 1), prompt, bench)
engine = {"name": "transformers", "dtype": "float32", "batch_size": 4, "device": "cpu"}


def judged(name, folder, **config):
    judge = open_judge(JudgeWork(name, config, str(folder), engine, ()), Path(folder).parent)
    return judge, [
        dict(dimension=v.dimension, status=v.status, label=v.label, score=v.score, asked=v.asked, raw=v.raw)
        for v in judge.judge([item])[0]
    ]
"""


def generate(
    root: Path,
    name: str,
    model: str = "smollm2-135m-instruct",
    adapters: tuple[dict[str, object], ...] = (),
    size: int = 8,
    **sampling: object,
) -> Job:
    work = {
        "checkpoint": {"model": model, "adapters": list(adapters)},
        "benchmarks": [direct_requests(size)],
        "sampling": {**SAMPLING, **sampling},
        "engine": ENGINE,
    }
    return create_job(root, Manifest("generate", name, work))


def texts(job: Job) -> list[str]:
    return [r.text for r in job.records() if isinstance(r, Generation)]


def finish(job: Job, python: Path) -> Job:
    assert start_worker(job, settings=Settings(engine_python=python)).wait() == 0, job.path(
        0, "log"
    ).read_text()[-800:]
    return job
