"""What several files say of one thing, and differently: answers, verdicts and aggregate numbers.

Nothing is settled by the order of names: a conflict is listed, and what it is about is left out until
somebody picks a rule.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from dataclasses import asdict, dataclass
from typing import Any

from capsafe_core.importers.log import Aggregate, Said


def slot(cell: str, item: str, sample: int, seed: int) -> bytes:
    """Where an output stands: one answer of a checkpoint to a prompt under a condition."""
    text = f"{cell}\x1f{item}\x1f{sample}\x1f{seed}".encode("utf-8", "replace")
    return hashlib.blake2b(text, digest_size=16).digest()


def verdict_key(where: bytes, by: str) -> str:
    """What a judge says of the output at a slot."""
    return f"{where.hex()} {by}"


def number_key(checkpoint: str, one: Aggregate) -> str:
    """An aggregate number of a checkpoint."""
    return f"{checkpoint} {one.benchmark} {one.metric}"


@dataclass(frozen=True)
class Conflict:
    """One thing of which files say different things.

    Attributes:
        kind: answer, verdict or number.
        key: what it is about, as `slot`, `verdict_key` and `number_key` make it.
        files: those that say something of it, in the order in which they were read; each with its digest.
        words: what it is about, and what they say.
    """

    kind: str
    key: str
    files: tuple[str, ...]
    words: str


EARLIER = "the import "
"""how a file is named that stands for an earlier import"""
Before = dict[bytes, tuple[int, str]]
"""Slot -> the hash of the answer that an earlier import has there, and its job."""
_GROWS = 1024
"""outputs for which there is room each time that there is none"""


def _words(about: tuple[str, ...]) -> str:
    """An item, its benchmark and its checkpoint."""
    item, benchmark, checkpoint = about
    return f"{item!r} of {benchmark} by {checkpoint}"


class Conflicts:
    """Remembers what was said of each thing, in some twenty bytes for each output and judge.

    `file` is a log's name and digest everywhere.
    """

    def __init__(self) -> None:
        self._files: list[str] = []
        self._slots: dict[bytes, int] = {}
        self._content, self._of = array("q"), array("i")
        self._said: dict[str, tuple[array[int], array[int]]] = {}
        self._numbers: dict[str, tuple[float, int]] = {}
        self._found: dict[tuple[str, str], tuple[list[int], str]] = {}

    def answer(self, where: bytes, answer: str, file: str, about: tuple[str, ...]) -> str:
        """Note an answer.

        Returns:
            "new"; "again" where the same answer stands at its slot already; "other" where this file has
            another one there, and "conflict" where another file has.
        """
        here, content = self._file(file), hash(answer)
        index = self._slots.get(where)
        if index is None:
            self._slots[where] = len(self._content)
            self._content.append(content)
            self._of.append(here)
            return "new"
        if self._content[index] == content:
            return "again"
        if self._of[index] == here:
            return "other"
        self._note("answer", where.hex(), [self._of[index], here], f"{_words(about)} is answered differently")
        return "conflict"

    def earlier(self, where: bytes, job: str, file: str, about: tuple[str, ...]) -> None:
        """Note an answer that an earlier import has otherwise."""
        self._note(
            "answer",
            where.hex(),
            [self._file(f"{EARLIER}{job} before"), self._file(file)],
            f"{_words(about)} is answered differently",
        )

    def verdict(self, where: bytes, one: Said, file: str, about: tuple[str, ...]) -> None:
        """Note what a judge says of an output that was noted; people may differ, and are not compared."""
        index, here = self._slots[where], self._file(file)
        known = self._said.get(one.by)
        if known is None:
            known = self._said[one.by] = array("i"), array("i")
        values, files = known
        if len(values) <= index:
            more = index + 1 - len(values) + _GROWS
            values.frombytes(bytes(values.itemsize * more))
            files.frombytes(bytes(files.itemsize * more))
        plain = one.value.strip().lower() if isinstance(one.value, str) else one.value
        value = hash((plain, one.status)) % 0x7FFFFFFE + 1
        if not values[index]:
            values[index], files[index] = value, here
        elif values[index] != value:
            key = verdict_key(where, one.by)
            words = f"{one.by} says two things of {_words(about)}"
            self._note("verdict", key, [files[index], here], words)

    def number(self, checkpoint: str, name: str, one: Aggregate, file: str) -> None:
        """Note an aggregate number."""
        key, here = number_key(checkpoint, one), self._file(file)
        before = self._numbers.setdefault(key, (one.value, here))
        if not math.isclose(before[0], one.value, rel_tol=1e-9, abs_tol=1e-12):
            words = f"{one.metric} of {name} on {one.benchmark} is {before[0]:g} and {one.value:g}"
            self._note("number", key, [before[1], here], words)

    def listed(self) -> list[dict[str, Any]]:
        """Every conflict, as JSON values."""
        return [
            asdict(Conflict(kind, key, tuple(self._files[i] for i in files), words))
            for (kind, key), (files, words) in self._found.items()
        ]

    def _file(self, file: str) -> int:
        if not self._files or self._files[-1] != file:
            self._files.append(file)
        return len(self._files) - 1

    def _note(self, kind: str, key: str, files: list[int], words: str) -> None:
        known, _ = self._found.setdefault((kind, key), ([], words))
        known += [i for i in files if i not in known]
