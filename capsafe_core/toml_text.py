"""Writing TOML: a table of values that are set."""

from __future__ import annotations

import re
from typing import Any

from capsafe_core.records import canonical_json


def toml_table(name: str, values: dict[str, Any]) -> str:
    """A TOML table of the values that are set."""
    lines = [
        f"{toml_key(key)} = {toml_value(value)}\n"
        for key, value in values.items()
        if value not in (None, "", [], (), {})
    ]
    return f"[{name}]\n" + "".join(lines) if lines else ""


def toml_key(key: str) -> str:
    """A key, in quotation marks where it needs them."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)


def toml_value(value: Any) -> str:
    """A value: texts, numbers and lists of them are spelled as in JSON."""
    if isinstance(value, dict):
        return (
            "{ "
            + ", ".join(f"{toml_value(str(k))} = {toml_value(v)}" for k, v in value.items() if v is not None)
            + " }"
        )
    if isinstance(value, str):
        return canonical_json(value).replace(
            "\x7f", "\\u007f"
        )  # the one character that JSON leaves as it is and TOML forbids
    return canonical_json(value)
