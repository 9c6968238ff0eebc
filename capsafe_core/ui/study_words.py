"""What a study file's values are called in the form that starts a study."""

from __future__ import annotations

METHODS = {
    "lora": "LoRA",
    "dora": "DoRA",
    "rslora": "rsLoRA",
    "qlora": "QLoRA (4-bit)",
    "full": "Full fine-tuning",
}
SCHEDULES = {
    "constant_with_warmup": "constant after warm-up",
    "constant": "constant",
    "linear": "linear decay",
    "cosine": "cosine decay",
}
DEVICES = {"cpu": "CPU", "cuda": "GPU"}
