"""Self-distillation: the start rewrites each answer of the data, and the rewrite is learnt (Yang et al. 2024,
arXiv 2402.13669)."""

from __future__ import annotations

from itertools import pairwise

from capsafe_core.benchmarks.conversations import Conversation
from capsafe_core.engines import Completion, Message

SDFT = "sdft"
"""its name in the catalogue"""
PROMPT = (
    "Reply to the request below. A reference answer is given with it: say what that says, as you would say "
    "it yourself, and write nothing but your reply.\n\nRequest:\n{request}\n\n"
    "Reference answer:\n{answer}"
)
"""this project's wording; the authors have one for each kind of data"""
REPEATS = ("reference answer", "your response", "my response", "your own response", "now it's your turn")
"""by these an answer is about the task of rewriting; with OPENING those of the authors' code"""
OPENING = "Your turn"
ANSWERED = ("user", "assistant")


def rewritable(conversation: Conversation) -> list[int]:
    """The turns that are answers to a user."""
    return [i for i, (a, b) in enumerate(pairwise(conversation), 1) if (a["role"], b["role"]) == ANSWERED]


def to_rewrite(conversation: Conversation, turn: int) -> tuple[Message, ...]:
    """What the start is asked, to rewrite an answer: the conversation up to it, with the answer."""
    *before, asked = conversation[:turn]
    prompt = PROMPT.format(request=asked["content"], answer=conversation[turn]["content"])
    return (*before, {"role": "user", "content": prompt})


def why_not(answer: Completion, is_right: bool | None) -> str:
    """Why the original is learnt, as a phrase; "" where the rewrite is.

    The first and the last reason are the published rule; that an answer ends is this project's, since its
    length is limited.

    Args:
        is_right: whether it comes to the original's final answer; None where nothing can tell.
    """
    text = answer.text.strip()
    if answer.finish_reason != "stop" or not text:
        return "no end within the limit" if text else "no text"
    if any(phrase in text.lower() for phrase in REPEATS) or text.startswith(OPENING):
        return "talk of the rewriting"
    return "another final answer" if is_right is False else ""
