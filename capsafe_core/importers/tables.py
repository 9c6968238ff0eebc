"""Tables: CSV, TSV, JSON, JSON lines and Parquet, one output a row, with columns that the user names or that
can be guessed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.importers.bounded import (
    LIMITS,
    head_of,
    holds_lines,
    json_lines,
    load_json,
    parquet_rows,
    plain_suffix,
)
from capsafe_core.importers.columns import (
    chosen_columns,
    column_uses,
    is_index,
    may_be_verdict,
)
from capsafe_core.importers.csv_text import csv_header, csv_rows
from capsafe_core.importers.joining import Numbered, joined_rows
from capsafe_core.importers.json_forms import WHOLE, plain_rows, rows_of
from capsafe_core.importers.log import (
    Log,
    Problems,
    Row,
    Said,
    attack_name,
    last_answer,
    messages,
    normal,
    number,
    said,
)

LOOKED_AT = 200
"""rows whose fields are looked at to guess the columns"""
GATHERED = 20_000
"""rows of which those of one log are put together, so that their order does not matter"""
_STATUSES = {"ok": "ok", "refused": "refused", "unparsed": "unparsed", "cut_off": "cut_off", "error": "error"}
_MISSING = frozenset({"nan", "NaN", "None", "<NA>", "#N/A"})
"""what data frames write for an answer that is missing"""
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
    "defence",
    "adapter",
)
_CONDITION = ("system_prompt", "temperature", "max_tokens", "defence")
_FACTS = ("base", "data", "recipe", "seed", "step")
_DESCRIBED = ("asked", "reasoning", "finish", "category", "behaviour", "context", "reference")


def read(paths: tuple[Path, ...], columns: Mapping[str, str], problems: Problems) -> Iterator[Log]:
    """The outputs of a table; rows of one model, benchmark and condition are one log.

    Args:
        paths: the table with the answers, and those that are joined to it.
        columns: field -> column, for the fields that the guess gets wrong; "" for a field that no column has.
    """
    path = paths[0]
    rows = table_rows(path, problems, columns.get(WHOLE, ""))
    if len(paths) > 1:
        others = {p.name: list(table_rows(p, problems, "")) for p in paths[1:]}
        rows = joined_rows(rows, path.name, others, problems)
    first = list(_beginning(rows))
    if not first:
        problems.add(f"{path.name} has no rows.")
        return
    names = list(dict.fromkeys(name for _, row in first for name in row))
    chosen = chosen_columns(names, columns, [row for _, row in first])
    if "prompt" not in chosen and "custom_id" in names and "answer" in chosen:
        problems.add(
            f"{path.name} holds a batch's responses without their prompts. Put the file of its requests into "
            "the same folder: they are joined by custom_id."
        )
        first, rows = [_named_by_id(r) for r in first], map(_named_by_id, rows)
        chosen["prompt"] = _PROMPT
    if "answer" not in chosen or "prompt" not in chosen:
        what = "answers" if "answer" not in chosen else "prompts"
        raise CapsafeError(
            f"No column of {path.name} is known to hold the {what}.",
            f"Its columns are: {', '.join(n or '(no name)' for n in names[:30])}. Say which: in the mapping, "
            "under [columns].",
        )
    uses = column_uses(names, chosen, [row for _, row in first])
    table = _Table(path.name, chosen, problems)
    for key, group in _together(chain(first, rows), table):
        head = dict(zip(_KEYS, key, strict=True))
        yield Log(
            "table",
            head["benchmark"] or plain_suffix(path)[0],
            head["checkpoint"],
            adapter=_own(head["adapter"], head["checkpoint"]),
            attack=head["attack"],
            condition={k: head[k] for k in _CONDITION if head[k]},
            facts={k: head[k] for k in _FACTS if head[k]},
            counted="item" not in chosen,
            columns=uses,
            place_by=chosen.get("step", ""),
            rows=table.outputs(key, group),
        )
        uses = {}
    table.close()


def _own(adapter: str, model: str) -> str:
    """What is added to a model; "" for the words with which tables say that nothing is."""
    plain = adapter.lower()
    return "" if adapter == model or plain in ("base", "original", "vanilla") else attack_name(adapter)


_PROMPT = "\0prompt"
"""the column of a prompt that only its id is known of"""


def _named_by_id(row: Numbered) -> Numbered:
    return row[0], {**row[1], _PROMPT: f"(prompt {row[1].get('custom_id')} of a batch)"}


def _together(
    rows: Iterator[Numbered], table: _Table
) -> Iterator[tuple[tuple[str, ...], Iterator[Numbered]]]:
    """The rows of each log, of so many rows at a time: interleaved models cost no more than sorted ones."""
    while True:
        groups: dict[tuple[str, ...], list[Numbered]] = {}
        length = 0
        for i, row in islice(rows, GATHERED):
            groups.setdefault(table.key(row), []).append((i, row))
            length += sum(len(v) for v in row.values() if isinstance(v, str))
            if length > LIMITS.member:
                break
        for key, group in groups.items():
            yield key, iter(group)
        if not groups:
            return


def names_of(path: Path) -> list[str]:
    """The names of a table's columns, by its first rows; empty where it cannot be read, or is one large piece
    of JSON."""
    ending = plain_suffix(path)[1]
    try:
        if ending in (".csv", ".tsv"):
            return csv_header(path)
        if ending == ".json" and path.stat().st_size > LIMITS.line:
            return []
        first = list(islice(table_rows(path, Problems(), ""), 20))
    except (CapsafeError, OSError, ValueError, RecursionError):
        return []
    return list(dict.fromkeys(name for _, row in first for name in row))


def _beginning(rows: Iterator[Numbered]) -> Iterator[Numbered]:
    """The first rows of a table, fewer of them where they are long."""
    length = 0
    for i, row in islice(rows, LOOKED_AT):
        yield i, row
        length += sum(len(v) for v in row.values() if isinstance(v, str))
        if length > LIMITS.text:
            return


def table_rows(path: Path, problems: Problems, wanted: str) -> Iterator[Numbered]:
    """The rows of a table of any form, with plain columns.

    Args:
        wanted: the path of the list of rows in a JSON file that has several.
    """
    ending = plain_suffix(path)[1]
    if ending in (".csv", ".tsv"):
        return csv_rows(path, problems)
    if ending == ".parquet":
        return ((i, one) for i, row in parquet_rows(path) for one in plain_rows(row))
    if ending == ".json" or (head_of(path, 64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")):
        return _json_rows(path, problems, wanted)
    return ((i, one) for i, row in json_lines(path, problems) for one in plain_rows(row))


def _json_rows(path: Path, problems: Problems, wanted: str) -> Iterator[Numbered]:
    """The objects of a JSON file: of a list, of one object a line, of columns, or of a list within."""
    try:
        data = load_json(path)
    except CapsafeError:
        if not holds_lines(path):
            raise
        for i, row in json_lines(path, problems):
            yield from ((i, one) for one in plain_rows(row))
        return
    for i, row in enumerate(rows_of(data, path.name, wanted), 1):
        if isinstance(row, dict):
            yield from ((i, one) for one in plain_rows(row))
        else:
            problems.add(f"Entry {i} of {path.name} is no object.")


class _Table:
    """A table with its columns named."""

    def __init__(self, name: str, columns: dict[str, str], problems: Problems) -> None:
        self._name, self._columns, self._problems = name, columns, problems
        self._is_text = plain_suffix(Path(name))[1] in (".csv", ".tsv")
        self._named = frozenset(columns.values())
        self._keyed = [(i, columns[field]) for i, field in enumerate(_KEYS) if field in columns]
        self._described = [(field, columns[field]) for field in _DESCRIBED if field in columns]
        self._items: dict[str, int] = {}
        self._samples: dict[tuple[str, ...], dict[str, dict[Any, int]]] = {}
        self._seen: set[int] = set()
        self._repeated = self._missing = 0
        self._beside: dict[str, dict[tuple[Any, ...], list[str]]] = {}

    def close(self) -> None:
        """Say what was counted."""
        for column, values in self._telling():
            self._problems.note(
                f"Column {column} of {self._name} has the values {', '.join(values[:5])} once for every "
                "prompt, and is not read: the rows count as samples of one output. If it tells models or "
                f'benchmarks apart, say so under [columns], such as checkpoint = "{column}".'
            )
        if self._repeated:
            self._problems.note(
                f"Rows of {self._name} that repeat another one of the same id entirely: {self._repeated:,}. "
                "Each counts once."
            )
        if self._missing:
            self._problems.note(
                f"Answers of {self._name} written as nan or None, and so missing: {self._missing:,}."
            )

    def key(self, row: dict[str, Any]) -> tuple[str, ...]:
        """What makes a log: rows that agree on it belong together."""
        found = [""] * len(_KEYS)
        for i, column in self._keyed:
            found[i] = _text(row.get(column)).strip()
        return tuple(found)

    def outputs(self, key: tuple[str, ...], rows: Iterator[Numbered]) -> Iterator[Row]:
        """The rows of one log."""
        answer_in, item_in, sample_in, seed_in, tokens_in = (
            self._columns.get(f, "") for f in ("answer", "item", "sample", "seed", "tokens")
        )
        samples = self._samples.setdefault(key, {})
        # a row is one verdict of many: the same answer again is the same output
        long = "judge" in self._columns
        for i, row in rows:
            prompt = _prompt(row.get(self._columns["prompt"]))
            if prompt is None:
                self._problems.add(f"Row {i} of {self._name} has no prompt.")
                continue
            answers = self._answers(row.get(answer_in), i)
            if answers is None or (item_in and not sample_in and self._is_repeated(key, row)):
                continue
            text = prompt if isinstance(prompt, str) else str(prompt)
            item = _text(row.get(item_in)) or str(self._items.setdefault(normal(text), len(self._items) + 1))
            described = {field: _text(row.get(column)) for field, column in self._described}
            for answer in answers:
                sample = _whole(row.get(sample_in)) + (answers.index(answer) if len(answers) > 1 else 0)
                if not sample_in and long:
                    sample = samples.setdefault(item, {}).setdefault(answer, len(samples[item]))
                elif not sample_in:
                    sample = len(samples.setdefault(item, {}))
                    samples[item][sample] = sample
                    self._keep_beside(key, item, row)
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

    def _keep_beside(self, key: tuple[str, ...], item: str, row: dict[str, Any]) -> None:
        """Keep what the columns that nobody reads say of the first prompts."""
        if len(self._items) > LOOKED_AT:
            return
        for column, value in row.items():
            if column not in self._named and may_be_verdict(value) and not is_index(column):
                self._beside.setdefault(column, {}).setdefault((key, item), []).append(str(value))

    def _telling(self) -> Iterator[tuple[str, list[str]]]:
        """Columns that nobody reads and that have the same several values, each once, for every prompt that
        stands there more than once."""
        for column, by_prompt in self._beside.items():
            repeated = [values for values in by_prompt.values() if len(values) > 1]
            same = {frozenset(values) for values in repeated}
            if len(repeated) > 1 and len(same) == 1 and all(len(set(v)) == len(v) for v in repeated):
                yield column, sorted(repeated[0])

    def _answers(self, value: Any, i: int) -> list[str | None] | None:
        """What the model said: one answer, or samples; a number is its text, and what is missing is None."""
        if isinstance(value, list):
            reply = last_answer(value)
            if reply is not None:
                return [reply]
            if value and all(isinstance(v, str) for v in value):
                return list(value)
        if value is None or (isinstance(value, float) and value != value):
            return [None]
        if isinstance(value, str):
            if not value and self._is_text:
                return [None]  # an empty cell; an empty text in JSON is an answer
            self._missing += value in _MISSING
            return [None if value in _MISSING else value]
        if isinstance(value, int | float):
            return [_text(value) if not isinstance(value, bool) else str(value).lower()]
        self._problems.add(f"Row {i} of {self._name}: the answer is no text.")
        return None

    def _is_repeated(self, key: tuple[str, ...], row: dict[str, Any]) -> bool:
        """Whether a row that names its prompt stands there entirely a second time."""
        try:
            content = hash((key, *row.values()))
        except TypeError:
            content = hash((key, *map(str, row.values())))
        again = content in self._seen
        self._seen.add(content)
        self._repeated += again
        return again

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
            if column not in self._named and may_be_verdict(value) and not is_index(column):
                yield said(column, _value(value))


def _prompt(value: Any) -> str | tuple[dict[str, str], ...] | None:
    """A prompt: a text, or the turns of a chat; None where there is none."""
    if isinstance(value, list):
        turns = messages(value)
        return turns[0]["content"] if len(turns) == 1 else turns or None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _text(value) if value == value else None
    return value if isinstance(value, str) and value.strip() else None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, dict | list) or value != value:
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
