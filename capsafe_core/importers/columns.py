"""Which column of a table is what: by its name, or as somebody states it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from capsafe_core.path_steps import is_place

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
        "prompts", "questions", "problem", "request",
    ),
    "addition": ("input",),
    "answer": (
        "response", "completion", "output", "generation", "model_output", "reply", "model_response",
        "model_answer", "responses", "completions", "outputs", "generations", "generated_text", "prediction",
        "answer",
        "response_text", "output_text", "completion_text", "generated_response", "assistant_response",
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
    "judge": (
        "judge", "judge_name", "judge_model", "scorer", "grader", "evaluator", "annotator", "annotator_id",
        "rater", "rater_id", "labeler", "labeller", "worker_id",
    ),
    "verdict": ("verdict", "judgment", "judgement"),
    "raw": ("raw", "judge_raw", "explanation"),
    "status": ("status",),
}  # fmt: skip
"""What a column can be -> the names by which it is recognised, the likeliest first."""
INSPECT_FRAME = {"eval_id", "log", "sample_uuid"}
"""columns of Inspect's own data frames, whose epoch is a repeat and no place on a path"""
POINTS = ("checkpoint", "ckpt", "checkpoint_name", "revision")
"""columns that say which point of a model's training answered, beside one that names the model"""
LONG_VERDICTS = (
    "label", "decision", "rating", "grade", "score", "value", "result", "judge_label", "judge_verdict",
    "judge_score", "judge_decision", "judge_output", "judge_response",
)  # fmt: skip
"""columns that hold what a judge said, in tables that name the judge of each row"""
SHORT = 200
"""characters of a text that may be a verdict"""


@dataclass
class TableSample:
    """What the whole of a table holds.

    Attributes:
        names: of all columns, in the order in which they turn up.
        rows: all rows of some prompts from everywhere in the table, the same ones in every process.
        filled: columns that are not empty everywhere.
        short: those among them with a value that may be a judge's.
        points: of columns that may say which point of a training answered, what stands there.
    """

    names: list[str] = dataclasses.field(default_factory=list)
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    filled: set[str] = dataclasses.field(default_factory=set)
    short: set[str] = dataclasses.field(default_factory=set)
    points: dict[str, set[str]] = dataclasses.field(default_factory=dict)


def is_index(name: str) -> bool:
    """Whether a column is the row's number that a data frame wrote along."""
    return not name.strip() or bool(re.fullmatch(r"unnamed: \d+|level_\d+|__index_level_\d+__", name.lower()))


def guess_columns(names: list[str]) -> dict[str, str]:
    """Field -> column, by the columns' names; each column once.

    A nested column goes by its last part (`response.text` by `text` alone only where nothing else fits).
    """
    found: dict[str, str] = {}
    plain = {plain_name(name): name for name in names}
    plain = {k: name for k, name in plain.items() if not is_index(name)}
    frames = INSPECT_FRAME & set(plain)
    for field, known in FIELDS.items():
        likely = [k for k in known if not (field == "step" and k == "epoch" and frames)]
        column = next((plain[k] for k in likely if k in plain and plain[k] not in found.values()), None)
        if column is None and field in ("prompt", "answer", "checkpoint"):
            column = _nested(known, plain, found)
        if field == "addition" and plain_name(found.get("prompt", "")) != "instruction":
            column = None  # Alpaca's form alone has a task and what it is about
        if column is not None:
            found[field] = column
    if "judge" not in found:
        found.pop("verdict", None)  # it is a judge of its own then
    elif "verdict" not in found:
        free = (plain[k] for k in LONG_VERDICTS if k in plain and plain[k] not in found.values())
        found |= dict(zip(["verdict"], free, strict=False))
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


def chosen_columns(stated: Mapping[str, str], sample: TableSample) -> dict[str, str]:
    """Field -> column: as it is stated, else by the columns' names, and by what stands in those that mean
    another thing beside others. "" states that no column has a field."""
    names = sample.names
    told = {f: c for f, c in stated.items() if f in FIELDS and (c in names or not c)}
    taken = {c for c in told.values() if c}
    guess = {f: c for f, c in guess_columns(names).items() if c not in taken}
    if not told.keys() & {"checkpoint", "base", "adapter", "step", "recipe", "data", "benchmark"}:
        guess = _of_one_model(guess, sample)
    return {f: c for f, c in {**guess, **told}.items() if c}


def _of_one_model(guess: dict[str, str], sample: TableSample) -> dict[str, str]:
    """The guess, with what tells several checkpoints of one model apart where no column says a step.

    A checkpoint beside a model is a place on its path where it looks like one, else a checkpoint of the
    model; so are an adapter, a method and training data. Data sets with prompts of their own are benchmarks.
    """
    found = dict(guess)
    plain = {plain_name(name): name for name in sample.names}
    shared = _shared(sample.rows, found["data"], found.get("prompt", "")) if "data" in found else None
    few = 1e-9 if "step" in found else 0.5
    if shared is not None and "benchmark" in found and _follows(sample, found["data"], found["benchmark"]):
        found.setdefault("category", found.pop("data"))  # the benchmark's own, and no training data
    elif shared is not None and "benchmark" not in found and shared < few:
        found["benchmark"] = found.pop("data")
    if "step" in found:
        return found
    models = [plain[k] for k in FIELDS["checkpoint"] if k in plain and k not in POINTS]
    model = next(iter(models), "")
    point = next((plain[k] for k in POINTS if k in plain), "")
    places = any(is_place(value) for value in sample.points.get(point, ()))
    if point and (model or "base" in found) and places:
        found.pop("checkpoint", None)
        found |= {"step": point} | ({"checkpoint": model} if model else {})
        return found
    if point == found.get("checkpoint") and model:
        found |= {"checkpoint": model, "adapter": point}
    if "checkpoint" in found and not found.keys() & {"base", "adapter"}:
        apart = "recipe" if "recipe" in found else "data" if shared and "data" in found else ""
        if apart:
            found["adapter"] = found.pop(apart)
    return found


def _follows(sample: TableSample, column: str, other: str) -> bool:
    """Whether a column has one value for each of several values of another."""
    values: dict[str, set[str]] = {}
    for row in sample.rows:
        values.setdefault(str(row.get(other)), set()).add(str(row.get(column)))
    return len(values) > 1 and all(len(v) == 1 for v in values.values())


def _shared(rows: list[dict[str, Any]], column: str, prompt: str) -> float | None:
    """The share of prompts that stand under several values of a column; None where it has one value."""
    of_prompt: dict[str, set[str]] = {}
    for row in rows:
        of_prompt.setdefault(str(row.get(prompt)), set()).add(str(row.get(column)))
    if len(set().union(*of_prompt.values())) < 2:
        return None
    return sum(len(v) > 1 for v in of_prompt.values()) / len(of_prompt)


def plain_name(name: str) -> str:
    """A column's name as FIELDS spells it."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def judges_columns(chosen: Mapping[str, str], sample: TableSample) -> frozenset[str]:
    """Of a table that names the judge of each row, the columns that hold what this judge said: those that
    differ between the rows of one output; all that may be verdicts where each output has one row and no
    column is known to hold the verdict."""
    if "judge" not in chosen:
        return frozenset()
    others = [c for c in sample.short if c not in chosen.values() and not is_index(c)]
    apart = [column for field, column in chosen.items() if field not in ("judge", "verdict", "raw", "status")]
    outputs: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in sample.rows:
        outputs.setdefault(tuple(str(row.get(c)) for c in apart), []).append(row)
    if "verdict" not in chosen and all(len(rows) == 1 for rows in outputs.values()):
        return frozenset(others)
    return frozenset(
        column
        for column in others
        if any(len({str(row.get(column)) for row in rows}) > 1 for rows in outputs.values())
    )


def column_uses(chosen: Mapping[str, str], sample: TableSample) -> dict[str, str]:
    """Every column -> what it is taken to be, in words."""
    fields = {column: field for field, column in chosen.items()}
    uses = {}
    for name in sample.names:
        if name in fields:
            uses[name] = WORDS.get(fields[name], fields[name])
        elif is_index(name):
            uses[name] = "left out: a row's number"
        elif name in sample.short:
            uses[name] = "values of a judge"
        else:
            uses[name] = "left out: long texts or lists" if name in sample.filled else "left out: empty"
    return uses


WORDS = {
    "base": "base model", "adapter": "checkpoint of the model (its own)", "data": "training data",
    "item": "name of the prompt", "sample": "repeat",
    "addition": "second part of the prompt", "asked": "prompt as it was sent",
    "finish": "why the answer ended",
    "reasoning": "reasoning before the answer", "tokens": "tokens of the answer",
    "reference": "reference answer", "step": "place on the path (step or epoch)", "behaviour": "behaviour",
    "system_prompt": "system prompt", "max_tokens": "token limit", "raw": "judge's reply",
    "status": "status of the verdict", "defence": "defence (another condition)",
}  # fmt: skip
"""What fields are called on screen."""


def may_be_verdict(value: Any) -> bool:
    """Whether a value can be what a judge said: a number, or a short text."""
    return isinstance(value, bool | int | float) or (isinstance(value, str) and 0 < len(value) <= SHORT)
