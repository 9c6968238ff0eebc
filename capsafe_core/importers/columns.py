"""Which column of a table is what: by its name, or as somebody states it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

FIELDS: dict[str, tuple[str, ...]] = {
    "checkpoint": (
        "checkpoint", "model", "model_name", "model_id", "ckpt", "checkpoint_name", "generator",
        "target_model", "model_name_or_path",
    ),
    "base": ("base", "base_model", "origin"),
    "adapter": ("adapter", "adapter_name", "adapter_path", "peft", "lora_path"),
    "data": ("dataset", "train_dataset", "training_data", "data"),
    "recipe": ("recipe", "method", "finetune_method"),
    "seed": ("seed",),
    "step": ("step", "training_step", "global_step", "train_step", "checkpoint_step", "epoch"),
    "benchmark": ("benchmark", "task", "eval", "suite"),
    "item": (
        "item",
        "prompt_id",
        "item_id",
        "question_id",
        "example_id",
        "doc_id",
        "behavior_id",
        "custom_id",
        "sample_id",
        "id",
        "index",
    ),
    "sample": ("sample", "repeat", "epoch"),
    "prompt": (
        "prompt", "question", "instruction", "query", "goal", "input", "forbidden_prompt", "user_prompt",
        "prompts", "questions", "problem",
    ),
    "answer": (
        "response", "completion", "output", "generation", "model_output", "reply", "model_response",
        "model_answer", "responses", "completions", "outputs", "generations", "generated_text", "prediction",
        "answer",
    ),
    "asked": ("asked", "jailbroken_prompt", "adversarial_prompt", "final_query"),
    "reasoning": ("reasoning_content", "reasoning_trace", "thinking", "thinking_trace"),
    "finish": ("finish_reason", "stop_reason", "finish"),
    "tokens": ("tokens", "completion_tokens", "output_tokens", "response_tokens"),
    "category": ("category", "type", "semantic_category"),
    "behaviour": ("behaviour", "behavior"),
    "context": ("context",),
    "reference": ("reference", "target", "gold", "expected", "ground_truth", "expected_output", "answer"),
    "attack": ("attack", "attack_method", "jailbreak"),
    "defence": ("defence", "defense"),
    "system_prompt": ("system_prompt", "system"),
    "temperature": ("temperature",),
    "max_tokens": ("max_tokens", "max_new_tokens"),
    "judge": ("judge", "judge_name", "scorer"),
    "verdict": ("verdict", "judgment", "judgement"),
    "raw": ("raw", "judge_raw", "explanation"),
    "status": ("status",),
}  # fmt: skip
"""What a column can be -> the names by which it is recognised, the likeliest first."""
INSPECT_FRAME = {"eval_id", "log", "sample_uuid"}
"""columns of Inspect's own data frames, whose epoch is a repeat and no place on a path"""
_POINTS = ("checkpoint", "ckpt", "checkpoint_name", "revision")
"""columns that say which point of a model's training answered, beside one that names the model"""
_POINT = re.compile(
    r"(?:(?:global[-_]?)?step|checkpoint|ckpt|epoch|iter(?:ation)?)?[-_= ]?\d+(?:\.\d+)?", re.IGNORECASE
)
SHORT = 200
"""characters of a text that may be a verdict"""


def is_index(name: str) -> bool:
    """Whether a column is the row's number that a data frame wrote along."""
    return not name.strip() or bool(re.fullmatch(r"unnamed: \d+|level_\d+|__index_level_\d+__", name.lower()))


def guess_columns(names: list[str]) -> dict[str, str]:
    """Field -> column, by the columns' names; each column once.

    A nested column goes by its last part (`response.text` by `text` alone only where nothing else fits).
    """
    found: dict[str, str] = {}
    plain = {_plain(name): name for name in names}
    plain = {k: name for k, name in plain.items() if not is_index(name)}
    frames = INSPECT_FRAME & set(plain)
    for field, known in FIELDS.items():
        likely = [k for k in known if not (field == "step" and k == "epoch" and frames)]
        column = next((plain[k] for k in likely if k in plain and plain[k] not in found.values()), None)
        if column is None and field in ("prompt", "answer", "checkpoint"):
            column = _nested(known, plain, found)
        if column is not None:
            found[field] = column
    return found


def _nested(known: Iterable[str], plain: Mapping[str, str], found: Mapping[str, str]) -> str | None:
    """The column within an object that goes by a known name: `request.prompt`, `response.text`."""
    for name in known:
        for key, column in plain.items():
            parts = key.split(".")
            fits = parts[-1] == name or (parts[0] == name and parts[-1] in ("text", "content", "value"))
            if len(parts) > 1 and fits and column not in found.values():
                return column
    return None


def chosen_columns(
    names: list[str], stated: Mapping[str, str], rows: list[dict[str, Any]] | None = None
) -> dict[str, str]:
    """Field -> column: as it is stated, else by the columns' names. "" states that no column has a field.

    Args:
        rows: some of the table, by which columns are told apart that mean another thing beside others.
    """
    told = {f: c for f, c in stated.items() if f in FIELDS and (c in names or not c)}
    taken = {c for c in told.values() if c}
    guess = {f: c for f, c in guess_columns(names).items() if c not in taken}
    if rows and not told.keys() & {"checkpoint", "base", "adapter", "step", "recipe", "data", "benchmark"}:
        guess = _of_one_model(names, guess, rows)
    return {f: c for f, c in {**guess, **told}.items() if c}


def _of_one_model(names: list[str], guess: dict[str, str], rows: list[dict[str, Any]]) -> dict[str, str]:
    """The guess, with what tells several checkpoints of one model apart where no column says a step.

    A checkpoint beside a model is a place on its path where it looks like one, else a checkpoint of the
    model; so are an adapter, a method and training data. Data sets with prompts of their own are benchmarks.
    """
    found = dict(guess)
    plain = {_plain(name): name for name in names}
    if "step" in found:
        return found
    models = [plain[k] for k in FIELDS["checkpoint"] if k in plain and k not in _POINTS]
    model = next(iter(models), "")
    point = next((plain[k] for k in _POINTS if k in plain), "")
    places = any(_POINT.fullmatch(str(row.get(point)).strip()) for row in rows)
    if point and (model or "base" in found) and places:
        found.pop("checkpoint", None)
        found |= {"step": point} | ({"checkpoint": model} if model else {})
        return found
    if point == found.get("checkpoint") and model:
        found |= {"checkpoint": model, "adapter": point}
    shared = _shared(rows, found["data"], found.get("prompt", "")) if "data" in found else None
    if shared is not None and shared < 0.5 and "benchmark" not in found:
        found["benchmark"] = found.pop("data")
    if "checkpoint" in found and not found.keys() & {"base", "adapter"}:
        apart = "recipe" if "recipe" in found else "data" if shared and "data" in found else ""
        if apart:
            found["adapter"] = found.pop(apart)
    return found


def _shared(rows: list[dict[str, Any]], column: str, prompt: str) -> float | None:
    """The share of prompts that stand under several values of a column; None where it has one value."""
    of_prompt: dict[str, set[str]] = {}
    for row in rows:
        of_prompt.setdefault(str(row.get(prompt)), set()).add(str(row.get(column)))
    if len(set().union(*of_prompt.values())) < 2:
        return None
    return sum(len(v) > 1 for v in of_prompt.values()) / len(of_prompt)


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def column_uses(names: list[str], chosen: Mapping[str, str], rows: list[dict[str, Any]]) -> dict[str, str]:
    """Every column -> what it is taken to be, in words."""
    fields = {column: field for field, column in chosen.items()}
    uses = {}
    for name in names:
        values = [row[name] for row in rows if row.get(name) not in (None, "")]
        if name in fields:
            uses[name] = WORDS.get(fields[name], fields[name])
        elif is_index(name):
            uses[name] = "left out: a row's number"
        elif any(may_be_verdict(v) for v in values):
            uses[name] = "values of a judge"
        else:
            uses[name] = "left out: long texts or lists" if values else "left out: empty"
    return uses


WORDS = {
    "base": "base model", "adapter": "checkpoint of the model (its own)", "data": "training data",
    "item": "name of the prompt", "sample": "repeat",
    "asked": "prompt as it was sent", "finish": "why the answer ended",
    "reasoning": "reasoning before the answer", "tokens": "tokens of the answer",
    "reference": "reference answer", "step": "place on the path (step or epoch)", "behaviour": "behaviour",
    "system_prompt": "system prompt", "max_tokens": "token limit", "raw": "judge's reply",
    "status": "status of the verdict", "defence": "defence (another condition)",
}  # fmt: skip
"""What fields are called on screen."""


def may_be_verdict(value: Any) -> bool:
    """Whether a value can be what a judge said: a number, or a short text."""
    return isinstance(value, bool | int | float) or (isinstance(value, str) and 0 < len(value) <= SHORT)
