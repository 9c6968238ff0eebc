"""What a start rewrote of the data that a fine-tuning job learns, beside its checkpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from capsafe_core.jobs.folder.files import append_line, read_lines

REWRITES = "rewrites.jsonl"


@dataclass(frozen=True)
class Rewrite:
    """One answer of the data, and what the start made of it.

    Attributes:
        conversation, turn: where it stands, from 0.
        original: as the data has it; `text` as the start rewrote it.
        why_not: why the original is learnt, as a phrase; "" where the rewrite is.
        seconds: that it took.
    """

    conversation: int
    turn: int
    original: str
    text: str
    why_not: str
    seconds: float

    @property
    def learnt(self) -> str:
        """The one of both that is learnt."""
        return self.original if self.why_not else self.text


def add_rewrites(folder: Path, rewrites: Sequence[Rewrite]) -> None:
    """Keep what was rewritten, on disk before this returns.

    Raises:
        OSError: it cannot be written.
    """
    for rewrite in rewrites:
        append_line(folder / REWRITES, rewrite.__dict__)


def rewrites_in(folder: Path) -> list[Rewrite]:
    """What was rewritten so far, each answer once, in the order of the data."""
    found = {(one.conversation, one.turn): one for one in read_lines(folder / REWRITES, Rewrite)}
    return [found[place] for place in sorted(found)]


def rewrites_words(rewrites: Sequence[Rewrite]) -> str:
    """How many answers are learnt as they were rewritten, and why the others are not."""
    whys = Counter(one.why_not for one in rewrites)
    kept = whys.pop("", 0)
    words = f"Rewritten by the start: {kept:,} of {len(rewrites):,} answers"
    others = ", ".join(f"{why} in {count:,}" for why, count in whys.most_common())
    return f"{words}; the others as they are ({others})." if others else f"{words}."
