"""Where in a study file a mistake is, and what to say of it."""

from __future__ import annotations

import re
from typing import Any

from capsafe_core.errors import CapsafeError


def where(error: Any) -> tuple[str | int, ...]:
    """A mistake's place in the file; pydantic also names which of the engines it took it for."""
    place = tuple(error["loc"])
    return tuple(
        p
        for i, p in enumerate(place)
        if not (i and place[i - 1] == "engine" and p in ("transformers", "vllm", "openai"))
    )


def mistakes(name: str, problems: list[tuple[int | None, str]]) -> CapsafeError:
    """One error for all mistakes of a file, each with its line where that is known."""
    lines = [f"  line {line}: {what}" if line else f"  {what}" for line, what in problems]
    count = f"{len(problems)} mistake" + ("s" if len(problems) > 1 else "")
    return CapsafeError(
        f"{name} has {count}:\n" + "\n".join(lines) + "\n", "Fix them and try again; nothing was started."
    )


def spelled(location: tuple[str | int, ...]) -> str:
    """A place as people write it: recipes[2].steps."""
    return "".join(f"[{p + 1}]" if isinstance(p, int) else f".{p}" for p in location).lstrip(".")


def _key(line: str) -> str:
    """What stands before the first = of a line."""
    key, equals, _ = line.partition("=")
    return key.strip() if equals else ""


def line_of(text: str, location: tuple[str | int, ...]) -> int | None:
    """The line of a key in a TOML text, or of the table it should stand in."""
    table, index, key = str(location[0]), 0, None
    for part in location[1:]:
        if isinstance(part, int):
            index = part
        else:
            key = part
            break
    seen, found, start = -1, None, None
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([\w.-]+)\s*\]+", line)
        if header:
            inside = header.group(1) == table
            seen += inside
            start = number if inside and seen == index else None
            found = start or found
        elif start and key and _key(line).strip('"') == str(key):
            return number
        elif seen == -1 and found is None and _key(line) == table:
            found = number
    return found
