"""The processes of one fine-tuning, one for each GPU: the first writes and measures, the others follow."""

from __future__ import annotations

import os
from datetime import timedelta

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

PATIENCE = timedelta(days=7)
"""for which the others wait while the first one measures a checkpoint"""


def process_count() -> int:
    """How many share this fine-tuning."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def own_device(device: str) -> str:
    """Of several GPUs the one of this process."""
    return device if process_count() == 1 or device == "cpu" else f"{device}:{os.environ['LOCAL_RANK']}"


def agreed(value: bool, device: str) -> bool:
    """What the first one says, in all of them; they wait for it."""
    if process_count() == 1:
        return value
    PartialState(cpu=device == "cpu", timeout=PATIENCE)  # made once, before the trainer would
    told = [value]
    broadcast_object_list(told)
    return bool(told[0])
