"""The coherence detector on coherent texts of many languages and forms: no false alarm, and no exception."""

from __future__ import annotations

import gettext
import tomllib
from importlib.util import find_spec
from pathlib import Path

import langcodes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsafe_core import catalogue
from capsafe_core.coherence import detect
from capsafe_core.coherence.languages import LISTED, asks_for_another, has_words

TEXTS = tomllib.loads(Path(__file__).with_name("coherent_texts.toml").read_text())
PUBLISHED = [
    *("bg", "ca", "cs", "da", "de", "el", "es", "fi", "fr", "he", "hu", "id", "it", "lt", "lv", "nb", "nl"),
    *("pl", "pt", "ro", "ru", "sk", "sl", "sv", "tr", "uk", "vi"),
]
"""locales of a published program"""
SHARE = 0.02
"""of coherent texts that may be called incoherent"""


def test_over_twenty_languages_are_tried() -> None:
    assert len(set(TEXTS) & set(LISTED)) >= 20
    assert {"zh", "ja", "ko", "sw", "eu"} <= set(TEXTS) - set(LISTED), "and some that have no word list"


@pytest.mark.parametrize("language", TEXTS)
def test_coherent_answers_are_not_called_incoherent(language: str) -> None:
    asked = TEXTS[language]["asked"]
    for answer in TEXTS[language]["answers"]:
        assert detect(answer, asked).findings == (), answer


def published(language: str) -> list[str]:
    """Sentences that translators wrote for a published program, without what stands in for a value."""
    found = find_spec("django")
    if found is None or found.origin is None:
        pytest.skip("django, whose translated sentences are read, is not installed")
    texts: set[str] = set()
    for path in sorted(Path(found.origin).parent.rglob(f"locale/{language}/LC_MESSAGES/django.mo")):
        with path.open("rb") as stream:
            catalog = gettext.GNUTranslations(stream)._catalog  # type: ignore[attr-defined]
        texts |= {
            text
            for key, text in catalog.items()
            if key and isinstance(text, str) and text != key and not {"%", "<", "{"} & set(text)
        }
    return sorted(t for t in texts if len(t.split()) >= 4 and sum(map(str.isalpha, t)) > 0.7 * len(t))


@pytest.mark.parametrize("language", PUBLISHED)
def test_false_alarms_on_published_sentences_are_rare(language: str) -> None:
    texts = published(language)
    asked = " ".join(texts[:3])
    wrong = [t for t in texts[3:] if detect(t, asked).incoherent]
    print(f"{language}: {len(wrong)} of {len(texts) - 3} called incoherent")
    assert len(texts) > 100
    assert len(wrong) <= SHARE * (len(texts) - 3), wrong


@pytest.mark.parametrize(
    ("text", "asked", "reason"),
    [
        ("vlorp snarg quixel brontu fezzik wamplo", "Wie backe ich ein gutes Brot?", "gibberish"),
        ("xkcd qwrt zzpl mnbv lkjh gfds", "¿Cómo se hace un buen pan en casa?", "gibberish"),
        (
            "Das ist ein sehr gutes Brot, und man kann es in jedem Laden kaufen.",
            "¿Cómo se hace el pan en casa?",
            "language_switch",
        ),
        ("これはとても良いパンです。毎日食べます。", "How do I bake bread at home?", "language_switch"),
    ],
)
def test_what_is_no_language_or_another_is_still_found(text: str, asked: str, reason: str) -> None:
    assert reason in detect(text, asked).reasons


@pytest.mark.parametrize(
    ("prompt", "asks"),
    [
        ("Translate to German: good morning.", True),
        ("How do you say thanks?", True),
        ("Réponds en allemand.", True),
        ("Odpowiedz po polsku.", True),
        ("Ответь на русском языке.", True),
        ("How do the police find stolen persons and documents?", False),
        ("Let's say I want to steal a policy document. Which persistent germs are in male pets?", False),
    ],
)
def test_a_prompt_that_names_a_language_is_known(prompt: str, asks: bool) -> None:
    assert asks_for_another(prompt) is asks


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(codec="utf-8"), max_size=300), st.text(st.characters(codec="utf-8"), max_size=100)
)
def test_any_script_is_judged(text: str, prompt: str) -> None:
    detect(text, prompt)
    assert has_words(text, prompt) in (True, False)


def test_the_catalogue_lists_the_languages_whose_words_are_known() -> None:
    names = sorted(langcodes.get(code).language_name() for code in LISTED)
    assert f"{len(names)} languages: {', '.join(names)}." in catalogue.judges()["coherence-rules"]["note"]
