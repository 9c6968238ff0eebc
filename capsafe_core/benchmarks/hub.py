"""Rows of a data set of the hub, and texts written from the columns of a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from capsafe_core.benchmarks.files import Row
from capsafe_core.errors import CapsafeError

NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
PLACE = re.compile(r"\{(\w+)\}")


def hub_rows(name: str, config: Mapping[str, Any]) -> list[Row]:
    """The rows of a data set, fetched by the library `datasets`.

    Args:
        name: owner/name.
        config: `subset`, `split` (train; with a slice as `datasets` writes it, such as train[:15000]) and
            `revision`.

    Raises:
        CapsafeError: it cannot be had here.
    """
    if not NAME.fullmatch(name):
        raise CapsafeError(f"{name[:200]!r} is not a name of a data set of the hub.", "Write owner/name.")
    try:
        from datasets import load_dataset

        split = str(config.get("split", "train"))
        found = load_dataset(name, config.get("subset"), split=split, revision=config.get("revision"))
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        raise CapsafeError(
            f"The data set {name!r} cannot be had from the hub here: {str(error).splitlines()[0][:300]}",
            "Check its name, subset and split, and that this machine reaches the hub; or save it as a file.",
        ) from error
    return [dict(row) for row in found]


def written(name: str, texts: Mapping[str, Any], columns: set[str]) -> Callable[[Row], list[str]]:
    """How texts are written from a row: {column} stands for what the row has there, true and false as Yes and
    No, choices with their labels as a line each.

    Raises:
        CapsafeError: one is not a text, or names a column that is not there.
    """
    wrong = [key for key, text in texts.items() if not isinstance(text, str)]
    if wrong:
        raise CapsafeError(
            f"The config of {name} needs {' and '.join(texts)}; {wrong[0]} is missing.",
            "Write each as a text.",
        )
    unknown = {place for text in texts.values() for place in PLACE.findall(text)} - columns
    if unknown:
        raise CapsafeError(
            f"The config of {name} names the column {sorted(unknown)[0]!r}, which is not there.",
            f"There are: {', '.join(sorted(map(str, columns)))}.",
        )
    return lambda row: [PLACE.sub(lambda place: _shown(row.get(place[1])), text) for text in texts.values()]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, Mapping) and {"label", "text"} <= set(value):
        pairs = zip(value["label"], value["text"], strict=False)
        return "\n".join(f"{label}. {text}" for label, text in pairs)
    if isinstance(value, list | tuple):
        return "\n".join(map(str, value))
    return str(value)
