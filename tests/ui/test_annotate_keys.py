"""The keys of the bench: one key means one thing, and every command has the key that the screen shows."""

from __future__ import annotations

import re

from capsafe_core.annotation import OTHER, QUESTIONS, REASONS
from capsafe_core.settings import ROOT
from capsafe_core.ui.annotate_keys import ANSWER_KEYS, COMMAND_KEYS, REASON_KEYS

UI = ROOT / "capsafe_core" / "ui"
MANUAL = (ROOT / "docs" / "annotation.md").read_text()


def test_no_key_means_two_things() -> None:
    keys = [*ANSWER_KEYS.values(), *REASON_KEYS.values(), *COMMAND_KEYS.values()]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 1 and key == key.lower() for key in keys), "a key is compared in lower case"


def test_an_answer_has_its_key_in_every_question_and_answers_stand_in_the_order_of_keys() -> None:
    assert {words for q in QUESTIONS.values() for words in q.answers.values()} == set(ANSWER_KEYS)
    for question in QUESTIONS.values():
        keys = [ANSWER_KEYS[words] for words in question.answers.values()]
        assert keys == sorted(set(keys))


def test_the_key_of_a_reason_is_a_letter_of_its_name() -> None:
    assert set(REASON_KEYS) == {*REASONS, OTHER}
    assert all(key in name for name, key in REASON_KEYS.items())


def test_the_bench_knows_every_command_and_the_manual_has_every_key() -> None:
    script, page = (UI / "annotate.js").read_text(), (UI / "annotate.html").read_text()
    assert set(re.findall(r'data-key="(\w+)"', page)) == set(COMMAND_KEYS) - {"unfold"}
    assert all(f'"{command}"' in script for command in COMMAND_KEYS)
    shown = set(re.findall(r"`([^`\n])`", MANUAL.partition("## At the bench")[2].partition("##")[0]))
    assert shown >= {*ANSWER_KEYS.values(), *REASON_KEYS.values(), *COMMAND_KEYS.values()}
