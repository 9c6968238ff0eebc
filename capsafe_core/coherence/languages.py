"""Which language a text is in, and whether its words are words of it.

Words are looked up in the lists of wordfreq, for languages that it needs no tokenizer for; languages are told
apart by py3langid. Where neither helps (`LISTED` does not have the language, or its script has no spaces
between words), nothing is said about words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache

import langcodes
import py3langid
import wordfreq

_NEED_A_TOKENIZER = {"ja", "ko", "zh"}
_ALSO = {"no": "nb", "nn": "nb", "hr": "sh", "sr": "sh", "bs": "sh", "tl": "fil"}
"""py3langid's code of a language -> wordfreq's"""
LISTED = tuple(sorted(set(wordfreq.available_languages()) - _NEED_A_TOKENIZER))
"""The languages whose words are known."""
LETTERS = re.compile(r"[^\W\d_]+")
"""A run of letters."""
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7af"
    r"\U00020000-\U0003ffff]"
)
_LEAST_FREQUENCY = 2.5
"""Zipf frequency from which a word counts as one: about one in three million words"""
_GUESSES = 3
_KEPT = 4096
"""texts of which it is remembered what was found, as every checkpoint answers the same prompts"""
_TRANSLATES = re.compile(r"\b(?:translat|interpret)|\bhow (?:do|would|can) (?:you|i|we) say\b", re.IGNORECASE)


@lru_cache(_KEPT)
def ranked(text: str) -> tuple[str, ...]:
    """The three likeliest languages of a text, the likeliest first, as wordfreq names them where it knows
    them."""
    return tuple(_ALSO.get(str(code), str(code)) for code, _ in py3langid.rank(text)[:_GUESSES])


def is_unspaced(text: str) -> bool:
    """Whether much of a text is in a script without spaces between words, as Chinese, Japanese or Thai; in
    Korean too, of which no words are known here."""
    letters = sum(len(word) for word in LETTERS.findall(text))
    return len(_UNSPACED.findall(text)) > 0.3 * max(letters, 1)


def has_words(text: str, prompt: str) -> bool:
    """Whether anything can be said of the words of an answer: False where its script has no spaces, or it is
    in the prompt's language and that has no list."""
    language = ranked(text)[0]
    return not is_unspaced(text) and (language in LISTED or language != ranked(prompt)[0])


def known_share(words: Sequence[str], language: str) -> float:
    """The share of letters that stand in words of a language; 0 where there are none."""
    letters = sum(map(len, words))
    return sum(len(w) for w in words if is_word(w, language)) / letters if letters else 0.0


@cache
def is_word(word: str, language: str = "en") -> bool:
    """Whether a word is among those that texts of a language use."""
    return float(wordfreq.zipf_frequency(word, language)) >= _LEAST_FREQUENCY


def mean_frequency(words: Sequence[str], language: str) -> float:
    """Mean Zipf frequency of words in a language."""
    return float(sum(wordfreq.zipf_frequency(word, language) for word in words)) / len(words)


@lru_cache(_KEPT)
def asks_for_another(prompt: str) -> bool:
    """Whether a prompt asks for a translation or names a language, so that the answer may be in any."""
    if _TRANSLATES.search(prompt):
        return True
    return any(
        word.startswith(name) or (len(word) <= len(name) and word.startswith(stem))
        for word in map(str.casefold, LETTERS.findall(prompt))
        for name, stem in _names().get(word[0], ())
    )


@cache
def _names() -> dict[str, list[tuple[str, str]]]:
    """The names of languages in every language by their first letter: whole, and without what inflection may
    change at the end. Short ones stand in English alone, as they begin too many words."""
    known = (*LISTED, *_NEED_A_TOKENIZER)
    names = {langcodes.Language.get(code).display_name(shown).casefold() for code in known for shown in known}
    english = {langcodes.Language.get(code).display_name("en").casefold() for code in known}
    found: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(names):
        if LETTERS.fullmatch(name) and (len(name) > 4 or name in english):
            found.setdefault(name[0], []).append((name, name[: -1 if name < "\u0250" else -2]))
    return found
