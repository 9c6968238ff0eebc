"""What a fine-tuning needs of the machine, said before it starts."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder.work import FinetuneWork

BITSANDBYTES = "bitsandbytes"


def require_devices(work: FinetuneWork) -> None:
    """Refuse a fine-tuning that this machine or environment cannot do.

    Raises:
        CapsafeError: there is no GPU, or fewer than are asked for, or what reads 4-bit weights is not
            installed.
    """
    found = torch.cuda.device_count()
    if found < work.gpus and work.gpus > 1 and work.engine["device"] != "cpu":
        raise CapsafeError(
            f"The training asks for {work.gpus} GPUs, and PyTorch sees {found} on this machine.",
            "Lower gpus under [training], or run it where there are as many.",
        )
    if work.recipe.method != "qlora":
        return
    if find_spec(BITSANDBYTES) is None:
        raise CapsafeError(
            f"qlora needs {BITSANDBYTES}, which the engine's environment lacks.",
            f"Run `pip install {BITSANDBYTES}` there, or train with lora.",
        )
    if not torch.cuda.is_available():
        raise CapsafeError(
            "qlora needs a GPU, and PyTorch sees none on this machine.",
            "Run it where there is one, or train with lora.",
        )


def four_bits(dtype: str) -> Any:
    """The weights that are not trained in 4 bits, as QLoRA has them (Dettmers et al. 2023, arXiv 2305.14314):
    normal floats, their scales quantised too, computed in `dtype`."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )
