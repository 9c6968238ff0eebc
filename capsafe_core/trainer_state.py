"""What a trainer says of its training, as transformers' Trainer and those built on it write it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from capsafe_core.folders import boundary, is_regular

STATE = "trainer_state.json"
TRAINING = "training evaluation"
"""the benchmark under which a trainer's own numbers stand"""
COST = "training cost"
"""the benchmark under which stands what a checkpoint took: seconds of training, bytes of memory; and of what
its start rewrote before, the share that was learnt"""
LARGEST = 64 << 20
"""bytes"""
_NO_MEASURE = ("runtime", "per_second", "loss", "mem", "epoch", "step")
"""of a trainer's eval_ numbers those that are no capability"""


def trained_steps(folder: Path) -> int | None:
    """How many steps had been done when a checkpoint was saved; None where nothing beside it says so."""
    step = _state(folder).get("global_step")
    return step if isinstance(step, int) and not isinstance(step, bool) and step > 0 else None


def measures_at(folder: Path, step: int) -> dict[str, float]:
    """What was measured at a step, by the state beside a checkpoint's weights: name -> value, losses too."""
    history = _state(folder).get("log_history")
    return measures(history, losses=True).get(step, {}) if isinstance(history, list) else {}


def measures(history: list[Any], losses: bool = False) -> dict[int, dict[str, float]]:
    """What a log_history says of each step's evaluation: step -> name -> value.

    Args:
        losses: whether the losses are wanted too, of training and of evaluation.
    """
    steps: dict[int, dict[str, float]] = {}
    for one in history:
        step = one.get("step") if isinstance(one, dict) else None
        if not isinstance(step, int) or isinstance(step, bool) or step < 1:
            continue
        for key, value in one.items():
            name = str(key).removeprefix("eval_")
            is_measure = name != key and not any(word in name for word in _NO_MEASURE)
            if (is_measure or (losses and name == "loss")) and _is_number(value):
                steps.setdefault(step, {})[str(key)] = float(value)
    return steps


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _state(folder: Path) -> dict[str, Any]:
    path = folder / STATE
    try:
        if not is_regular(path, boundary(folder)) or path.stat().st_size > LARGEST:
            return {}
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
