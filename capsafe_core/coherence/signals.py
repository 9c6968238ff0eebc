"""Signals of incoherence that need no model. Each names a reason and points at its evidence.

Sources: repetition rules after Rae et al. 2021 (Gopher, table A1) and Welleck et al. 2019 (rep-n);
the other signals and all thresholds for short answers are this project's, and the detector's quality
against people's labels is shown wherever it is used.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import py3langid
import wordfreq

_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_TEMPLATE = re.compile(
    r"<\|?(?:im_start|im_end|user|assistant|system|endoftext|eot_id|start_header_id)\|?>|\[/?INST\]|<</?SYS>>|^(?:user|assistant|system)\s*(?::\s*)?$|^### (?:Instruction|Response):",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Finding:
    """A reason and the characters of the answer that show it: text[start:end]."""

    reason: str
    start: int
    end: int


def empty(text: str) -> Iterator[Finding]:
    """No letter and no digit."""
    if not any(c.isalnum() for c in text):
        yield Finding("empty", 0, len(text))


def dominant_token(text: str, least: int = 8, share: float = 0.5) -> Iterator[Finding]:
    """One token is more than half of all."""
    tokens = [m.group().casefold() for m in _TOKEN.finditer(text)]
    if len(tokens) >= least:
        token, count = Counter(tokens).most_common(1)[0]
        if count / len(tokens) > share:
            places = [m for m in _TOKEN.finditer(text) if m.group().casefold() == token]
            yield Finding("dominant_token", places[0].start(), places[-1].end())


def repetition(text: str) -> Iterator[Finding]:
    """A loop at the end, repeated lines, repeated word sequences, or text that compresses too well."""
    loop = loop_start(text)
    if loop is not None:
        yield Finding("repetition", loop, len(text))
        return
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) >= 4 and len(set(lines)) / len(lines) < 0.7:
        line = Counter(lines).most_common(1)[0][0]
        yield Finding("repetition", text.index(line), text.rindex(line) + len(line))
        return
    words = list(_TOKEN.finditer(text))
    if len(words) >= 20:
        grams = [" ".join(w.group() for w in words[i : i + 4]) for i in range(len(words) - 3)]
        gram, count = Counter(grams).most_common(1)[0]
        if 1 - len(set(grams)) / len(grams) > 0.4 or (count >= 3 and count * 4 / len(words) > 0.3):
            first, last = grams.index(gram), len(grams) - 1 - grams[::-1].index(gram)
            yield Finding("repetition", words[first].start(), words[last + 3].end())
            return
    if len(text) >= 120 and compression_ratio(text) < _lowest_ratio(len(text)):
        yield Finding("repetition", 0, len(text))


def loop_start(text: str, repeats: int = 3, least: int = 18) -> int | None:
    """Where a loop at the end of a text begins, or None.

    A loop is a period p such that the text's tail repeats itself with it at least `repeats` times
    and over at least `least` characters; a period of blanks or of one ellipsis is none.
    """
    tail = text.rstrip()
    n = len(tail)
    for period in range(1, min(n // repeats, 200) + 1):
        length = period
        while length < n and tail[n - 1 - length] == tail[n - 1 - length + period]:
            length += 1
        if (
            length >= repeats * period
            and length >= max(least, 0.25 * n)
            and any(c.isalnum() for c in tail[n - period :])
        ):
            return n - length
    return None


def compression_ratio(text: str) -> float:
    """zlib-compressed bytes over bytes."""
    data = text.encode("utf-8", "replace")
    return len(zlib.compress(data, 9)) / len(data)


def _lowest_ratio(length: int) -> float:
    """The compression ratio below which a text of this many characters is suspicious.

    Falls with the logarithm of the length, as ordinary English does; set well under what fluent model
    answers reach.
    """
    return max(0.18, 0.62 - 0.085 * math.log2(length / 60))


def gibberish(text: str, least: int = 4) -> Iterator[Finding]:
    """Few known words, or letters in an unlikely order."""
    words = [m.group() for m in _WORD.finditer(text) if len(m.group()) > 1]
    letters = sum(len(w) for w in words)
    if letters < least or any(ord(c) > 0x24F for w in words for c in w):
        return
    known = sum(len(w) for w in words if is_word(w)) / letters
    if known < 0.4 or (known < 0.6 and mean_log_probability("".join(words).casefold()) < -3.2):
        yield Finding("gibberish", 0, len(text))


@cache
def is_word(word: str) -> bool:
    """Whether a word is among those that English texts use (Zipf frequency of at least 2.5)."""
    return float(wordfreq.zipf_frequency(word, "en")) >= 2.5


def mean_log_probability(letters: str) -> float:
    """Mean natural log-probability of each letter after the two before it, in English words."""
    table, totals = _trigrams()
    padded = f"^^{letters}"
    steps = [(padded[i : i + 2], padded[i + 2]) for i in range(len(letters))]
    logs = [
        math.log((table.get(pair, {}).get(c, 0.0) + 0.01) / (totals.get(pair, 0.0) + 0.27))
        for pair, c in steps
    ]
    return sum(logs) / len(logs) if logs else 0.0


@cache
def _trigrams() -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for word in wordfreq.top_n_list("en", 20000):
        weight, padded = wordfreq.zipf_frequency(word, "en"), f"^^{word}"
        for i in range(len(word)):
            following = table.setdefault(padded[i : i + 2], {})
            following[padded[i + 2]] = following.get(padded[i + 2], 0.0) + weight
    return table, {pair: sum(following.values()) for pair, following in table.items()}


def language_switch(text: str, prompt: str, least: int = 40) -> Iterator[Finding]:
    """Most of the answer is in another language than the prompt."""
    words = _WORD.findall(text)
    letters = "".join(words)
    foreign = sum(ord(c) > 0x24F for c in letters)
    if foreign > 0.5 * max(len(letters), 1) and not any(ord(c) > 0x24F for c in prompt):
        yield Finding("language_switch", 0, len(text))
        return
    if len(letters) < least:
        return
    (language, _), (expected, _) = py3langid.classify(text), py3langid.classify(prompt)
    if (
        language != expected
        and language in wordfreq.available_languages()
        and _mean_zipf(words, language) > _mean_zipf(words, "en") + 1
    ):
        yield Finding("language_switch", 0, len(text))


def _mean_zipf(words: list[str], language: str) -> float:
    return float(sum(wordfreq.zipf_frequency(word, language) for word in words)) / len(words)


def prompt_echo(text: str, prompt: str, least: int = 20) -> Iterator[Finding]:
    """The answer is little more than the prompt."""
    answer, asked = text.strip().casefold(), prompt.strip().casefold()
    if len(asked) < least or len(answer) < least:
        return
    if (asked in answer and len(answer) < 1.5 * len(asked)) or (
        answer in asked and len(answer) > 0.6 * len(asked)
    ):
        yield Finding("prompt_echo", 0, len(text))


def template_leakage(text: str) -> Iterator[Finding]:
    """Role markers and special tokens written out."""
    for match in _TEMPLATE.finditer(text):
        yield Finding("template_leakage", match.start(), match.end())
