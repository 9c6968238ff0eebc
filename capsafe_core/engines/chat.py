"""Requests as the model sees them: chat templates and tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from capsafe_core.engines.base import Message, Request
from capsafe_core.engines.rendering import renderer
from capsafe_core.errors import CapsafeError
from capsafe_core.reasoning_part import forms, opens_reasoning, special_marks

FALLBACK = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if "
    "add_generation_prompt %}assistant:{% endif %}"
)
"""For models that bring no chat template."""


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
    template, special = tokenizer.get_chat_template(), json.dumps(tokenizer.special_tokens_map, default=str)
    return renderer(template, special).render(
        [{k: v for k, v in m.items() if v is not None} for m in messages], dict(more or {})
    )


def request_tokens(tokenizer: Any, request: Request) -> list[int]:
    """The tokens of a request; a chat template brings its own special tokens, a raw text gets the
    tokenizer's."""
    return list(tokenizer(render(tokenizer, request), add_special_tokens=request.raw).input_ids)


def reasoning_tokens(tokenizer: Any) -> tuple[frozenset[int], frozenset[int]]:
    """Ids of the special tokens that mark a reasoning, and of the other special tokens."""
    special = {
        **{i: str(token) for i, token in tokenizer.added_tokens_decoder.items() if token.special},
        **dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)),
    }
    marks = special_marks(special.values())
    return (
        frozenset(i for i, token in special.items() if token in marks),
        frozenset(i for i, token in special.items() if token not in marks),
    )


def answer_text(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of an answer without special tokens, but for those that mark a reasoning."""
    marks, others = reasoning_tokens(tokenizer)
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
