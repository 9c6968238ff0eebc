"""LoRA fine-tuning: answer-only loss, checkpoints on a schedule."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from capsafe_core.benchmarks.reasoning import Pair
from capsafe_core.engines.chat import conversation_text
from capsafe_core.engines.models import Weights
from capsafe_core.engines.transformers import load_model, load_tokenizer
from capsafe_core.errors import CapsafeError

WARM_UP = 5
"""steps over which the learning rate rises to its value"""


@dataclass(frozen=True)
class Recipe:
    """Settings of one fine-tuning run."""

    learning_rate: float
    steps: tuple[int, ...]
    seed: int
    batch_size: int
    rank: int


def finetune(
    weights: Weights,
    pairs: Sequence[Pair],
    recipe: Recipe,
    folder: Path,
    dtype: str,
    device: str,
    on_step: Callable[[int, int], None],
) -> Iterator[tuple[int, Path]]:
    """Train and yield (step, adapter folder) at each step of the schedule.

    The run is the same each time for the same weights, pairs, recipe and machine. Closing the iterator ends
    it.

    Args:
        weights: the start, adapters included.
        pairs: what to learn.
        folder: adapters are saved in folder/step-000025 and so on.
        on_step: called with (step, tokens of its batch).

    Raises:
        CapsafeError: the loss is no longer a number.
    """
    torch.manual_seed(recipe.seed)
    tokenizer = load_tokenizer(weights)
    config = LoraConfig(
        r=recipe.rank, lora_alpha=2 * recipe.rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    model: Any = get_peft_model(load_model(weights, dtype).to(device), config)
    optimizer = torch.optim.AdamW(
        (p for p in model.parameters() if p.requires_grad), lr=recipe.learning_rate, weight_decay=0.0
    )
    order = _batches(len(pairs), recipe)
    for step in range(1, recipe.steps[-1] + 1):
        batch = _tensors(tokenizer, [pairs[i] for i in next(order)], device)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * min(1.0, step / WARM_UP)
        model.train()
        loss = model(**batch).loss
        if not torch.isfinite(loss):
            raise CapsafeError(
                f"The loss is no longer a number at step {step}.",
                "Lower the learning rate; the checkpoints so far are kept.",
            )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        on_step(step, int(batch["attention_mask"].sum()))
        if step in recipe.steps:
            path = folder / f"step-{step:06d}"
            model.save_pretrained(path)
            yield step, path


def _batches(size: int, recipe: Recipe) -> Iterator[list[int]]:
    """Indices of each batch; every pair is seen once before any is seen again."""
    chance = random.Random(recipe.seed)
    waiting: list[int] = []
    while True:
        while len(waiting) < recipe.batch_size:
            waiting = chance.sample(range(size), size) + waiting
        yield [waiting.pop() for _ in range(recipe.batch_size)]


def _tensors(tokenizer: Any, pairs: Sequence[Pair], device: str) -> dict[str, torch.Tensor]:
    """input_ids, attention_mask and labels, shape (batch, longest); only the answer's tokens carry loss."""
    rows = []
    for pair in pairs:
        asked = conversation_text(tokenizer, [{"role": "user", "content": pair.prompt}])
        prompt = tokenizer(asked, add_special_tokens=False).input_ids
        answer = tokenizer(pair.target + tokenizer.eos_token, add_special_tokens=False).input_ids
        rows.append((prompt, answer))
    longest = max(len(p) + len(a) for p, a in rows)
    pad = [longest - len(p) - len(a) for p, a in rows]
    ids = [p + a + [tokenizer.pad_token_id] * n for (p, a), n in zip(rows, pad, strict=True)]
    mask = [[1] * (len(p) + len(a)) + [0] * n for (p, a), n in zip(rows, pad, strict=True)]
    labels = [[-100] * len(p) + a + [-100] * n for (p, a), n in zip(rows, pad, strict=True)]
    return {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": torch.tensor(mask, device=device),
        "labels": torch.tensor(labels, device=device),
    }
