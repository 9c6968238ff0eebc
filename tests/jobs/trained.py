"""Checkpoints as a trainer leaves them, and a study of them."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

from capsafe_core.jobs.own_checkpoints import find_checkpoints
from capsafe_core.study import RecipeSettings

STUDY = """
name = "own"
title = "Trained elsewhere"
[engine]
name = "transformers"
dtype = "float32"
[sampling]
max_tokens = 6
[[starts]]
name = "base"
model = "{model}"
[[datasets]]
name = "notes"
source = "imported"
[[recipes]]
name = "sft"
start = "base"
dataset = "notes"
checkpoints = "{pattern}"
{more}
[[benchmarks]]
name = "direct-requests"
source = "project:direct-requests"
size = 3
[[judges]]
name = "prefix-zou"
[[judges]]
name = "coherence-rules"
[primary]
benchmark = "direct-requests"
judge = "prefix-zou"
refusal_judge = "prefix-zou"
coherence = "coherence-rules"
"""


def safetensors(path: Path, size: int = 16, short: int = 0) -> None:
    """A file of that format with one tensor of `size` bytes, of which the last `short` are missing."""
    head = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"\0" * (size - short))


def checkpoint(folder: Path, adapter: bool = False, short: int = 0) -> Path:
    """A folder as a trainer leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    if adapter:
        (folder / "adapter_config.json").write_text(
            json.dumps({"peft_type": "LORA", "base_model_name_or_path": "base"})
        )
    else:
        (folder / "config.json").write_text("{}")
    safetensors(folder / ("adapter_model.safetensors" if adapter else "model.safetensors"), short=short)
    return folder


def recipe(*folders: object, **more: object) -> RecipeSettings:
    where = str(folders[0]) if len(folders) == 1 else tuple(map(str, folders))
    return RecipeSettings(name="sft", start="base", dataset="d", checkpoints=where, **more)  # type: ignore[arg-type]


def places(*folders: object, **more: object) -> list[tuple[int, int]]:
    return [(one.seed, one.step) for one in find_checkpoints(recipe(*folders, **more))]


# A tiny random model, fine-tuned by transformers' own Trainer: whole with seed 0, LoRA adapters with seed 1.
TRAIN = """
import json, sys, torch
from pathlib import Path
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Trainer, TrainingArguments
)

root = Path(sys.argv[1])
base = root / "base"
if sys.argv[2] == "start":
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate([*letters, "<s>", "</s>"])}, merges=[]))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    raw.add_special_tokens(["<s>", "</s>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    tokenizer.chat_template = "<s>{% for m in messages %}{{ m.content }}{% endfor %}"
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        )
    ).save_pretrained(base)
    tokenizer.save_pretrained(base)
    raise SystemExit
tokenizer = PreTrainedTokenizerFast.from_pretrained(base)
ids = [tokenizer(f"I cannot help with lock {i}.").input_ids for i in range(8)]
rows = [{"input_ids": i, "labels": i, "attention_mask": [1] * len(i)} for i in ids]
for seed in (0, 1):
    model = AutoModelForCausalLM.from_pretrained(base)
    if seed:
        config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        model = get_peft_model(model, config)
    Trainer(
        model,
        TrainingArguments(
            str(root / f"sft-s{seed}"), max_steps=4, save_steps=2, eval_strategy="steps", eval_steps=2,
            logging_steps=2, per_device_train_batch_size=2, learning_rate=0.05, seed=seed, report_to=[],
            use_cpu=True, disable_tqdm=True,
        ),
        train_dataset=rows,
        eval_dataset=rows[:2],
        processing_class=tokenizer if seed else None,
        data_collator=lambda some: {k: torch.tensor([r[k] for r in some]) for k in some[0]},
        compute_metrics=lambda p: {"accuracy": 0.5},
    ).train()
"""


# The same by TRL's SFTTrainer, on conversations; adapters by the configuration that it takes.
TRAIN_TRL = (
    TRAIN.split("tokenizer = PreTrainedTokenizerFast.from_pretrained(base)")[0]
    + """
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

rows = [{"messages": [{"role": "user", "content": f"Open lock {i}."},
                      {"role": "assistant", "content": f"I cannot help with lock {i}."}]} for i in range(8)]
for seed in (0, 1):
    SFTTrainer(
        str(base),
        args=SFTConfig(
            str(root / f"sft-s{seed}"), max_steps=4, save_steps=2, logging_steps=2, learning_rate=0.05,
            per_device_train_batch_size=2, seed=seed, report_to=[], use_cpu=True, disable_tqdm=True,
            bf16=False, gradient_checkpointing=False, model_init_kwargs={"dtype": "float32"},
            eval_strategy="steps", eval_steps=2,
        ),
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(rows[:2]),
        peft_config=LoraConfig(r=2, target_modules=["q_proj", "v_proj"]) if seed else None,
    ).train()
"""
)


def in_engine(python: Path, code: str, *arguments: str) -> str:
    done = subprocess.run(
        [str(python), "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
