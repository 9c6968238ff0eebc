"""What is said differently of one thing (answers, verdicts, aggregate numbers) by several files, by one file,
or by an earlier import.

Nothing is settled by the order of names: a conflict is listed, and what it is about is left out until
somebody picks a rule. What an earlier import says goes on counting.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from capsafe_core.importers.log import Aggregate
from capsafe_core.mapping import spelled

EARLIER = "the import "
"""how a file is named that stands for an earlier import"""
_GROWS = 1024
"""outputs for which there is room each time that there is none"""
_WORDS = {"true": "1", "false": "0"}


def slot(cell: str, item: str, sample: int, seed: int) -> bytes:
    """Where an output stands: one answer of a checkpoint to a prompt under a condition."""
    return _digest(f"{cell}\x1f{item}\x1f{sample}\x1f{seed}", 16)


def answer_digest(answer: str | None) -> int:
    """What an answer is compared by, the same in every process."""
    return int.from_bytes(_digest(answer or "", 8), "big", signed=True)


@lru_cache(maxsize=50_000)
def verdict_digest(value: str | float | bool | None, status: str) -> int:
    """What a verdict is compared by: 1, 1.0, "1" and true are the same; it is never 0."""
    said = spelled(value) if status in ("ok", "unparsed") and value not in (None, "") else f"\0{status}"
    return int.from_bytes(_digest(_WORDS.get(said, said), 4), "big") % 0x7FFFFFFE + 1


def number_digest(value: float) -> str:
    """What an aggregate number is compared by."""
    return f"{value:.8g}"


def verdict_key(where: bytes, answer: int, by: str) -> str:
    """What a judge says of an answer at a slot."""
    return f"{where.hex()} {answer} {by}"


def number_key(checkpoint: str, benchmark: str, metric: str) -> str:
    """An aggregate number of a checkpoint."""
    return f"{checkpoint} {benchmark} {metric}"


def _digest(text: str, size: int) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=size).digest()


@dataclass
class Conflict:
    """One thing of which different things are said.

    Attributes:
        kind: answer, verdict or number.
        key: what it is about, as `slot`, `verdict_key` and `number_key` make it.
        words: what it is about.
        first, last: digests of what was read first and last.
        files: those that say something of it, in the order in which they were read; each with its digest.
    """

    kind: str
    key: str
    words: str
    first: str
    last: str
    files: list[str] = field(default_factory=list)


class Noted(NamedTuple):
    """How an answer stands to those before it.

    Attributes:
        state: "new" where this look has nothing at its slot yet, "again" where it has the same there, and
            "other" where it has another one.
        where, answer: its slot and its digest.
        place: among the answers that were noted.
    """

    state: str
    where: bytes
    answer: int
    place: int


class Conflicts:
    """Remembers what was said of each thing, in some twenty bytes for each output and judge.

    `file` is a log's name and digest everywhere, or `EARLIER` and a job.
    """

    def __init__(self) -> None:
        self._files: list[str] = []
        self._earlier = 0
        self._slots: dict[bytes, int] = {}
        self._others: dict[tuple[bytes, int], int] = {}
        self._content, self._of = array("q"), array("i")
        self._said: dict[str, tuple[array[int], array[int]]] = {}
        self._numbers: dict[str, tuple[float, int]] = {}
        self._found: dict[tuple[str, str], Conflict] = {}

    def look(self) -> Conflicts:
        """A copy for a new look, to which all that was noted so far is what earlier imports say."""
        copy = Conflicts()
        copy._files, copy._earlier = self._files[:], len(self._files)
        copy._slots, copy._others = self._slots.copy(), self._others.copy()
        copy._content, copy._of = self._content[:], self._of[:]
        copy._said = {by: (values[:], files[:]) for by, (values, files) in self._said.items()}
        copy._numbers = self._numbers.copy()
        return copy

    def answer(self, where: bytes, answer: str | None, file: str, about: tuple[str, ...]) -> Noted:
        """Note an answer to `about`, an item of a benchmark by a checkpoint."""
        here, content = self._file(file), answer_digest(answer)
        index = self._slots.get(where)
        if index is None:
            self._slots[where] = index = self._room(content, here)
            return Noted("new", where, content, index)
        is_new, same = self._of[index] < self._earlier, self._content[index] == content
        self._note("answer", where.hex(), same, self._content[index], content, [self._of[index], here], about)
        if is_new:
            self._of[index] = here
        if not same:
            index = self._others.get((where, content), -1)
            if index < 0:
                self._others[where, content] = index = self._room(content, here)
        return Noted("new" if is_new else "again" if same else "other", where, content, index)

    def verdict(self, of: Noted, by: str, value: Any, status: str, file: str, about: tuple[str, ...]) -> None:
        """Note what a judge says of an answer that was noted; people may differ, and are not compared."""
        here, known = self._file(file), self._said.get(by)
        if known is None:
            known = self._said[by] = array("i"), array("i")
        values, files = known
        if len(values) <= of.place:
            more = of.place + 1 - len(values) + _GROWS
            values.frombytes(bytes(values.itemsize * more))
            files.frombytes(bytes(files.itemsize * more))
        said, before = verdict_digest(value, status), values[of.place]
        if not before:
            values[of.place], files[of.place] = said, here
            return
        key = verdict_key(of.where, of.answer, by)
        self._note("verdict", key, before == said, before, said, [files[of.place], here], (by, *about))

    def number(self, checkpoint: str, name: str, one: Aggregate, file: str) -> None:
        """Note an aggregate number of a checkpoint, and the name that it goes by."""
        here, key = self._file(file), number_key(checkpoint, one.benchmark, one.metric)
        before, of = self._numbers.setdefault(key, (one.value, here))
        same = math.isclose(before, one.value, rel_tol=1e-7, abs_tol=1e-12)
        digests = number_digest(before), number_digest(one.value)
        about = one.metric, name, one.benchmark, f"{before:g}", f"{one.value:g}"
        self._note("number", key, same, *digests, [of, here], about)

    def listed(self) -> list[dict[str, Any]]:
        """Every conflict, as JSON values."""
        return [asdict(conflict) for conflict in self._found.values()]

    def _room(self, content: int, here: int) -> int:
        self._content.append(content)
        self._of.append(here)
        return len(self._content) - 1

    def _file(self, file: str) -> int:
        if not self._files or self._files[-1] != file:
            self._files.append(file)
        return len(self._files) - 1

    def _note(
        self,
        kind: str,
        key: str,
        same: bool,
        before: int | str,
        said: int | str,
        files: Iterable[int],
        about: tuple[str, ...],
    ) -> None:
        """Note what is said after something was said; it is a conflict once that is not the same."""
        found = self._found.get((kind, key))
        if found is None:
            if same:
                return
            found = self._found[kind, key] = Conflict(kind, key, _words(kind, about), str(before), "")
        found.last = str(said)
        names = [self._files[i] for i in files]
        found.files += [name for name in names if name not in found.files]


def _words(kind: str, about: tuple[str, ...]) -> str:
    """What a conflict is about."""
    if kind == "number":
        metric, name, benchmark, before, value = about
        return f"{metric} of {name} on {benchmark} is {before} and {value}"
    item, benchmark, checkpoint = about[-3:]
    output = f"{item!r} of {benchmark} by {checkpoint}"
    return (
        f"{output} is answered differently" if kind == "answer" else f"{about[0]} says two things of {output}"
    )
