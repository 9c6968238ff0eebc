"""Fine-tuning data as people keep it: one conversation a row, that ends in an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from capsafe_core.benchmarks.files import Row, read_rows
from capsafe_core.benchmarks.hub import written
from capsafe_core.chat_turns import chat_turns
from capsafe_core.errors import CapsafeError

Conversation = tuple[dict[str, str], ...]
"""Turns of {"role": system, user or assistant, "content": text}; the last one is the assistant's."""


WRITTEN = ("prompt", "response")
"""texts of `config` that say how a row is learnt"""


def read_conversations(path: Path, config: Mapping[str, Any] | None = None) -> list[Conversation]:
    """The conversations in a file (JSONL, JSON, CSV, Parquet) or in a folder as `datasets` saves it, as
    `conversations_of` reads them.

    Raises:
        CapsafeError: the file cannot be read, or as `conversations_of`.
    """
    rows = _saved_rows(path) if path.is_dir() else read_rows(path)
    return conversations_of(rows, str(path), config or {})


def conversations_of(rows: Sequence[Row], name: str, config: Mapping[str, Any]) -> list[Conversation]:
    """Rows as conversations.

    Told by columns: prompt and response (or completion, or chosen beside rejected); question and answer;
    messages; conversations (ShareGPT); instruction, input and output (Alpaca); instruction, context and
    response (Dolly). Or as `config` writes them (WRITTEN).

    Raises:
        CapsafeError: they are in no such form, or some have no answer.
    """
    if not rows:
        raise CapsafeError(f"{name} has no rows.", "Check the file.")
    form = _form(name, set(rows[0]), config)
    found = [form(row) for row in rows]
    wrong = [i for i, turns in enumerate(found, 1) if not _is_whole(turns)]
    if wrong:
        raise CapsafeError(
            f"{len(wrong):,} of {len(rows):,} rows of {name} hold no question with an answer.",
            f"Take them out, or fill them in; the first is row {wrong[0]}.",
        )
    return found


def _form(name: str, columns: set[str], config: Mapping[str, Any]) -> Callable[[Row], Conversation]:
    if any(key in config for key in WRITTEN):
        write = written(name, {key: config.get(key) for key in WRITTEN}, columns)
        return lambda row: _pair(*write(row))
    form = next((read for names, read in _FORMS if names <= columns), None)
    if form is None:
        raise CapsafeError(
            f"{name} is in no form that can be learnt from: it has {', '.join(sorted(map(str, columns)))}.",
            'Say how with config = { prompt = "...{column}...", response = "{column}" }.',
        )
    return form


def _saved_rows(path: Path) -> list[Row]:
    """The rows of a data set that the library `datasets` saved; its split train where there are several."""
    try:
        from datasets import DatasetDict, load_from_disk
    except ImportError as error:
        raise CapsafeError(
            f"{path} is a folder, and the library `datasets` that reads it is not installed here.",
            "Save the data as JSONL, CSV or Parquet.",
        ) from error
    try:
        found = load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise CapsafeError(
            f"{path} is not a data set that `datasets` saved: {str(error).splitlines()[0]}", "Check the path."
        ) from error
    if isinstance(found, DatasetDict):
        if "train" not in found:
            raise CapsafeError(
                f"{path} has no split train, only {', '.join(found)}.", "Name the split's folder."
            )
        found = found["train"]
    return [dict(row) for row in found]


def _is_whole(turns: Conversation) -> bool:
    """Whether every turn says something, and the last one is an answer to somebody."""
    return (
        len(turns) > 1
        and turns[-1]["role"] == "assistant"
        and any(turn["role"] == "user" for turn in turns)
        and all(turn["role"] in ("system", "user", "assistant") and turn["content"].strip() for turn in turns)
    )


def _pair(asked: Any, answer: Any) -> Conversation:
    return (
        {"role": "user", "content": asked if isinstance(asked, str) else ""},
        {"role": "assistant", "content": answer if isinstance(answer, str) else ""},
    )


def _with_input(row: Row, more: str, answer: str) -> Conversation:
    """An instruction with what it is about."""
    about = row.get(more)
    asked = row.get("instruction")
    whole = f"{asked}\n\n{about}" if isinstance(about, str) and about.strip() else asked
    return _pair(whole, row.get(answer))


_FORMS: tuple[tuple[set[str], Callable[[Row], Conversation]], ...] = (
    ({"messages"}, lambda row: chat_turns(row["messages"])),
    ({"conversations"}, lambda row: chat_turns(row["conversations"])),
    ({"instruction", "output"}, lambda row: _with_input(row, "input", "output")),
    ({"instruction", "response"}, lambda row: _with_input(row, "context", "response")),
    ({"prompt", "chosen", "rejected"}, lambda row: _pair(row["prompt"], row["chosen"])),
    ({"prompt", "response"}, lambda row: _pair(row["prompt"], row["response"])),
    ({"prompt", "completion"}, lambda row: _pair(row["prompt"], row["completion"])),
    ({"question", "answer"}, lambda row: _pair(row["question"], row["answer"])),
)
"""columns -> how a row of them is read, the surest first"""
