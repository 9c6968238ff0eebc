"""The keys of the bench: each means one thing, whatever is asked."""

from __future__ import annotations

from capsafe_core.annotation import OTHER, REASONS

ANSWER_KEYS = {"Yes": "1", "No": "2", "In part": "3", "Cannot tell": "4"}
"""by the words of an answer; these are the same in every question"""
REASON_KEYS = {
    "empty": "e",
    "dominant_token": "d",
    "repetition": "r",
    "gibberish": "g",
    "language_switch": "w",
    "task_format": "t",
    "prompt_echo": "p",
    "template_leakage": "k",
    OTHER: "o",
}
"""a letter of each reason's name"""
COMMAND_KEYS = {
    "undo": "u",
    "skip": "s",
    "unsure": "x",
    "note": "n",
    "guide": "?",
    "list": "l",
    "blurred": "b",
    "unfold": "f",
}
"""by what the bench calls them"""


def reasons() -> list[dict[str, str]]:
    """Why an answer may be incoherent: key, name, words, meaning."""
    meanings = {**REASONS, OTHER: "say what in the note"}
    return [
        {"key": REASON_KEYS[name], "name": name, "words": name.replace("_", " "), "meaning": meaning}
        for name, meaning in meanings.items()
    ]
