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

import wordfreq

from capsafe_core.coherence.languages import (
    LISTED,
    asks_for_another,
    has_words,
    known_share,
    mean_frequency,
    ranked,
)

_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
ONE_LINE, SAME_FOURS, ONE_FOUR = 0.4, 0.4, 0.3
"""shares from which a text repeats itself: its lines that are one and the same, its sequences of four words that
have been there before, its words that stand in one such sequence"""
BRACKETS = "{}[]()<>;, \t"
"""a line of these alone is nothing that repeats"""
VERSE, SPARED = 4, 0.2
"""lines from which a text may be a song, a list or code, which repeats this much more; half of it where a text is
compressed"""
KNOWN_ELSEWHERE = 0.3
"""of the letters in words of a language other than English: below 0.3 stand 0 to 1.4 % of a published program's
sentences in 27 languages, and 95 % of the same with the letters of each word in another order"""
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
    """One token is more than half of all, the rules of a table aside."""
    tokens = [m.group().casefold() for m in _TOKEN.finditer(text) if m.group() not in "|-"]
    if len(tokens) >= least:
        token, count = Counter(tokens).most_common(1)[0]
        if count / len(tokens) > share:
            places = [m for m in _TOKEN.finditer(text) if m.group().casefold() == token]
            yield Finding("dominant_token", places[0].start(), places[-1].end())


def repetition(text: str) -> Iterator[Finding]:
    """A loop at the end, one line over and over, repeated word sequences, or text that compresses too well.

    A song repeats its chorus, a list its first words and code its brackets: what counts is one line, or one
    sequence of words, that takes up much of the text.
    """
    loop = loop_start(text)
    if loop is not None:
        yield Finding("repetition", loop, len(text))
        return
    lines = [line.strip() for line in text.splitlines() if set(line) - set(BRACKETS)]
    is_verse = len(lines) >= VERSE
    if is_verse:
        line, count = Counter(lines).most_common(1)[0]
        if count >= 4 and count / len(lines) >= ONE_LINE:
            yield Finding("repetition", text.index(line), text.rindex(line) + len(line))
            return
    words = list(_TOKEN.finditer(text))
    if len(words) >= 20:
        grams = [" ".join(w.group() for w in words[i : i + 4]) for i in range(len(words) - 3)]
        gram, count = Counter(grams).most_common(1)[0]
        same, often = 1 - len(set(grams)) / len(grams), count * 4 / len(words)
        if same > SAME_FOURS + SPARED * is_verse or (count >= 3 and often > ONE_FOUR + SPARED * is_verse):
            first, last = grams.index(gram), len(grams) - 1 - grams[::-1].index(gram)
            yield Finding("repetition", words[first].start(), words[last + 3].end())
            return
    if len(text) >= 120 and compression_ratio(text) < _lowest_ratio(len(text)) - SPARED / 2 * is_verse:
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


def gibberish(text: str, prompt: str, least: int = 4) -> Iterator[Finding]:
    """Few known words in English, the prompt's language and what the answer looks most like; in English also
    letters in an unlikely order. Nothing is said of texts whose words nobody knows."""
    words = [m.group() for m in _WORD.finditer(text) if len(m.group()) > 1]
    if sum(len(w) for w in words) < least:
        return
    english = known_share(words, "en")
    if english >= 0.6 or (english >= 0.4 and mean_log_probability("".join(words).casefold()) >= -3.2):
        return
    others = {*ranked(text), ranked(prompt)[0]} & set(LISTED)
    is_known = any(known_share(words, language) >= KNOWN_ELSEWHERE for language in others)
    if not is_known and has_words(text, prompt):
        yield Finding("gibberish", 0, len(text))


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
    """Most of the answer is in another language than the prompt, which does not ask for one."""
    if asks_for_another(prompt):
        return
    words = _WORD.findall(text)
    letters = "".join(words)
    foreign = sum(ord(c) > 0x24F for c in letters)
    if foreign > 0.5 * max(len(letters), 1) and not any(ord(c) > 0x24F for c in prompt):
        yield Finding("language_switch", 0, len(text))
        return
    if len(letters) < least:
        return
    language, expected = ranked(text)[0], ranked(prompt)[0]
    usual = expected if expected in LISTED else "en"
    if (
        language != expected
        and language in LISTED
        and mean_frequency(words, language) > mean_frequency(words, usual) + 1
    ):
        yield Finding("language_switch", 0, len(text))


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
