"""Chat templates that would take for ever or all memory: `python -m tests.rendered`, in the engine's
environment; prints what came of each."""

from __future__ import annotations

import json
import os

from capsafe_core.engines.chat import FALLBACK
from capsafe_core.engines.rendering import LARGEST, Renderer
from capsafe_core.errors import CapsafeError

LOOP = (
    "{% for i in range(99999) %}{% for j in range(99999) %}{% for k in range(99999) %}{% endfor %}{% "
    "endfor %}{% endfor %}"
)
TEMPLATES = {
    "honest": FALLBACK,
    "nested loops": LOOP,
    "a range of a billion": "{% for i in range(10**9) %}x{% endfor %}",
    "a billion letters": "{{ 'a' * 10**9 }}",
    "letters that still fit": f"{{{{ 'a' * {LARGEST + 1} }}}}",
    "padding": "{{ 'a'.center(10**10) }}",
    "a number without end": "{{ 10**(10**9) }}",
    "a format": "{{ '%999999999d' % 1 }}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "doubling": "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% "
    "endfor %}{{ ns.x }}",
    "code": "{{ messages.__class__.__mro__[1].__subclasses__() }}",
    "not a template": "{% if %}",
    "its own refusal": "{{ raise_exception('only users may speak') }}",
    "the worker's key": "{{ cycler.__init__.__globals__.os.environ }}",
}


def outcome(template: str) -> str:
    """The text, or the sentence."""
    try:
        return Renderer(template, '{"bos_token": "<s>"}').render([{"role": "user", "content": "hello"}], {})
    except CapsafeError as error:
        return str(error)


if __name__ == "__main__":
    os.environ["PLANTED_KEY"] = "sk-planted"
    print(json.dumps({name: outcome(template)[:300] for name, template in TEMPLATES.items()}))
