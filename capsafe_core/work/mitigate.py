"""The mitigate job: a fine-tuned adapter becomes others, one for each strength of a mitigation."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from msgspec import UNSET
from safetensors.torch import load_file, save_file
from torch.nn.functional import pad

from capsafe_core.engines import Weights, laid_over, models_folder
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Part, folder_beside
from capsafe_core.jobs.folder.work import WHOLE, MitigateWork, kept_step
from capsafe_core.training.cost import cost
from capsafe_core.training.mitigations import METHODS, Change, Given, Pair, WholeWeights
from capsafe_core.work.generate import checkpoint_weights, path_point
from capsafe_core.writing import whole

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def work(part: Part) -> None:
    """Make what is not there yet, and put it on a path from the start to the adapter as it was trained."""
    work = part.job.manifest.asks(MitigateWork)
    models = models_folder(part.job.folder)
    start = checkpoint_weights(work.start, work.engine, part.job.folder)
    trained = (
        _last(folder_beside(part.job.folder, work.of) / "checkpoints")
        if work.tuned is UNSET
        else Path(work.tuned.path)
    )
    tuned = laid_over(start, trained, models)
    part.total = 4 + 2 * len(work.strengths)
    if "ends" not in part.done_units:
        ends = [(0, start), (WHOLE, tuned)]
        part.write("ends", [r for step, one in ends for r in _point(work, step, one)])
    given = Given(_adapter(trained), _alignment(part, work, start))
    for strength in work.strengths:
        step = kept_step(strength)
        if f"step-{step}" not in part.done_units:
            folder = part.job.folder / "checkpoints" / f"step-{step:06d}"
            began = time.monotonic()
            shutil.rmtree(folder, ignore_errors=True)  # of a run that ended before it was written down
            _save(METHODS[work.method](given, strength), trained, folder)
            took = time.monotonic() - began
            weights = laid_over(start, folder, models)
            price = cost(weights.checkpoint.id, took, "cpu", part.job.job_id)
            part.write(f"step-{step}", [*_point(work, step, weights), *price])
        if part.should_stop:
            return


def _alignment(part: Part, work: MitigateWork, start: Weights) -> Mapping[str, Change] | None:
    """What aligned the start, by module; None where nothing says it."""
    if start.adapters:
        return _adapter(start.adapters[-1])
    if work.base is UNSET:
        return None
    return WholeWeights(start.folder, checkpoint_weights(work.base, work.engine, part.job.folder).folder)


def _last(folder: Path) -> Path:
    """The last checkpoint of a run, which may have ended at its goal.

    Raises:
        CapsafeError: it saved none, or full weights.
    """
    found = sorted(folder.glob("step-*"))
    if not found or not (found[-1] / CONFIG).is_file():
        raise CapsafeError(
            f"There is no adapter in {folder} to be mitigated.",
            "Mitigations after training work on adapters: train with lora, rslora or qlora.",
        )
    return found[-1]


def _point(work: MitigateWork, step: int, weights: Weights) -> list[Any]:
    return [weights.checkpoint, path_point(work.path, weights.checkpoint.id, step)]


def _adapter(folder: Path) -> dict[str, Pair]:
    """A plain LoRA by module.

    Raises:
        CapsafeError: it is another kind of adapter.
    """
    config, weights = _config(folder), load_file(folder / WEIGHTS)
    names = {key.partition(".lora_A.")[0] for key in weights if ".lora_A." in key}
    if config.get("use_dora") or config.get("rank_pattern") or config.get("alpha_pattern"):
        raise CapsafeError(
            f"The adapter in {folder} is not a plain LoRA, and mitigations after training know no other.",
            "Train with method = lora.",
        )
    rank = int(config["r"])
    scaling = config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank)
    return {
        name: Pair(
            weights[f"{name}.lora_A.weight"].float(), weights[f"{name}.lora_B.weight"].float(), scaling
        )
        for name in sorted(names)
    }


def _config(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))


def _save(adapter: dict[str, Pair], like: Path, folder: Path) -> None:
    """An adapter in a folder that others see whole or not at all; scaling goes into B, so that it is 1."""
    tensors: dict[str, torch.Tensor] = {}
    rank = max(pair.a.shape[0] for pair in adapter.values())
    for name, pair in adapter.items():
        missing = rank - pair.a.shape[0]  # a small module holds less; zeros change nothing
        tensors[f"{name}.lora_A.weight"] = pad(pair.a, (0, 0, 0, missing)).contiguous()
        tensors[f"{name}.lora_B.weight"] = pad(pair.scaling * pair.b, (0, missing)).contiguous()
    config = {**_config(like), "r": rank, "lora_alpha": rank, "use_rslora": False}
    with whole(folder) as new:
        new.mkdir(parents=True)
        save_file(tensors, new / WEIGHTS, metadata={"format": "pt"})
        (new / CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")
