"""What a checkpoint took: recorded with it, so that mitigations can be compared by their price too."""

from __future__ import annotations

import resource

import torch

from capsafe_core.records import Measurement
from capsafe_core.trainer_state import COST

PAGE = 1024
"""bytes in which Linux tells the largest memory of a process"""


def cost(checkpoint_id: str, seconds: float, device: str, job: str) -> list[Measurement]:
    """Seconds of work, and the most memory that this process held so far: of the GPU where one is used, else
    of the machine.

    Args:
        job: id of the job that did it.
    """
    on_gpu = device != "cpu" and torch.cuda.is_available()
    memory = (
        torch.cuda.max_memory_allocated()
        if on_gpu
        else PAGE * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )
    found = (("seconds", seconds), ("memory", float(memory)))
    return [Measurement(checkpoint_id, COST, metric, value, None, None, job) for metric, value in found]
