"""What a study needs of the machine and it lacks, said before anything starts; without loading PyTorch.

A GPU that the driver does not show is missing. Memory and disk are compared with what the weights take at the
very least, so what passes may still turn out to be too much.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from capsafe_core import catalogue
from capsafe_core.engine_settings import TransformersSettings, VllmSettings
from capsafe_core.study import RecipeSettings, Study

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""of a parameter"""
ALL_WEIGHTS = 4
"""how often all weights are held while all are trained: themselves, gradients, and AdamW's two moments"""
_DRIVER = Path("/dev")
_PROCESS, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Machine:
    """What a machine has: GPUs, and bytes of memory and of free disk."""

    gpus: int | None
    """None where there is a GPU and nothing says how many"""
    memory: int
    """no more than a container may use"""
    disk: int


def this_machine(folder: Path) -> Machine:
    """The machine that this process runs on.

    Args:
        folder: where jobs are kept; it, or a folder above it, exists.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(_gpus(), min([memory, *_memory_limits()]), shutil.disk_usage(there).free)


def _gpus() -> int | None:
    """The GPUs that drivers show: NVIDIA's, ROCm's, and the one device that stands for all under WSL2."""
    if count := len(list(_DRIVER.glob("nvidia[0-9]*"))):
        return count
    if (_DRIVER / "kfd").exists():
        return len(list(_DRIVER.glob("dri/renderD*"))) or None
    return None if (_DRIVER / "dxg").exists() else 0


def _memory_limits() -> list[int]:
    """What control groups, of either version, let this process have, in bytes: its own and those above it."""
    limits = []
    for line in _text(_PROCESS).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, name = _GROUPS, "memory.max"
        elif controllers == "memory":
            root, name = _GROUPS / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = PurePosixPath(path)
        told = [_text(root / str(place).lstrip("/") / name).strip() for place in (group, *group.parents)]
        limits += [int(limit) for limit in told if limit.isdecimal()]
    return limits


def _text(file: Path) -> str:
    """What stands in a file of the kernel; "" where there is none."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""


def lacks(study: Study, machine: Machine) -> list[str]:
    """What a study needs and the machine lacks, a sentence with its next step each."""
    return list(
        dict.fromkeys([*_of_engine(study, machine), *_of_training(study, machine), *_disk(study, machine)])
    )


def _of_engine(study: Study, machine: Machine) -> Iterator[str]:
    engine = study.engine
    if isinstance(engine, VllmSettings):
        yield from _more_gpus("The model", engine.tensor_parallel, machine, "Lower the number.")
        if machine.gpus == 0:
            yield (
                "No GPU is visible on this machine, and vLLM needs one unless it is the build for the CPU. "
                "Choose transformers, or run the study where there is a GPU."
            )
    if isinstance(engine, TransformersSettings):
        yield from _gpu("The engine", engine.device, machine)
        if engine.device == "cpu":
            for start in study.starts:
                weights = BYTES[engine.dtype] * parameters_of(start.model)
                yield from _memory(f"The weights of {start.model}", weights, machine)


def _of_training(study: Study, machine: Machine) -> Iterator[str]:
    own = study.trains_with
    for recipe in study.recipes:
        if not recipe.is_trained:
            continue
        yield from _gpu("Training", own.device, machine)
        yield from _more_gpus("Training", study.gpus, machine, "Lower gpus under [training].")
        if own.device == "cpu":
            weights = BYTES[own.dtype] * _trained(study, recipe)
            full = recipe.method == "full"
            what = "Full fine-tuning" if full else "Training an adapter"
            model = study.start(recipe.start).model
            yield from _memory(f"{what} of {model}", weights * (ALL_WEIGHTS if full else 1), machine)


def _disk(study: Study, machine: Machine) -> Iterator[str]:
    """Checkpoints of all weights; adapters are small."""
    needed = sum(
        BYTES[study.trains_with.dtype] * _trained(study, recipe) * len(recipe.steps) * len(recipe.seeds)
        for recipe in study.recipes
        if recipe.is_trained and recipe.method == "full"
    )
    if needed > machine.disk:
        yield (
            f"The checkpoints take at least {_size(needed)}, and {_size(machine.disk)} of disk space is "
            "free. Save fewer steps, train LoRA, or make room."
        )


def _gpu(what: str, device: str, machine: Machine) -> Iterator[str]:
    if device.startswith("cuda") and machine.gpus == 0:
        yield (
            f"{what} needs a GPU, but none is visible here. Choose CPU, or run the study where there is one."
        )


def _more_gpus(what: str, needed: int, machine: Machine, instead: str) -> Iterator[str]:
    """Where there are GPUs, and too few; nothing is said of a number that is not known."""
    if machine.gpus and needed > machine.gpus:
        yield f"{what} needs {needed} GPUs, and this machine has {machine.gpus}. {instead}"


def _memory(what: str, needed: int, machine: Machine) -> Iterator[str]:
    if needed > machine.memory:
        yield (
            f"{what} takes at least {_size(needed)} of memory, and the limit here is "
            f"{_size(machine.memory)}. Choose a smaller model, or run the study on a larger machine."
        )


def _trained(study: Study, recipe: RecipeSettings) -> int:
    return parameters_of(study.start(recipe.start).model)


def parameters_of(model: str | None) -> int:
    """A model's number of parameters: as the catalogue says, or by the size of the weights in a folder; 0
    where neither tells."""
    if model is None:
        return 0
    known = catalogue.models().get(model, {})
    if "parameters" in known:
        return int(known["parameters"])
    folder = Path(model).expanduser()
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    except (OSError, ValueError):
        return 0
    named = config.get("torch_dtype") or config.get("dtype") if isinstance(config, dict) else None
    return size // BYTES.get(str(named), max(BYTES.values()))


def _size(count: float) -> str:
    return f"{count / 1e9:,.1f} GB"
