"""The gate as a Markdown card for a pull request, which holds what it was made from."""

from __future__ import annotations

import json
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.text import markdown_text

BEGIN, END = "<!-- capsafe gate ", " -->"
_SIGNS = {"pass": "✅ pass", "undecided": "❔ undecided", "fail": "❌ fail"}


def to_card(gate: dict[str, Any]) -> str:
    """The card.

    Args:
        gate: as `analysis.gate.Gate.as_dict`.
    """
    rows = [
        f"| {markdown_text(c['recipe'])} | {markdown_text(c['name'])} | {_SIGNS[c['answer']]} "
        f"| {markdown_text(c['words'])} |"
        for c in gate["checks"]
    ]
    held = (
        json.dumps(gate, sort_keys=True)
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("--", "-\\u002d")
    )
    return "\n".join(
        [
            f"### Safety at the capability goal: {_SIGNS[gate['answer']]}",
            "",
            markdown_text(gate["paragraph"]),
            "",
            "| recipe | what | answer | found |",
            "|---|---|---|---|",
            *rows,
            "",
            "`capsafe report --verify` computes it again.",
            f"{BEGIN}{held}{END}",
            "",
        ]
    )


def read_card(text: str) -> dict[str, Any]:
    """The gate that a card was made from.

    Raises:
        CapsafeError: it is not a card, or was edited since.
    """
    _, begin, rest = text.rpartition(BEGIN)
    held, end, _ = rest.partition(END)
    try:
        gate = json.loads(held) if begin and end else None
        whole = isinstance(gate, dict) and to_card(gate) == text
    except (ValueError, RecursionError, KeyError, TypeError):
        gate, whole = None, False
    if not whole:
        raise CapsafeError(
            "This is not a card of the gate as capsafe wrote it.", "Make one: capsafe gate STUDY --card FILE."
        )
    return dict(gate or {})


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What a card says that the store does not say now, in sentences."""
    if old["answer"] != new["answer"]:
        return [f"The card says {old['answer']}; the store now says {new['answer']}. {new['paragraph']}"]
    said, now = ({(c["recipe"], c["name"]): c["words"] for c in g["checks"]} for g in (old, new))
    return [
        f"{said.get(key, 'nothing')} Now: {now.get(key, 'nothing')}"
        for key in {**said, **now}
        if said.get(key) != now.get(key)
    ]
