"""Tables: CSV, TSV, JSON, JSON lines and Parquet, one output a row, with columns that the user names or that
can be guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.importers.bounded import LIMITS, plain_suffix
from capsafe_core.importers.columns import (
    TableSample,
    chosen_columns,
    column_uses,
    is_index,
    judges_columns,
    may_be_verdict,
)
from capsafe_core.importers.joining import Numbered, joined_rows
from capsafe_core.importers.json_forms import WHOLE
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
from capsafe_core.importers.per_model import ANSWERS, PerModel, per_model
from capsafe_core.importers.table_rows import sampled, table_rows

LOOKED_AT = 200
"""prompts of which the columns that nobody reads are kept"""
GATHERED = 20_000
"""rows of which those of one log are put together, so that their order does not matter"""
_STATUSES = {"ok": "ok", "refused": "refused", "unparsed": "unparsed", "cut_off": "cut_off", "error": "error"}
_NOT_A_NUMBER = frozenset({"nan", "NaN", "-nan", "-NaN", "<NA>", "#N/A"})
"""what data frames write into a text table for any value that is missing"""
_MISSING = _NOT_A_NUMBER | {"None", "null", "NULL", "NA", "N/A", "n/a", "#N/A N/A", "#NA"}
"""what data frames read as a missing text"""
_NONE = "\0none"
"""the column of a field that no column has; the empty name is that of an index"""
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
    sample, rows, models = _looked_at(paths, columns, problems)
    if not sample.rows:
        problems.add(f"{path.name} has no rows.")
        return
    chosen = chosen_columns(columns, sample)
    if "prompt" not in chosen and "custom_id" in sample.names and "answer" in chosen:
        problems.add(
            f"{path.name} holds a batch's responses without their prompts. Put the file of its requests into "
            "the same folder: they are joined by custom_id."
        )
        rows, chosen["prompt"] = map(_named_by_id, rows), _PROMPT
    if "answer" not in chosen or "prompt" not in chosen:
        what = "answers" if "answer" not in chosen else "prompts"
        raise CapsafeError(
            f"No column of {path.name} is known to hold the {what}.",
            f"Its columns are: {', '.join(n or '(no name)' for n in sample.names[:30])}. Say which: in the "
            f"mapping, under [columns]; where each model has a column of its own, all of them: {ANSWERS} = "
            '"one, two".',
        )
    uses = column_uses(chosen, sample) | (models.uses() if models else {})
    table = _Table(path.name, chosen, judges_columns(chosen, sample), problems)
    for key, group in _together(rows, table):
        head = dict(zip(_KEYS, key, strict=True))
        head |= {k: _own(head[k], "") for k in ("data", "recipe")}
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


def _looked_at(
    paths: tuple[Path, ...], columns: Mapping[str, str], problems: Problems
) -> tuple[TableSample, Iterator[Numbered], PerModel | None]:
    """What the whole of a table holds, its rows, joined with what other tables say of them, and the models
    that have columns of their own: each row is then one for each."""
    path = paths[0]

    def rows(first: bool) -> Iterator[Numbered]:
        said_once = problems if first else Problems()
        found = table_rows(path, said_once, columns.get(WHOLE, ""))
        if len(paths) == 1:
            return found
        others = {p.name: list(table_rows(p, said_once, "")) for p in paths[1:]}
        return joined_rows(found, path.name, others, said_once)

    sample, read = sampled(rows)
    chosen = {} if columns.get("answer") else chosen_columns(columns, sample)
    models = per_model(sample.names, chosen, columns.get(ANSWERS, "")) if chosen else None
    if models is None:
        return sample, read, None

    def apart(found: Iterator[Numbered]) -> Iterator[Numbered]:
        return ((i, one) for i, row in found for one in models.rows(row))

    sample, read = sampled(lambda first: apart(read if first else rows(False)))
    whose = "samples" if models.samples else "models"
    problems.note(
        f"{path.name} has a column of answers for each of {len(models.columns)} {whose}: "
        f"{', '.join(models.columns)}. Each counts as an output of its own."
    )
    return sample, read, models


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


class _Table:
    """A table with its columns named."""

    def __init__(
        self, name: str, columns: dict[str, str], of_judge: frozenset[str], problems: Problems
    ) -> None:
        self._name, self._columns, self._of_judge, self._problems = name, columns, of_judge, problems
        self._is_text = plain_suffix(Path(name))[1] in (".csv", ".tsv")
        self._named = frozenset(columns.values())
        self._keyed = [(i, columns[field]) for i, field in enumerate(_KEYS) if field in columns]
        self._described = [(field, columns[field]) for field in _DESCRIBED if field in columns]
        self._items: dict[str, int] = {}
        self._samples: dict[tuple[str, ...], dict[str, dict[Any, int]]] = {}
        self._seen: set[int] = set()
        self._repeated = 0
        self._missing: Counter[str] = Counter()
        self._beside: dict[str, dict[tuple[Any, ...], list[str]]] = {}

    def close(self) -> None:
        """Say what was counted."""
        for column, values in self._telling():
            self._problems.note(
                f"Column {column} of {self._name} has the values {', '.join(values[:5])} once for every "
                "prompt, and counts as what a judge says: the rows are samples of one output. If it tells "
                f'models or benchmarks apart, say so under [columns], such as checkpoint = "{column}".'
            )
        if self._repeated:
            self._problems.note(
                f"Rows of {self._name} that repeat another one of the same id entirely: {self._repeated:,}. "
                "Each counts once."
            )
        if self._missing:
            words = ", ".join(f"{word} ({n:,})" for word, n in self._missing.items())
            self._problems.note(
                f"Answers of {self._name} that count as missing, as data frames write them so: {words}. A "
                "model that answers such a word is told apart in JSON only."
                if self._is_text
                else f"Answers of {self._name} that are a word for what is missing: {words}. They count as "
                "answers; write null where there is none."
            )

    def key(self, row: dict[str, Any]) -> tuple[str, ...]:
        """What makes a log: rows that agree on it belong together."""
        found = [""] * len(_KEYS)
        for i, column in self._keyed:
            found[i] = _text(row.get(column)).strip()
            if self._is_text and found[i] in _MISSING:
                found[i] = ""
        return tuple(found)

    def outputs(self, key: tuple[str, ...], rows: Iterator[Numbered]) -> Iterator[Row]:
        """The rows of one log."""
        answer_in, item_in, sample_in, seed_in, tokens_in = (
            self._columns.get(f, _NONE) for f in ("answer", "item", "sample", "seed", "tokens")
        )
        samples = self._samples.setdefault(key, {})
        # a row is one verdict of many: the same answer again is the same output
        long = "judge" in self._columns
        for i, row in rows:
            prompt = self._prompt(row)
            if prompt is None:
                self._problems.add(f"Row {i} of {self._name} has no prompt.")
                continue
            answers = self._answers(row.get(answer_in), i)
            if answers is None or (item_in != _NONE and sample_in == _NONE and self._is_repeated(key, row)):
                continue
            text = prompt if isinstance(prompt, str) else str(prompt)
            item = _text(row.get(item_in)) or str(self._items.setdefault(normal(text), len(self._items) + 1))
            described = {field: _text(row.get(column)) for field, column in self._described}
            for answer in answers:
                sample = _whole(row.get(sample_in)) + (answers.index(answer) if len(answers) > 1 else 0)
                if sample_in == _NONE and long:
                    sample = samples.setdefault(item, {}).setdefault(answer, len(samples[item]))
                elif sample_in == _NONE:
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

    def _prompt(self, row: dict[str, Any]) -> str | tuple[dict[str, str], ...] | None:
        """A row's prompt, with what stands in a column of its own of the task that it is about."""
        prompt, more = (
            _prompt(row.get(self._columns["prompt"])),
            row.get(self._columns.get("addition", _NONE)),
        )
        if self._is_text and isinstance(prompt, str) and prompt.strip() in _NOT_A_NUMBER:
            return None
        both = isinstance(prompt, str) and isinstance(more, str) and more.strip()
        return f"{prompt}\n\n{more}" if both else prompt

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
            missing = value.strip() in _MISSING
            self._missing.update([value.strip()] if missing else [])
            return [None if missing and self._is_text else value]
        if isinstance(value, int | float):
            return [_text(value) if not isinstance(value, bool) else str(value).lower()]
        self._problems.add(f"Row {i} of {self._name}: the answer is not a text.")
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
        judge = _text(row.get(self._columns.get("judge", _NONE))).strip()
        if judge and "verdict" in self._columns:
            status = _STATUSES.get(_text(row.get(self._columns.get("status", _NONE))), "ok")
            raw = _text(row.get(self._columns.get("raw", _NONE)))
            yield said(judge, _value(row.get(self._columns["verdict"])), raw, status)
        for column, value in row.items():
            if column in self._named or is_index(column) or not may_be_verdict(value):
                continue
            if not (self._is_text and str(value).strip() in _NOT_A_NUMBER):
                yield said(f"{judge}/{column}" if column in self._of_judge else column, _value(value))


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
