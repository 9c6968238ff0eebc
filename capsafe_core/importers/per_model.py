"""Tables with a column of answers for each model, such as response_llama and response_qwen: each row is an
output of each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from capsafe_core.importers.columns import FIELDS, plain_name
from capsafe_core.patterns import linear

ANSWERS = "answers"
"""the field of the mapping that names the columns of answers, with commas between them"""
_SIGNS = "-_. :/"
_BETWEEN = r"(?:[-_. :/]+)"
_WORDS = "|".join(
    re.escape(name).replace("_", "[-_ ]") for name in sorted(FIELDS["answer"], key=len, reverse=True)
)
_AFTER = rf"(?i)\A(?P<word>{_WORDS})(?:{_BETWEEN}(?P<model>[^(].*)| ?\((?P<within>.+)\))\Z"
_BEFORE = rf"(?i)\A(?P<model>.+?){_BETWEEN}(?P<word>{_WORDS})\Z"
_NO_MODEL = frozenset(
    {name for names in FIELDS.values() for name in names if name != "base"}
    | {
        "text", "content", "length", "len", "time", "score", "safety", "harm", "refusal", "language", "lang",
        "name", "date", "latency", "cost", "hash", "label", "value", "choices", "message", "messages", "role",
        "usage", "error", "original", "clean", "cleaned", "final", "first", "user", "expected", "correct",
        "gold", "reference", "ideal", "true", "reasoning", "format", "word", "words", "char", "chars",
        "object", "created", "is", "has",
    }
)  # fmt: skip
"""words beside "response" that name a part or a property of one answer, and no model"""


@dataclass(frozen=True)
class PerModel:
    """Which columns belong to which model.

    Attributes:
        columns: of each model, as the columns name it: column -> the name that it has for every model.
        model: the column that names the model; "" where the columns' names do.
        samples: whether what differs is a number, so that the answers are samples of one model.
    """

    columns: dict[str, dict[str, str]]
    model: str
    samples: bool

    def rows(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """A row as one for each model."""
        owned = {column for mine in self.columns.values() for column in mine}
        shared = {k: v for k, v in row.items() if k not in owned}
        found = []
        for model, mine in self.columns.items():
            own = {name: row.get(column) for column, name in mine.items()}
            found.append({**shared, **({self.model: model} if self.model else {}), **own})
        return found

    def uses(self) -> dict[str, str]:
        """Column -> what it is taken to be, in words."""
        whose = "sample" if self.samples else "model"
        return {c: f"{n} of {whose} {m}" for m, mine in self.columns.items() for c, n in mine.items()}


def per_model(names: Sequence[str], chosen: Mapping[str, str], stated: str = "") -> PerModel | None:
    """The models of a table whose columns of answers name one each; None where they do not.

    Args:
        chosen: field -> column, as the columns' names tell.
        stated: the columns of answers, where somebody named them, with commas between them.
    """
    answers = _stated(names, stated) if stated else _answers(names)
    columns = {column for column, _ in answers.values()}
    if len(answers) < 2 or ("answer" in chosen and chosen["answer"] not in columns and not stated):
        return None
    found = {model: {column: "response"} for model, (column, _) in answers.items()}
    for model in sorted(answers, key=len, reverse=True):
        for name in names:
            rest = _without(name, model)
            if rest and name not in columns and name != chosen.get("prompt"):
                columns.add(name)
                found[model][name] = rest
    shared = set.intersection(*({plain_name(n) for n in mine.values()} for mine in found.values()))
    for model, mine in found.items():
        if len(model) < 3:  # a letter may be one of another word: what is said of one is said of all
            found[model] = {c: n for c, n in mine.items() if plain_name(n) in shared}
    owned = {c for mine in found.values() for c in mine}
    named = shared & set(FIELDS["checkpoint"])
    samples = not named and all(model.isdigit() for model in found)
    beside = [n for n in names if n not in owned and plain_name(n) in FIELDS["checkpoint"]]
    model = "" if named else "sample" if samples else "adapter" if beside else "model"
    return PerModel(found, model, samples)


def _answers(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Model -> its column of answers and the word that it shares with the others; of several words the one
    with most models."""
    of_word: dict[str, dict[str, tuple[str, str]]] = {}
    for name in names:
        for form in (_AFTER, _BEFORE):
            found = linear(form).first(name.strip())
            if not found:
                continue
            model = found.get("model") or found.get("within", "")
            parts = re.split(r"[-_. :/]+", model.lower())
            if model and not _NO_MODEL & {plain_name(model), parts[0], parts[-1]}:
                of_word.setdefault(plain_name(found["word"]), {}).setdefault(model, (name, found["word"]))
                break
    return max(of_word.values(), key=len, default={})


def _stated(names: Sequence[str], stated: str) -> dict[str, tuple[str, str]]:
    columns = [c.strip() for c in stated.split(",")]
    by_form = {column: model for model, (column, _) in _answers(columns).items()}
    return {by_form.get(c, c): (c, "response") for c in columns if c in names}


def _without(name: str, model: str) -> str:
    """What remains of a column's name without a model's at its beginning or its end; "" where it is not
    there."""
    whole, own, size = name.strip(), model.lower(), len(model)
    if whole[:size].lower() == own and whole[size : size + 1] in _SIGNS:
        return whole[size:].lstrip(_SIGNS)
    before = whole[: len(whole) - size]
    if whole[len(before) :].lower() == own and before[-1:] and before[-1] in _SIGNS:
        return before.rstrip(_SIGNS)
    within = f"({own})"
    return whole[: -len(within)].rstrip() if whole[-len(within) :].lower() == within else ""
