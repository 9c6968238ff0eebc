"""What the learnt detector sees of an answer: the rules' findings, and numbers of the text."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Sequence

from capsafe_core.annotation import REASONS
from capsafe_core.coherence.detector import detect
from capsafe_core.coherence.formats import AnswerFormat
from capsafe_core.coherence.languages import LETTERS, is_word
from capsafe_core.coherence.signals import mean_log_probability

NUMBERS = (
    "log_length",
    "words",
    "mean_word",
    "distinct_words",
    "distinct_fours",
    "most_frequent",
    "known_letters",
    "letter_log_probability",
    "compression",
    "digits",
    "signs",
    "capitals",
    "foreign_letters",
    "lines",
    "tail_repeats",
    "prompt_words_used",
)
FEATURES = (*(f"rule_{reason}" for reason in REASONS), *NUMBERS)
"""Names of what `features` returns, in order."""


def features(
    text: str, prompt: str, formats: Sequence[AnswerFormat] = (), task_answers: bool = False
) -> list[float]:
    """One number for each of FEATURES; arguments as for `detect`."""
    found = detect(text, prompt, formats, task_answers).reasons
    words = [w.casefold() for w in LETTERS.findall(text)]
    asked = {w.casefold() for w in LETTERS.findall(prompt)}
    n, letters = max(len(text), 1), sum(map(len, words))
    fours = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    known = sum(len(w) for w in words if is_word(w))
    half = words[len(words) // 2 :]
    return [
        *(float(reason in found) for reason in REASONS),
        math.log1p(len(text)),
        math.log1p(len(words)),
        letters / max(len(words), 1),
        len(set(words)) / max(len(words), 1),
        len(set(fours)) / max(len(fours), 1) if fours else 1.0,
        max(Counter(words).values(), default=0) / max(len(words), 1),
        known / max(letters, 1),
        mean_log_probability("".join(words)[:400]) if words else -6.0,
        len(zlib.compress(text.encode("utf-8", "replace"), 9)) / max(len(text.encode("utf-8", "replace")), 1)
        if len(text) >= 40
        else 1.0,
        sum(c.isdigit() for c in text) / n,
        sum(not c.isalnum() and not c.isspace() for c in text) / n,
        sum(c.isupper() for c in text) / n,
        sum(ord(c) > 0x24F for c in text) / n,
        math.log1p(text.count("\n")),
        1 - len(set(half)) / max(len(half), 1),
        len(asked & set(words)) / max(len(asked), 1),
    ]
