"""Tasks of reasoning-gym: seeded questions with answers, and worked answers where the steps are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.places import PREPARE


@dataclass(frozen=True)
class Pair:
    """A question, the text a model should give, and the bare answer."""

    prompt: str
    target: str
    answer: str


def reasoning_pairs(task: str, config: dict[str, Any], seed: int, size: int, answer: str) -> list[Pair]:
    """Questions of a reasoning-gym task.

    Args:
        task: the task's name in reasoning-gym.
        config: its settings.
        seed: the same seed gives the same questions; training and test use different ones.
        size: how many.
        answer: "final" for the bare answer, "worked" for the steps and "#### answer".

    Raises:
        CapsafeError: reasoning-gym is not installed, the task is unknown, or it has no worked form.
    """
    try:
        import reasoning_gym
    except ImportError as error:
        raise CapsafeError(
            "reasoning-gym is not installed in this environment.", f"Run `{PREPARE}`."
        ) from error
    if answer == "worked" and task not in _WORKED:
        raise CapsafeError(
            f"The task {task!r} has no worked answers.",
            f'Use answer = "final", or one of: {", ".join(_WORKED)}.',
        )
    try:
        entries = reasoning_gym.create_dataset(task, seed=seed, size=size, **config)
    except (ValueError, TypeError, AssertionError) as error:
        raise CapsafeError(
            f"reasoning-gym cannot make the task {task!r}: {error}.", "Check its name and settings."
        ) from error
    write = _WORKED[task] if answer == "worked" else _final
    return [Pair(entry["question"], write(entry), str(entry["answer"])) for entry in entries]


def _final(entry: dict[str, Any]) -> str:
    return str(entry["answer"])


def _worked_sum(entry: dict[str, Any]) -> str:
    """A sum term by term, one line a step, then "#### result"."""
    first, *rest = entry["metadata"]["expression"].split()
    total, lines = int(first), []
    for sign, term in zip(rest[::2], rest[1::2], strict=True):
        after = total + int(term) if sign == "+" else total - int(term)
        lines.append(f"{total} {sign} {term} = {after}")
        total = after
    return "\n".join([*lines, f"#### {total}"])


_WORKED = {"chain_sum": _worked_sum}
