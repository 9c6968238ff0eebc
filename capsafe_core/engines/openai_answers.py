"""What is sent to an OpenAI-compatible server, and what its answers say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from capsafe_core.engines.asking import ServerTrouble
from capsafe_core.engines.base import (
    Message,
    Request,
)

REASONING = ("reasoning_content", "reasoning")
"""fields in which servers tell a message's reasoning"""


@dataclass(frozen=True)
class Said:
    """An answer whose every part is of the type and size that it has to be."""

    text: str
    finish_reason: str
    tokens: int
    logs: tuple[float, ...] = ()
    """natural log-probability of each token, where the server told them"""
    reasoning: str = ""
    """what the server tells apart from the answer"""
    top: Mapping[str, float] = field(default_factory=dict)
    """token -> natural log-probability, of the likeliest at the first place"""


def body_of(request: Request) -> tuple[str, dict[str, Any]]:
    """The path and the body of a request, but for the decoding."""
    if request.raw:
        return "completions", {"prompt": request.messages[0]["content"] + request.begun}
    messages: list[Message] = [
        *request.messages,
        *([{"role": "assistant", "content": request.begun}] if request.begun else []),
    ]
    begun = {"add_generation_prompt": False, "continue_final_message": True} if request.begun else {}
    template = {"chat_template_kwargs": dict(request.template)} if request.template else {}
    return "chat/completions", {"messages": messages, **begun, **template}


def read_answer(data: Any) -> Said:
    """What a server's JSON says, of chat or of plain completions.

    Raises:
        ServerTrouble: a part of it is missing, or is not what it has to be.
    """
    choice = _first(_of(data, dict, "the answer").get("choices"), "choices")
    finish = choice.get("finish_reason") or "stop"
    where = _of(choice["message"], dict, "message") if "message" in choice else choice
    text = where.get("content" if "message" in choice else "text")
    if not isinstance(finish, str) or len(finish) > 64:
        raise ServerTrouble("the answer's finish_reason is not a word")
    reasoning = next((r for r in map(where.get, REASONING) if isinstance(r, str)), "")
    if text is None and (reasoning or finish in ("content_filter", "length")):
        text = ""
    # half of a character is none
    whole, reasoning = (t.encode("utf-8", "replace").decode() for t in (_of(text, str, "text"), reasoning))
    tokens = _of(data.get("usage") or {}, dict, "usage").get("completion_tokens") or 0
    if isinstance(tokens, bool) or not isinstance(tokens, int) or not 0 <= tokens < 1 << 31:
        raise ServerTrouble("the answer's count of tokens is not one")
    logs, top = _logs(_of(choice.get("logprobs") or {}, dict, "logprobs"))
    return Said(whole, finish, tokens, logs, reasoning, top)


def _logs(told: Mapping[str, Any]) -> tuple[tuple[float, ...], dict[str, float]]:
    """The log-probabilities of the tokens, and those of the likeliest at the first place."""
    if "token_logprobs" in told or "top_logprobs" in told:
        logs = _of(told.get("token_logprobs") or [], list, "token_logprobs")
        places = _of(told.get("top_logprobs") or [], list, "top_logprobs")
        first = _of(places[0], dict, "top_logprobs") if places and places[0] is not None else {}
        return tuple(map(_log, logs)), {token: _log(log) for token, log in first.items()}
    tokens = [_of(token, dict, "content") for token in _of(told.get("content") or [], list, "content")]
    likeliest = _of(tokens[0].get("top_logprobs") or [], list, "top_logprobs") if tokens else []
    top = {
        _of(_of(t, dict, "top_logprobs").get("token"), str, "token"): _log(t.get("logprob"))
        for t in likeliest
    }
    return tuple(_log(token.get("logprob")) for token in tokens), top


def _first(value: Any, what: str) -> dict[str, Any]:
    found = _of(value, list, what)
    if not found:
        raise ServerTrouble(f"the answer has no {what}")
    return _of(found[0], dict, what)


T = TypeVar("T")


def _of(value: Any, kind: type[T], what: str) -> T:
    if not isinstance(value, kind):
        raise ServerTrouble(f"the answer's {what} is {type(value).__name__}, not {kind.__name__}")
    return value


def _log(value: Any) -> float:
    """A log-probability: a finite number, and none above 0 but for what rounding adds."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not -1e9 <= value <= 1e-3
        or not math.isfinite(value)
    ):
        raise ServerTrouble("the answer's log-probabilities are not such")
    return float(value)


def first_token(option: str, known: Mapping[str, float]) -> str | None:
    """The token among those that a server tells of that is an option; None where there is none. A token that
    only begins like it may be another word."""
    return max(
        (token for token in known if token.strip() == option.strip()),
        key=lambda token: known[token],
        default=None,
    )


def seconds_of(text: str) -> float | None:
    """Retry-After in seconds; None where it is missing or a date."""
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None
