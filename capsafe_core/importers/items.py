"""Which prompt a row is about: by the item's own name, or by the prompt's text where the name is only a place
in a file."""

from __future__ import annotations

from capsafe_core.importers.log import Log, Row, normal, prompt_text
from capsafe_core.records import digest_text

Items = dict[str, dict[str, tuple[int, str]]]
"""Benchmark (`benchmark_key`) -> item -> its position and the digest of its prompt."""


def prompt_digest(row: Row) -> str:
    """By which two prompts of one name are told apart: what the tool says of them, else their text."""
    return digest_text(f"same:{row.same}" if row.same else normal(prompt_text(row.prompt)))[:12]


class ItemNames:
    """The items of one benchmark.

    Args:
        items: item -> its position and the digest of its prompt; grows with `add`.
    """

    def __init__(self, items: dict[str, tuple[int, str]]) -> None:
        self.items = items
        self._known: dict[str, str] | None = None
        self._texts: dict[str, int] = {}

    def _by_digest(self) -> dict[str, str]:
        """Digest -> the first item of it."""
        if self._known is None:
            self._known = {}
            for item, (_, digest) in self.items.items():
                self._known.setdefault(digest, item)
        return self._known

    def name(self, row: Row, log: Log) -> str:
        """The item of a row: its own name, and with the prompt's digest where another prompt has this name
        already."""
        known = self.items.get(row.item)
        if log.named or (known is None and not log.counted):
            return row.item
        digest = prompt_digest(row)
        if log.counted and digest in self._by_digest():
            return self._by_digest()[digest]
        if known is None or known[1] == digest or known[1] in _other_digests(row):
            return row.item
        return f"{row.item} ({digest[:6]})"

    def add(self, item: str, row: Row) -> None:
        """Keep a place for an item."""
        digest = prompt_digest(row)
        self.items[item] = (len(self.items), digest)
        if self._known is not None:
            self._known.setdefault(digest, item)

    def place(self, item: str) -> int:
        """The item's position."""
        return self.items.get(item, (0, ""))[0]

    def tells(self, item: str, row: Row) -> bool:
        """Whether the item's prompt is told in this row's words, and not in another file's."""
        digest = self.items.get(item, (0, ""))[1]
        if digest != prompt_digest(row) and digest not in _other_digests(row):
            return False
        text = hash(prompt_text(row.prompt))
        return self._texts.setdefault(item, text) == text


def _other_digests(row: Row) -> tuple[str, str]:
    """Digests that imports of before kept: of the text as it stands, and without what the tool says."""
    text = prompt_text(row.prompt)
    return digest_text(text)[:12], digest_text(normal(text))[:12]
