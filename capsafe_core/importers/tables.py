"""Tables: CSV, TSV, JSON, JSON lines and Parquet, one output a row, with columns that the user names or that
can be guessed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.importers.bounded import LIMITS, csv_rows, json_lines, load_json, parquet_rows
from capsafe_core.importers.log import Log, Problems, Row, Said, number, said

FIELDS: dict[str, tuple[str, ...]] = {
    "checkpoint": ("checkpoint", "model", "model_name", "model_id", "ckpt", "checkpoint_name"),
    "base": ("base", "base_model", "origin"),
    "data": ("dataset", "train_dataset", "training_data", "data"),
    "recipe": ("recipe", "method", "finetune_method"),
    "seed": ("seed",),
    "step": ("step", "training_step", "global_step"),
    "benchmark": ("benchmark", "task", "eval", "suite"),
    "item": (
        "item",
        "prompt_id",
        "item_id",
        "question_id",
        "example_id",
        "doc_id",
        "behavior_id",
        "id",
        "index",
    ),
    "sample": ("sample", "epoch", "repeat"),
    "prompt": ("prompt", "question", "instruction", "query", "goal", "input", "forbidden_prompt"),
    "answer": ("answer", "response", "completion", "output", "generation", "model_output", "reply"),
    "asked": ("asked", "jailbroken_prompt", "adversarial_prompt", "final_query"),
    "finish": ("finish_reason", "stop_reason", "finish"),
    "tokens": ("tokens", "completion_tokens", "output_tokens", "response_tokens"),
    "category": ("category", "type", "semantic_category"),
    "behaviour": ("behaviour", "behavior"),
    "context": ("context",),
    "reference": ("reference", "target", "gold", "expected"),
    "attack": ("attack", "attack_method", "jailbreak"),
    "system_prompt": ("system_prompt", "system"),
    "temperature": ("temperature",),
    "max_tokens": ("max_tokens", "max_new_tokens"),
    "judge": ("judge", "judge_name", "scorer"),
    "verdict": ("verdict", "judgment", "judgement"),
    "raw": ("raw", "judge_raw", "explanation"),
    "status": ("status",),
}
"""What a column can be -> the names by which it is recognised, the likeliest first."""
LOOKED_AT = 200
"""rows whose fields are looked at to guess the columns"""
_STATUSES = {"ok": "ok", "refused": "refused", "unparsed": "unparsed", "cut_off": "cut_off", "error": "error"}


def guess_columns(names: list[str]) -> dict[str, str]:
    """Field -> column, by the columns' names; each column once."""
    found: dict[str, str] = {}
    plain = {name.strip().lower().replace(" ", "_").replace("-", "_"): name for name in names}
    for field, known in FIELDS.items():
        column = next((plain[k] for k in known if k in plain and plain[k] not in found.values()), None)
        if column is not None:
            found[field] = column
    return found


def read(paths: tuple[Path, ...], columns: Mapping[str, str], problems: Problems) -> Iterator[Log]:
    """The outputs of a table; rows of one model, benchmark and condition that stand together are one log.

    Args:
        columns: field -> column, for the fields that the guess gets wrong; "" for a field that no column has.
    """
    path = paths[0]
    rows = _rows(path, problems)
    first = list(_beginning(rows))
    if not first:
        problems.add(f"{path.name} has no rows.")
        return
    names = list(dict.fromkeys(name for _, row in first for name in row))
    chosen = {
        f: c
        for f, c in {
            **guess_columns(names),
            **{f: c for f, c in columns.items() if c in names or not c},
        }.items()
        if c
    }
    if "answer" not in chosen or "prompt" not in chosen:
        what = "answers" if "answer" not in chosen else "prompts"
        raise CapsafeError(
            f"No column of {path.name} is known to hold the {what}.",
            f"Its columns are: {', '.join(names[:30])}. Say which: in the mapping, under [columns].",
        )
    table = _Table(path.name, chosen, problems)
    for key, group in groupby(chain(first, rows), lambda row: table.key(row[1])):
        head = dict(zip(_KEYS, key, strict=True))
        condition = {k: head[k] for k in ("system_prompt", "temperature", "max_tokens") if head[k]}
        facts = {k: head[k] for k in ("base", "data", "recipe", "seed", "step") if head[k]}
        yield Log(
            "table",
            head["benchmark"] or path.stem,
            head["checkpoint"],
            attack=head["attack"],
            condition=condition,
            facts=facts,
            rows=table.outputs(key, group),
        )


_KEYS = (
    "checkpoint",
    "benchmark",
    "attack",
    "system_prompt",
    "temperature",
    "max_tokens",
    "base",
    "data",
    "recipe",
    "seed",
    "step",
)

_DESCRIBED = ("asked", "finish", "category", "behaviour", "context", "reference")


def _beginning(rows: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The first rows of a table, fewer of them where they are long."""
    length = 0
    for i, row in islice(rows, LOOKED_AT):
        yield i, row
        length += sum(len(v) for v in row.values() if isinstance(v, str))
        if length > LIMITS.text:
            return


def _rows(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    ending = path.suffix.lower()
    if ending in (".csv", ".tsv"):
        return csv_rows(path, problems)
    if ending == ".parquet":
        return parquet_rows(path)
    if ending == ".json":
        return _json_rows(path, problems)
    return json_lines(path, problems)


def _json_rows(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON list, or of the one list that an object holds."""
    data = load_json(path)
    lists = (
        [data]
        if isinstance(data, list)
        else [v for v in data.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
        if isinstance(data, dict)
        else []
    )
    if len(lists) != 1:
        raise CapsafeError(
            f"{path.name} holds no list of objects, or several.",
            "Save the outputs as one list, or one object a line as .jsonl.",
        )
    for i, row in enumerate(lists[0], 1):
        if isinstance(row, dict):
            yield i, row
        else:
            problems.add(f"Entry {i} of {path.name} is no object.")


class _Table:
    """A table with its columns named."""

    def __init__(self, name: str, columns: dict[str, str], problems: Problems) -> None:
        self._name, self._columns, self._problems = name, columns, problems
        self._named = frozenset(columns.values())
        self._keyed = [(i, columns[field]) for i, field in enumerate(_KEYS) if field in columns]
        self._described = [(field, columns[field]) for field in _DESCRIBED if field in columns]
        self._items: dict[str, int] = {}
        self._samples: dict[tuple[str, ...], dict[str, dict[str | None, int]]] = {}

    def key(self, row: dict[str, Any]) -> tuple[str, ...]:
        """What makes a log: rows that agree on it belong together."""
        found = [""] * len(_KEYS)
        for i, column in self._keyed:
            found[i] = _text(row.get(column)).strip()
        return tuple(found)

    def outputs(self, key: tuple[str, ...], rows: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[Row]:
        """The rows of one log."""
        prompt_in, answer_in, item_in, sample_in, seed_in, tokens_in = (
            self._columns.get(f, "") for f in ("prompt", "answer", "item", "sample", "seed", "tokens")
        )
        samples = self._samples.setdefault(key, {})
        long = (
            "judge" in self._columns
        )  # a row is one verdict of many: the same answer again is the same output
        for i, row in rows:
            prompt, answer = row.get(prompt_in), row.get(answer_in)
            if not isinstance(prompt, str) or not prompt.strip():
                self._problems.add(f"Row {i} of {self._name} has no prompt.")
                continue
            if answer is not None and not isinstance(answer, str):
                self._problems.add(f"Row {i} of {self._name}: the answer is no text.")
                continue
            item = _text(row.get(item_in)) or str(self._items.setdefault(prompt, len(self._items) + 1))
            sample = _whole(row.get(sample_in))
            if not sample_in and long:
                sample = samples.setdefault(item, {}).setdefault(answer, len(samples[item]))
            elif not sample_in:
                sample = len(samples.setdefault(item, {}))
                samples[item][str(sample)] = sample
            described = {field: _text(row.get(column)) for field, column in self._described}
            yield Row(
                item,
                prompt,
                answer,
                sample,
                _whole(row.get(seed_in)),
                tokens=_whole(row.get(tokens_in)),
                said=tuple(self._said(row)),
                **described,
            )

    def _said(self, row: dict[str, Any]) -> Iterator[Said]:
        if "judge" in self._columns and "verdict" in self._columns:
            status = _STATUSES.get(_text(row.get(self._columns.get("status", ""))), "ok")
            yield said(
                _text(row.get(self._columns["judge"])),
                _value(row.get(self._columns["verdict"])),
                _text(row.get(self._columns.get("raw", ""))),
                status,
            )
        for column, value in row.items():
            if column in self._named:
                continue
            if isinstance(value, bool | int | float) or (isinstance(value, str) and 0 < len(value) <= 200):
                yield said(column, _value(value))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, dict | list):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _value(value: Any) -> Any:
    """A number that a CSV holds as text is a number."""
    if isinstance(value, str):
        found = number(value) if value.strip() else None
        return value.strip() if found is None else found
    return value


def _whole(value: Any) -> int:
    if value is None:
        return 0
    found = number(value)
    return int(found) if found is not None and 0 <= found < 1 << 31 else 0
