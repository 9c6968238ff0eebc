"""Turns of chats as tools write them: {role, content}, or {from, value} with roles of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ROLES = {"human": "user", "gpt": "assistant", "ai": "assistant", "model": "assistant", "bot": "assistant"}
"""roles as some tools name them"""


def chat_turns(
    value: Any, text_of: Callable[[Any], Any] = lambda content: content
) -> tuple[dict[str, str], ...]:
    """The turns in a list; empty where one of them is not a turn.

    Args:
        text_of: the text in a turn's content; what it gives that is not a text makes it no turn.
    """
    found = []
    for turn in value if isinstance(value, list | tuple) else []:
        if not isinstance(turn, dict):
            return ()
        role, content = turn.get("role", turn.get("from")), text_of(turn.get("content", turn.get("value")))
        if not isinstance(role, str) or not isinstance(content, str):
            return ()
        found.append({"role": ROLES.get(role, role), "content": content})
    return tuple(found)
