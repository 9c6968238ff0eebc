"""Requests as the model sees them: chat templates and tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from capsafe_core.engines.base import Message, Request
from capsafe_core.engines.rendering import renderer
from capsafe_core.errors import CapsafeError
from capsafe_core.reasoning_part import forms, opens_reasoning, special_marks

FALLBACK = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if "
    "add_generation_prompt %}assistant:{% endif %}"
)
"""For models that bring no chat template: it begins as the tokenizer begins a text."""
FOLDED = "system prompt in the first user turn"
"""what a condition says of a chat template that has no place for a system prompt"""
_PROBE = "capsafe-system-probe"


def with_template(tokenizer: Any) -> Any:
    """The tokenizer, with the fallback where it brings no chat template."""
    if tokenizer.chat_template is None:
        tokenizer.chat_template = FALLBACK
    return tokenizer


def render(tokenizer: Any, request: Request) -> str:
    """The text of a request, with the model's chat template unless it is raw.

    Raises:
        CapsafeError: the template refuses these messages.
    """
    if request.raw:
        return str(request.messages[0]["content"]) + request.begun
    return conversation_text(tokenizer, request.messages, request.template) + request.begun


def conversation_text(
    tokenizer: Any, messages: Sequence[Message], more: Mapping[str, Any] | None = None
) -> str:
    """A conversation as the model's chat template writes it, up to where the model answers; rendered in a
    process of its own.

    Raises:
        CapsafeError: the template refuses these messages, or takes too long.
    """
    template, special = _template(tokenizer)
    asked = [{k: v for k, v in m.items() if v is not None} for m in messages]
    if asked[0]["role"] == "system" and not _takes_system(template, special):
        asked = folded(asked)
    return renderer(template, special).render(asked, dict(more or {}))


def folds_system(tokenizer: Any) -> bool:
    """Whether the model's chat template has no place for a system prompt, so that it stands in the first user
    turn."""
    return not _takes_system(*_template(tokenizer))


def folded(messages: Sequence[Message]) -> list[Message]:
    """A conversation without its system turn, whose text begins the first user turn instead."""
    system, *turns = messages
    if not turns or not all(isinstance(m["content"], str) for m in (system, turns[0])):
        return list(messages)
    return [{**turns[0], "content": f"{system['content']}\n\n{turns[0]['content']}"}, *turns[1:]]


def _template(tokenizer: Any) -> tuple[str, str]:
    """The chat template, and the special tokens that it may name, as JSON."""
    return tokenizer.get_chat_template(), json.dumps(tokenizer.special_tokens_map, default=str)


@cache
def _takes_system(template: str, special: str) -> bool:
    """Whether a template writes a system turn: some refuse it, others drop it without a word."""
    turns = [{"role": "system", "content": _PROBE}, {"role": "user", "content": "Hello"}]
    try:
        return _PROBE in renderer(template, special).render(turns, {})
    except CapsafeError:
        return False


def request_tokens(tokenizer: Any, request: Request) -> list[int]:
    """The tokens of a request; a chat template brings its own special tokens, a raw text gets the
    tokenizer's."""
    return list(tokenizer(render(tokenizer, request), add_special_tokens=request.raw).input_ids)


def reasoning_tokens(tokenizer: Any) -> tuple[frozenset[int], frozenset[int]]:
    """Ids of the special tokens that mark a reasoning, and of the others; an engine asks once."""
    special = {
        **{i: str(token) for i, token in tokenizer.added_tokens_decoder.items() if token.special},
        **dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)),
    }
    marks = special_marks(special.values())
    return (
        frozenset(i for i, token in special.items() if token in marks),
        frozenset(i for i, token in special.items() if token not in marks),
    )


def answer_text(tokenizer: Any, ids: Sequence[int], special: tuple[frozenset[int], frozenset[int]]) -> str:
    """The text of an answer without special tokens, but for those that mark a reasoning.

    Args:
        special: as of `reasoning_tokens`.
    """
    marks, others = special
    if not marks.intersection(ids):
        return str(tokenizer.decode(ids, skip_special_tokens=True))
    return str(tokenizer.decode([i for i in ids if i not in others], skip_special_tokens=False))


def prompt_opens_reasoning(tokenizer: Any) -> bool:
    """Whether the model's chat template ends a prompt within a reasoning that it opened itself."""
    if not any(mark in str(tokenizer.chat_template) for form in forms() for mark in form.opens):
        return False
    return opens_reasoning(conversation_text(tokenizer, [{"role": "user", "content": "Hello"}]))


def first_tokens(tokenizer: Any, options: Sequence[str]) -> list[int]:
    """The first token of each option.

    Raises:
        CapsafeError: two of them begin with the same token.
    """
    first = [tokenizer(option, add_special_tokens=False).input_ids[0] for option in options]
    if len(set(first)) < len(options):
        raise CapsafeError(
            f"The options {', '.join(options)} begin with the same token.",
            "Use a judge that answers in text.",
        )
    return first
