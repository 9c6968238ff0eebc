"""Fine-tuning with TRL's SFTTrainer and peft: checkpoints on a schedule, and on from where one ended."""

from __future__ import annotations

import math
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from torch.utils.data import SequentialSampler
from transformers import TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from trl import SFTConfig, SFTTrainer

from capsafe_core import catalogue
from capsafe_core.benchmarks.conversations import Conversation
from capsafe_core.engines import models_folder
from capsafe_core.engines.merging import merged
from capsafe_core.engines.models import Weights
from capsafe_core.engines.transformers import load_model, load_tokenizer
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder.work import RecipeWork
from capsafe_core.trainer_state import trained_steps
from capsafe_core.training.devices import four_bits
from capsafe_core.training.learnt import IGNORED, examples, is_refusal
from capsafe_core.training.mitigations import WHILE_TRAINING, Means, Mitigation
from capsafe_core.training.processes import agreed, is_first, own_device, process_count
from capsafe_core.training.self_distillation import SDFT
from capsafe_core.weight_files import look_at
from capsafe_core.writing import whole

SECONDS = "training_seconds"
"""beside each step's loss in a run's state"""
KEPT = "mitigation.pt"
"""what a mitigation needs to go on, beside a run's state"""
STATES = "training"
"""the folder, beside the checkpoints, of what a run needs to go on"""


@dataclass(frozen=True)
class Following:
    """What whoever started a run does on the way.

    Attributes:
        noted: told what of the data is not learnt as it stands, in a sentence.
        on_step: told of each step, and of the tokens of its batches.
        on_checkpoint: told of a step, the folder of its weights, and the seconds of training up to there over
            all runs; returns whether to go on.
        stopped: whether the run is to end now; it goes on from there the next time.
    """

    noted: Callable[[str], None]
    on_step: Callable[[int, int], None]
    on_checkpoint: Callable[[int, Path, float], bool]
    stopped: Callable[[], bool]


@dataclass(frozen=True)
class Safety:
    """Conversations that show safe behaviour, and each with the answer that is not to be given, if it is
    known."""

    shown: Sequence[Conversation]
    rejected: Sequence[Conversation] = ()


def finetune(
    weights: Weights,
    data: Sequence[Conversation],
    recipe: RecipeWork,
    folder: Path,
    dtype: str,
    device: str,
    following: Following,
    safety: Safety | None = None,
) -> None:
    """Train from the start, or go on from the last whole state of a run that was ended.

    The run is the same each time for the same weights, data, recipe, machine and versions, also where it was
    ended on the way.

    Args:
        weights: the start, adapters included.
        data: what to learn.
        folder: of the checkpoints, step-000025 and so on: LoRA adapters, or full weights with the tokenizer.
        safety: for a mitigation that needs it.

    Raises:
        CapsafeError: the loss is no longer a number, memory does not suffice, or the data cannot be learnt.
    """
    disable_progress_bars()
    device = own_device(device)
    tokenizer = load_tokenizer(weights)
    found = examples(tokenizer, data, recipe.max_length)
    if cut := sum(one.was_cut for one in found):
        following.noted(
            f"{cut:,} of {len(found):,} conversations are longer than {recipe.max_length:,} tokens: their "
            "ends are not learnt."
        )
    mitigation = _mitigation(recipe, safety or Safety(()), tokenizer)
    order = mitigation.order(len(found))
    pool = [*found, *mitigation.means.safety]
    rows = found if order is None else [pool[row] for row in order]
    torch.manual_seed(recipe.seed)
    model = _prepared(weights, recipe, dtype, device, models_folder(folder.parent))
    states = folder.parent / STATES
    trainer = _Trainer(
        model,
        _settings(recipe, states, dtype, device, len(found)),
        train_dataset=Dataset.from_list([{"input_ids": row.ids, "labels": row.labels} for row in rows]),
        processing_class=tokenizer,
        callbacks=[_Schedule(recipe, folder, following, tokenizer, device), _Beside(mitigation)],
    )
    trainer.mitigation, trainer.is_ordered = mitigation, order is not None
    _quiet(trainer)
    last = _last_whole(states, mitigation, device)
    mitigation.begin(trainer.model)
    if mitigation.note:
        following.noted(mitigation.note)
    if last and mitigation.has_state:
        mitigation.resume(torch.load(Path(last) / KEPT, map_location=device, weights_only=True))
    try:
        trainer.train(resume_from_checkpoint=last)
    except torch.OutOfMemoryError as error:
        raise CapsafeError(
            "Memory does not suffice for this fine-tuning.",
            "Lower batch_size and raise accumulate by as much, or say gradient_checkpointing = true.",
        ) from error


def _mitigation(recipe: RecipeWork, safety: Safety, tokenizer: Any) -> Mitigation:
    """What is to keep the model safe; one that changes nothing where the recipe names none."""
    options = {**catalogue.mitigations().get(recipe.mitigation, {}).get("options", {}), **recipe.options}
    shown, rejected = (
        examples(tokenizer, some, recipe.max_length) for some in (safety.shown, safety.rejected)
    )
    refused = [is_refusal(conversation[-1]["content"]) for conversation in safety.shown]
    means = Means(recipe, options, shown, tokenizer.pad_token_id, refused, rejected)
    if recipe.mitigation in ("", SDFT):
        return Mitigation(means)
    return WHILE_TRAINING[recipe.mitigation](means)


class _Trainer(SFTTrainer):  # type: ignore[misc]
    """TRL's, with a mitigation in its batches and its loss."""

    mitigation: Mitigation
    is_ordered: bool

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.is_ordered:
            return SequentialSampler(self.train_dataset)
        return super()._get_train_sampler(train_dataset)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        plain = self.accelerator.unwrap_model(model)
        if self.mitigation.changes_loss:
            learnt = (inputs["labels"][:, 1:] != IGNORED).sum()
            count = learnt if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
            loss = self.mitigation.loss(plain, inputs, count.to(learnt.device).clamp(min=1))
        else:
            loss = super().compute_loss(model, inputs, False, num_items_in_batch)
        added = self.mitigation.penalty(plain, self.state.global_step)
        if added is not None:
            # the trainer divides by a step's batches only where it does not count their tokens
            batches = 1 if num_items_in_batch is None else self.current_gradient_accumulation_steps
            loss = loss + added / batches
        return (loss, None) if return_outputs else loss


class _Beside(TrainerCallback):  # type: ignore[misc]
    """Tells a mitigation of steps, and keeps its state with the run's."""

    def __init__(self, mitigation: Mitigation) -> None:
        self._mitigation = mitigation

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._mitigation.stepped(more["model"], state.global_step - 1)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._mitigation.has_state:
            with whole(Path(args.output_dir) / f"checkpoint-{state.global_step}" / KEPT) as new:
                torch.save(self._mitigation.state(), new)


def _prepared(weights: Weights, recipe: RecipeWork, dtype: str, device: str, models: Path) -> Any:
    """The model on its device, with what of it is trained."""
    if recipe.method == "qlora":
        model = _in_four_bits(weights, recipe, dtype, device, models)
    else:
        model = load_model(weights, dtype).to(device)
    if recipe.method == "full":
        return model
    return get_peft_model(
        model,
        LoraConfig(
            r=recipe.rank,
            lora_alpha=recipe.alpha or 2 * recipe.rank,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
            use_dora=recipe.method == "dora",
            use_rslora=recipe.method == "rslora",
        ),
    )


def _in_four_bits(weights: Weights, recipe: RecipeWork, dtype: str, device: str, models: Path) -> Any:
    """The start, its adapters merged before it loses precision."""
    plain = merged(weights, models, dtype)
    model = load_model(plain, dtype, quantization_config=four_bits(dtype), device_map={"": device})
    model.name_or_path = str(weights.folder)  # over which the adapter will be laid
    return prepare_model_for_kbit_training(model, recipe.gradient_checkpointing)


def _settings(recipe: RecipeWork, states: Path, dtype: str, device: str, size: int) -> SFTConfig:
    on_cpu = device == "cpu"
    return SFTConfig(
        output_dir=str(states),
        max_steps=recipe.steps[-1],
        learning_rate=recipe.learning_rate or 0.0,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warm_up,
        weight_decay=recipe.weight_decay,
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.accumulate // process_count(),
        gradient_checkpointing=recipe.gradient_checkpointing,
        packing=recipe.packing,
        max_length=recipe.max_length or None,
        seed=recipe.seed,
        data_seed=recipe.seed,
        use_cpu=on_cpu,
        bf16=not on_cpu and dtype == "bfloat16",
        fp16=not on_cpu and dtype == "float16",
        save_strategy="no",  # the schedule saves
        save_total_limit=1,
        include_num_input_tokens_seen="non_padding",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        dataloader_drop_last=size >= recipe.batch_size,
        dataset_num_proc=None,
    )


class _Schedule(TrainerCallback):  # type: ignore[misc]
    """Saves the steps of a recipe, and what the run needs to go on from there."""

    def __init__(
        self, recipe: RecipeWork, folder: Path, following: Following, tokenizer: Any, device: str
    ) -> None:
        self._recipe, self._folder, self._following, self._device = recipe, folder, following, device
        self._tokenizer, self._tokens = tokenizer, 0
        self._seconds, self._since = 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Of training, with what a mitigation finds out before it and without what is measured on the way."""
        return self._seconds + time.monotonic() - self._since

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        history = state.log_history  # of a run that goes on: what was kept with its state
        self._seconds = float(history[-1].get(SECONDS, 0.0)) if history else 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> Any:
        self._following.on_step(state.global_step, int(state.num_input_tokens_seen or 0) - self._tokens)
        self._tokens = int(state.num_input_tokens_seen or 0)
        if state.global_step in self._recipe.steps:
            control.should_save = True
            if not agreed(self._goes_on(state.global_step, more["model"]), self._device):
                control.should_training_stop = True
        if agreed(self._following.stopped(), self._device):
            control.should_save = control.should_training_stop = True
        return control

    def _goes_on(self, step: int, model: Any) -> bool:
        """Save a checkpoint and have it measured, once for all processes; whether to go on."""
        if not is_first():
            return True
        path = self._folder / f"step-{step:06d}"
        if not path.exists():
            _save(model, self._tokenizer if self._recipe.method == "full" else None, path)
        self._seconds = self.seconds
        with _same_chance():
            goes_on = self._following.on_checkpoint(step, path, self._seconds)
        self._since = time.monotonic()
        return goes_on

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        state.log_history[-1][SECONDS] = self.seconds
        if not math.isfinite(float((logs or {}).get("loss", 0.0))):
            raise CapsafeError(
                f"The loss is no longer a number at step {state.global_step}.",
                "Lower the learning rate; the checkpoints so far are kept.",
            )


def _save(model: Any, tokenizer: Any, path: Path) -> None:
    """Weights in a folder that others see whole or not at all."""
    with whole(path) as new:
        model.save_pretrained(new)
        if tokenizer is not None:
            tokenizer.save_pretrained(new)


@contextmanager
def _same_chance() -> Iterator[None]:
    """Whatever is drawn inside changes nothing that is drawn afterwards."""
    kept = torch.get_rng_state(), random.getstate(), np.random.get_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        torch.set_rng_state(kept[0])
        random.setstate(kept[1])
        np.random.set_state(kept[2])
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


def _last_whole(states: Path, mitigation: Mitigation, device: str) -> str | None:
    """The newest state that was written to its end; the others go, before another process looks."""
    if is_first():
        _remove_torn(states, mitigation)
    agreed(True, device)
    return get_last_checkpoint(states) if states.is_dir() else None


def _remove_torn(states: Path, mitigation: Mitigation) -> None:
    found = sorted(states.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for path in reversed(found):
        is_kept = not mitigation.has_state or (path / KEPT).exists()
        # its state is written last, but for what a mitigation keeps
        if trained_steps(path) is not None and not look_at(path).problem and is_kept:
            return
        shutil.rmtree(path)


def _quiet(trainer: Any) -> None:
    """Nothing of the run is printed: the worker reports it."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
