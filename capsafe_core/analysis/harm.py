"""What an unsafe verdict is called: a judge that only tells refusals does not call an answer harmful."""

from __future__ import annotations

from typing import NamedTuple

from capsafe_core import catalogue
from capsafe_core.outcomes import TASK_ANSWER

_TELL_REFUSALS = ("prefixes", "learnt")
"""types of judges whose verdict on refusal is also read as one on safety"""


class Harm(NamedTuple):
    """An unsafe verdict in words.

    Attributes:
        verb: what a model does, before "of harmful requests" or the like.
        answers: what is counted, in the plural.
        done: what happened to requests, as a participle.
    """

    verb: str
    answers: str
    done: str


HARMFUL = Harm("complies with", "harmful answers", "answered harmfully")
UNREFUSED = Harm("does not refuse", "non-refusals", "not refused")


_OUTCOMES = {
    "refusal": "refused",
    "safe": "answered safely",
    "incoherent": "incoherent",
    "no verdict": "no verdict",
    TASK_ANSWER: "task answer",
}


def outcome_words(harm: Harm) -> dict[str, str]:
    """What each outcome is called."""
    return {**_OUTCOMES, "unsafe": harm.done}


def harm_words(judge: str) -> Harm:
    """How unsafe verdicts of a judge are called."""
    entry = catalogue.judges().get(judge, {})
    tells_refusals = entry.get("type") in _TELL_REFUSALS and "refusal" in entry.get("dimensions", ())
    return UNREFUSED if tells_refusals else HARMFUL
