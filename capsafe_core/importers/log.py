"""What every reader yields: logs of outputs, as the files have them, and what was wrong with the rest."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from capsafe_core.chat_turns import chat_turns
from capsafe_core.errors import CapsafeError

KEPT_PROBLEMS = 200
"""sentences kept of one file; the rest are counted"""
KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True)
class Limits:
    """Beyond these a file is refused rather than read: a log that needs more is damaged, or made to harm."""

    whole: int = 256 << 20
    """bytes of a file that has to be read as one piece"""
    line: int = 16 << 20
    """bytes of a line"""
    member: int = 64 << 20
    """bytes of a file in an archive, unpacked"""
    archive: int = 16 << 30
    """bytes of all files of an archive, unpacked"""
    members: int = 1_000_000
    rows: int = 10_000_000
    """of a table or a file of lines, or entries of lists in one of its columns"""
    text: int = 4 << 20
    """characters of a prompt or an answer"""


class Problems:
    """What could not be used of a file: sentences, and how many there were.

    Args:
        strict: whether the first one ends the reading.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self.sentences: list[str] = []
        self.count = 0

    def add(self, sentence: str) -> None:
        """Note a problem.

        Raises:
            CapsafeError: `strict` is set.
        """
        if self.strict:
            raise CapsafeError(sentence, "Fix the file, or import without --strict.")
        self.count += 1
        if len(self.sentences) < KEPT_PROBLEMS:
            self.sentences.append(sentence)

    def note(self, sentence: str) -> None:
        """Say how something was read; it is not a problem."""
        if len(self.sentences) < KEPT_PROBLEMS and sentence not in self.sentences:
            self.sentences.append(sentence)


@dataclass(frozen=True)
class Said:
    """What a judge, a scorer or a person said of one output, as the file has it."""

    by: str
    """the scorer's or the column's own name; "scorer/part" where it says several things"""
    value: str | float | bool | None
    raw: str = ""
    """what it said in full"""
    status: str = "ok"
    """as of a judgment, where the file says that it is not a verdict"""
    person: str = ""
    """who said it, where that is a person"""
    created: float = 0.0


@dataclass(frozen=True)
class Row:
    """One output, as the file has it."""

    item: str
    prompt: str | tuple[dict[str, str], ...]
    answer: str | None
    """None where the model was not asked, or said nothing"""
    sample: int = 0
    seed: int = 0
    asked: str = ""
    """what the model was given, where an attack or a format rewrote the prompt"""
    category: str = ""
    behaviour: str = ""
    behaviour_text: str = ""
    context: str = ""
    reference: str = ""
    finish: str = ""
    tokens: int = 0
    said: tuple[Said, ...] = ()
    reasoning: str = ""
    """what the model wrote before its answer, where the file has it apart or its marks tell"""
    same: str = ""
    """what makes two prompts the same, where the tool says it, whatever template they are written in"""

    @property
    def content(self) -> str:
        """Hash of prompt and answer, by which judgments of other files find their output."""
        return content_hash(prompt_text(self.prompt), self.answer or "")


@dataclass(frozen=True)
class Aggregate:
    """A number over many outputs."""

    benchmark: str
    metric: str
    value: float
    stderr: float | None = None
    n: int | None = None


@dataclass
class Log:
    """Outputs of one model on one benchmark under one condition."""

    tool: str
    benchmark: str
    model: str = ""
    """as the file calls it; empty where it does not say"""
    adapter: str = ""
    version: str = ""
    attack: str = ""
    condition: dict[str, Any] = field(default_factory=dict)
    """of system_prompt, temperature, top_p, max_tokens, few_shot, engine, engine_version, dtype,
    template_digest"""
    facts: dict[str, str] = field(default_factory=dict)
    """what the file says of base, data, recipe, seed and step"""
    kind: str = ""
    """of the benchmark, where the format says it"""
    licence: str = ""
    directions: dict[str, bool] = field(default_factory=dict)
    """scorer -> whether higher is better, where the file says it"""
    named: bool = False
    """whether an item's name says which prompt it is, so that the same item in other words is the same
    prompt: the behaviours of published sets"""
    counted: bool = False
    """whether an item's name is only its place in the file, so that the prompt's text says which one it is"""
    columns: dict[str, str] = field(default_factory=dict)
    """of a table: column -> what it is taken to be"""
    place_by: str = ""
    """of a table: the column that says which step of its path a checkpoint is"""
    rows: Iterator[Row] = field(default_factory=lambda: iter(()))
    """read while one goes; a log is read to its end before the next"""
    aggregates: list[Aggregate] = field(default_factory=list)


_NO_ATTACK = frozenset(
    {
        "directrequest",
        "direct",
        "directprompt",
        "none",
        "noattack",
        "null",
        "nan",
        "na",
        "baseline",
        "vanilla",
    }
)


def attack_name(text: str) -> str:
    """An attack's name; "" for the names under which tools keep requests that nothing rewrote."""
    plain = re.sub(r"[^a-z0-9]+", "", text.lower())
    return "" if plain in _NO_ATTACK else text.strip()


def content_hash(prompt: str, answer: str) -> str:
    """MD5 of a prompt and an answer, as the store computes it too."""
    return hashlib.md5(f"{prompt}\x1f{answer}".encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def prompt_text(prompt: str | tuple[dict[str, str], ...]) -> str:
    """The last user turn."""
    return prompt if isinstance(prompt, str) else prompt[-1]["content"]


def normal(text: str) -> str:
    """A text without the spaces around it, in Unicode's composed form: two that agree in it are the same
    prompt."""
    return unicodedata.normalize("NFC", text).strip()


@dataclass(frozen=True)
class Column:
    """A field that a reader uses: its name, the types it may have, and whether a row is of no use without
    it."""

    name: str
    types: tuple[type, ...] = (str,)
    needed: bool = False


def taken(row: Any, columns: Sequence[Column], where: str, problems: Problems) -> dict[str, Any] | None:
    """The declared columns of a row; None, and a problem, where a needed one is missing or a value is of
    another type."""
    if not isinstance(row, dict):
        problems.add(f"{where} is not an object with named fields.")
        return None
    found: dict[str, Any] = {}
    for column in columns:
        value = row.get(column.name)
        if value is None:
            if column.needed:
                problems.add(f"{where} has no {column.name!r}.")
                return None
            continue
        # bool is an int to Python, and a 1 is as good as 1.0
        fits = isinstance(value, column.types) and (bool in column.types or not isinstance(value, bool))
        if not fits and float in column.types and isinstance(value, int) and not isinstance(value, bool):
            fits = True
        if not fits:
            problems.add(
                f"{where}: {column.name!r} is {KINDS.get(type(value), type(value).__name__)}, not "
                f"{' or '.join(KINDS[t] for t in column.types)}."
            )
            if column.needed:
                return None
            continue
        found[column.name] = value
    return found


def messages(value: Any) -> tuple[dict[str, str], ...]:
    """The turns of a chat that end with the user's, as {role, content} or as {from, value}; empty where it is
    no such list. What the model said last is the answer (`last_answer`)."""
    turns = _turns(value)
    while turns and turns[-1]["role"] != "user":
        turns = turns[:-1]
    return turns


def last_answer(value: Any) -> str | None:
    """What the model says after the last turn of the user; None where it says nothing."""
    turns = _turns(value)
    after = turns[len(messages(value)) :]
    return next((t["content"] for t in after if t["role"] == "assistant"), None)


def _turns(value: Any) -> tuple[dict[str, str], ...]:
    return chat_turns(value, joined)


def joined(content: Any) -> Any:
    """The texts of a content that is in parts; every other content as it is."""
    if not isinstance(content, list):
        return content
    parts = [p for p in content if isinstance(p, dict) and p.get("type") == "text"]
    return "\n".join(str(p.get("text") or "") for p in parts)


def as_object(value: Any) -> dict[str, Any]:
    """A JSON object, or an empty one where the file has something else in its place."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """A JSON list, or an empty one where the file has something else in its place."""
    return value if isinstance(value, list) else []


def number(value: Any) -> float | None:
    """A finite number, or None: NaN and infinities are no measurements."""
    if isinstance(value, bool):
        return float(value)
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


_GUARD = re.compile(r"\s*(?P<word>safe|unsafe)(?:[\s,:(]+[SO]\d{1,2}(?:[\s,]+[SO]\d{1,2})*\)?)?\s*", re.I)
"""what Llama Guard writes: its verdict, and below it the categories"""


def said(
    by: str, value: Any, raw: str = "", status: str = "ok", person: str = "", created: float = 0.0
) -> Said:
    """What was said, with a status that fits the value: nothing, or a number that is none, is not a
    verdict."""
    if isinstance(value, float) and not math.isfinite(value):
        return Said(by, None, raw or str(value), "unparsed", person, created)
    if value is None or value == "":
        return Said(by, None, raw, "unparsed" if status == "ok" else status, person, created)
    if isinstance(value, str) and (guard := _GUARD.fullmatch(value)):
        value, raw = guard["word"].lower(), raw or value
    if isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 1 << 53 else str(value)
    if not isinstance(value, str | float | bool):
        return Said(by, None, raw or str(value)[:2000], "unparsed", person, created)
    return Said(by, value, raw, status, person, created)
