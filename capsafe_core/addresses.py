"""The addresses of servers that a study's engine asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def addresses_of(engine: Mapping[str, Any]) -> list[str]:
    """Every address that an engine's table of the kind `openai` names, without a last slash."""
    more = engine.get("replicas", [])
    listed = list(more) if isinstance(more, list | tuple) else [more]
    return list(dict.fromkeys(str(url).rstrip("/") for url in [engine.get("base_url", ""), *listed]))
