"""Requests as the model sees them: chat templates and tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from capsafe_core.engines.base import Request
from capsafe_core.errors import CapsafeError

FALLBACK = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
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
    try:
        text = tokenizer.apply_chat_template(list(request.messages), tokenize=False, add_generation_prompt=True, **request.template)
    except Exception as error:  # whatever a template raises
        raise CapsafeError(f"The model's chat template does not take these messages: {error}.", "Check the model; many judges need their own weights, whose template knows their form.") from error
    return str(text) + request.begun


def request_tokens(tokenizer: Any, request: Request) -> list[int]:
    """The tokens of a request; a chat template brings its own special tokens, a raw text gets the tokenizer's."""
    return list(tokenizer(render(tokenizer, request), add_special_tokens=request.raw).input_ids)


def first_tokens(tokenizer: Any, options: Sequence[str]) -> list[int]:
    """The first token of each option.

    Raises:
        CapsafeError: two of them begin with the same token.
    """
    first = [tokenizer(option, add_special_tokens=False).input_ids[0] for option in options]
    if len(set(first)) < len(options):
        raise CapsafeError(f"The options {', '.join(options)} begin with the same token.", "Use a judge that answers in text.")
    return first
