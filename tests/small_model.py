"""The small model as a folder, and two random adapters over it: `python -m tests.small_model FOLDER`, in the
engine's environment."""

from __future__ import annotations

import sys
from pathlib import Path

from capsafe_core.engines import find_weights


def prepare(root: Path) -> Path:
    """Write adapter-1 and adapter-2 and a link `model` into a folder; returns it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    weights = find_weights({"name": "transformers"}, "smollm2-135m-instruct", root / "models")
    for i in (1, 2):
        torch.manual_seed(i)
        model = AutoModelForCausalLM.from_pretrained(weights.folder, dtype=torch.float32)
        config = LoraConfig(
            r=4,
            lora_alpha=8,
            target_modules=["q_proj", "v_proj"],
            init_lora_weights=False,
            task_type="CAUSAL_LM",
        )
        get_peft_model(model, config).save_pretrained(root / f"adapter-{i}")
    (root / "model").symlink_to(weights.folder)
    return root


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
