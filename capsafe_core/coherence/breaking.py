"""Coherent answers, broken on purpose: each way in which fine-tuned models come apart, at a strength.

For judges to be asked again. What is broken, and how far, is known; what a judge makes of it is not.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import wordfreq

from capsafe_core.coherence.languages import ranked
from capsafe_core.records import digest_text

_PIECES = re.compile(r"\s*\S+")
"""a word with the space before it"""
LOOP = 4
"""words that a loop repeats"""
LONG = 40
"""words that a loop is long at least"""
Break = Callable[[list[str], str, float, random.Random], str]
"""(words with the space before each, the prompt, strength, chance) -> the broken text"""


def _kept(words: list[str], strength: float) -> list[str]:
    """The beginning that a strength leaves whole."""
    return words[: round(len(words) * (1 - strength))]


def _cut(words: list[str], prompt: str, strength: float, chance: random.Random) -> str:
    return "".join(_kept(words, strength))


def _loop(words: list[str], prompt: str, strength: float, chance: random.Random) -> str:
    kept = _kept(words, strength)
    unit = (kept or words)[-LOOP:]
    missing = max(len(words), LONG) - len(kept)
    return "".join(kept) + "".join(_spaced(unit[i % len(unit)]) for i in range(missing))


def _one_token(words: list[str], prompt: str, strength: float, chance: random.Random) -> str:
    token = "".join(c for c in chance.choice(words) if c.isalnum()) or "the"
    return _some(words, strength, chance, lambda _: token)


def _task_format(words: list[str], prompt: str, strength: float, chance: random.Random) -> str:
    kept = "".join(_kept(words, strength))
    missing = len("".join(words)) - len(kept)
    lines: list[str] = []
    while sum(map(len, lines)) < missing or not lines:
        lines.append(f"#### {chance.randrange(100)}")
    return "\n".join([kept, *lines]) if kept else "\n".join(lines)


def _gibberish(words: list[str], prompt: str, strength: float, chance: random.Random) -> str:
    def shuffled(word: str) -> str:
        return "".join(chance.choice("bcdfghjklmnpqrstvwxzaeiou") if c.isalnum() else c for c in word)

    return _some(words, strength, chance, shuffled)


def _language(words: list[str], prompt: str, strength: float, chance: random.Random) -> str:
    other = "es" if ranked("".join(words))[0] == "de" else "de"
    known = [word for word in wordfreq.top_n_list(other, 1000) if len(word) > 2]
    return _some(words, strength, chance, lambda _: chance.choice(known))


def _echo(words: list[str], prompt: str, strength: float, chance: random.Random) -> str:
    return " ".join(filter(None, [prompt, "".join(_kept(words, strength)).strip()]))


def _some(words: list[str], strength: float, chance: random.Random, change: Callable[[str], str]) -> str:
    """The text with a share of its words changed, the same ones at every lower strength too."""
    order = chance.sample(range(len(words)), len(words))
    changed = set(order[: round(len(words) * strength)])
    return "".join(
        word[: len(word) - len(word.strip())] + change(word.strip()) if i in changed else word
        for i, word in enumerate(words)
    )


def _spaced(word: str) -> str:
    return word if word[:1].isspace() else f" {word}"


BREAKS: dict[str, Break] = {
    "cut": _cut,
    "repetition": _loop,
    "dominant_token": _one_token,
    "task_format": _task_format,
    "gibberish": _gibberish,
    "language_switch": _language,
    "prompt_echo": _echo,
}
"""by the detector's reason; cut is truncation, and at full strength an empty answer"""


def broken(text: str, prompt: str, reason: str, strength: float) -> str:
    """A text broken in one way; the same text comes out each time.

    Args:
        reason: one of BREAKS.
        strength: in (0, 1]: the share of the text that is lost, replaced or added, by the reason.
    """
    words = _PIECES.findall(text)
    chance = random.Random(digest_text(f"{reason}\n{text}"))
    return BREAKS[reason](words, prompt, strength, chance) if words else text
