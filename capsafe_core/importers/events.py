"""Logs of events: OpenAI's evals, and what a trainer measured along its training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.importers.bounded import json_lines, load_json
from capsafe_core.importers.log import (
    Aggregate,
    Log,
    Problems,
    Row,
    Said,
    as_list,
    as_object,
    messages,
    said,
)
from capsafe_core.trainer_state import TRAINING, measures


def read_openai_evals(paths: tuple[Path, ...], problems: Problems) -> Iterator[Log]:
    """A run of OpenAI's evals: a sampling event is an answer, the other events of its sample are what was
    said of it."""
    spec: dict[str, Any] = {}
    asked: dict[str, list[dict[str, Any]]] = {}
    spoken: dict[str, list[Said]] = {}
    for _, row in json_lines(paths[0], problems):
        spec = as_object(row.get("spec")) or spec
        sample, data = row.get("sample_id"), as_object(row.get("data"))
        if not isinstance(sample, str):
            continue
        if row.get("type") == "sampling":
            asked.setdefault(sample, []).append(data)
            continue
        values = {k: v for k, v in data.items() if isinstance(v, bool | int | float)}
        values |= {"choice": data["choice"]} if isinstance(data.get("choice"), str) else {}
        spoken.setdefault(sample, []).extend(said(f"{row.get('type')}/{k}", v) for k, v in values.items())
    models = as_list(spec.get("completion_fns")) or [spec.get("model_name") or ""]
    yield Log(
        "openai-evals",
        str(spec.get("eval_name") or spec.get("base_eval") or paths[0].stem),
        str(models[0]),
        condition={"engine": "openai-evals"},
        rows=_samples(asked, spoken, paths[0], problems),
    )


def _samples(
    asked: dict[str, list[dict[str, Any]]], spoken: dict[str, list[Said]], path: Path, problems: Problems
) -> Iterator[Row]:
    for sample, events in asked.items():
        answers = 0
        for data in events:
            turns = messages(data.get("prompt"))
            prompt = turns[0]["content"] if len(turns) == 1 else turns or data.get("prompt")
            if not isinstance(prompt, str | tuple) or not prompt:
                problems.add(f"Sample {sample!r} of {path.name} has no prompt.")
                continue
            texts = data.get("sampled")
            for text in texts if isinstance(texts, list) else [texts]:
                answer = text if isinstance(text, str) else None
                verdicts = tuple(spoken.get(sample, ())) if answers == 0 else ()
                yield Row(sample, prompt, answer, answers, said=verdicts)
                answers += 1


def read_trainer_state(paths: tuple[Path, ...], problems: Problems) -> Iterator[Log]:
    """A trainer's trainer_state.json: what it measured at each step, without outputs. The run stands in the
    path.

    Raises:
        CapsafeError: it has no history.
    """
    path = paths[0]
    data = load_json(path)
    history = data.get("log_history") if isinstance(data, dict) else None
    if not isinstance(history, list):
        raise CapsafeError(f"{path.name} is not a trainer's state: it has no log_history.", "")
    folders = [p for p in path.parts[:-1] if p not in ("/", ".")]
    run = next((p for p in reversed(folders) if not p.startswith("checkpoint-")), path.stem)
    steps = measures(history)
    if not steps:
        problems.add(f"{path.name} holds no measurement of its evaluation besides the loss.")
    for step, found in sorted(steps.items()):
        yield Log(
            "trainer-state",
            TRAINING,
            run,
            kind="capability",
            facts={"step": str(step), "recipe": run},
            aggregates=[Aggregate(TRAINING, name, value) for name, value in found.items()],
        )
