"""Models and adapters with pickles that would leave a file behind: `python -m tests.pickled FOLDER`, in the
engine's environment.

Prints, for each trial, "loaded" or the sentence it was refused with, and whether the pickle ran.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capsafe_core.engines import find_weights
from capsafe_core.errors import CapsafeError


class Planted:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch '{self._mark}'",)


def trials(root: Path, mark: Path) -> Iterator[tuple[str, Path, tuple[Path, ...], bool]]:
    """(name, model, adapters, whether pickles are allowed)."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )
    whole = root / "whole"
    model.save_pretrained(whole)
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")).save_pretrained(
        root / "adapter"
    )

    def copy(of: str, name: str, *without: str) -> Path:
        shutil.copytree(root / of, root / name)
        for file in without:
            (root / name / file).unlink()
        return root / name

    def plant(path: Path) -> Path:
        torch.save(Planted(mark), path)
        return path

    yield "nothing planted", whole, (root / "adapter",), False
    beside = copy("whole", "beside")
    plant(beside / "pytorch_model.bin")
    yield "a pickle beside safetensors", beside, (), False
    yield "a pickle beside safetensors, pickles allowed", beside, (), True
    alone = copy("whole", "alone", "model.safetensors")
    plant(alone / "pytorch_model.bin")
    yield "a pickle alone", alone, (), False
    yield "a pickle alone, pickles allowed", alone, (), True
    index = copy("whole", "index")
    (index / "model.safetensors").rename(index / "other.safetensors")
    plant(index / "evil.bin")
    (index / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": {"lm_head.weight": "evil.bin"}})
    )
    yield "a list of shards that names a pickle", index, (), False
    named = copy("whole", "named")
    plant(named / "model.safetensors")
    yield "a pickle by the name of safetensors", named, (), False
    own = copy("adapter", "adapter-own", "adapter_model.safetensors")
    plant(own / "adapter_model.bin")
    yield "an adapter that is a pickle", whole, (own,), False
    both = copy("adapter", "adapter-both")
    plant(both / "adapter_model.bin")
    yield "an adapter with a pickle beside it", whole, (both,), False
    fake = copy("adapter", "adapter-fake")
    plant(fake / "adapter_model.safetensors")
    yield "an adapter that is a pickle by the name of safetensors", whole, (fake,), False
    led = copy("adapter", "adapter-led", "adapter_model.safetensors")
    (led / "adapter_model.safetensors").symlink_to(root / "adapter" / "adapter_model.safetensors")
    yield "an adapter that leads out of its folder", whole, (led,), False


def attempt(root: Path, model: Path, adapters: tuple[Path, ...], pickles: bool) -> str:
    """Load as a worker does."""
    from capsafe_core.engines.transformers import load_model

    try:
        load_model(
            find_weights({"name": "transformers"}, str(model), root / "models", adapters, pickles=pickles),
            "float32",
        )
    except CapsafeError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "loaded"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    planted = folder / "ran"
    print(
        json.dumps(
            {name: [attempt(folder, *trial), planted.exists()] for name, *trial in trials(folder, planted)}
        )
    )
