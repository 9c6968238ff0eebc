"""Editing a study's file: what is new is added, and everything else stays as its author wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array

from capsafe_core.errors import CapsafeError
from capsafe_core.records import UNKNOWN_KIND
from capsafe_core.values import parse_toml

Addition = tuple[str, Mapping[str, Any]]
"""a group of a study file ("judges", "recipes"), and the values of a table that is new in it"""


def with_additions(
    text: str, tables: Sequence[Addition], numbers: Mapping[tuple[str, str, str], Iterable[int]] | None = None
) -> str:
    """A study's text with new tables, and with new whole numbers in lists of tables that are there.

    Args:
        tables: values that are empty or None are left out.
        numbers: (group, name of the table in it, key) -> numbers that its list holds as well, in order.

    Raises:
        CapsafeError: the text is written in a way in which the change cannot be made without another one.
    """
    new = [(group, _set(values)) for group, values in tables]
    longer = {place: sorted(set(several)) for place, several in (numbers or {}).items()}
    try:
        wanted = _changed(parse_toml(text), new, longer)
        document = tomlkit.parse(text)
        for (group, name, key), several in longer.items():
            _lengthen(next(table for table in document[group] if table["name"] == name), key, several)
        for group, values in new:
            _add(document, group, values)
        edited = tomlkit.dumps(document)
        if parse_toml(edited) == wanted:
            return edited
    except (TOMLKitError, ValueError, KeyError, TypeError, StopIteration, AttributeError, RecursionError):
        pass
    raise CapsafeError(
        "The study's file is written in a form that cannot be added to without changing more than that.",
        "Write each of its starts, datasets, recipes, benchmarks and judges as a table of its own, as in "
        "`[[judges]]`, and try again.",
    )


def with_kinds(text: str, kinds: Mapping[str, str]) -> str:
    """A study's text where benchmarks of which nobody knew what they measure have their kind.

    Args:
        kinds: of each benchmark, by its name.
    """
    document = tomlkit.parse(text)
    for benchmark in document.get("benchmarks", []):
        config = benchmark.get("config", {})
        if config.get("kind") == UNKNOWN_KIND != kinds.get(benchmark["name"], UNKNOWN_KIND):
            config["kind"] = kinds[benchmark["name"]]
    return tomlkit.dumps(document)


def _set(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are set, also within."""
    kept = {k: _set(v) if isinstance(v, Mapping) else v for k, v in values.items()}
    return {
        k: list(v) if isinstance(v, tuple) else v
        for k, v in kept.items()
        if v is not None and v not in ("", [], (), {})
    }


def _changed(
    values: dict[str, Any],
    tables: Sequence[tuple[str, dict[str, Any]]],
    numbers: Mapping[tuple[str, str, str], list[int]],
) -> dict[str, Any]:
    """What the edited text says."""
    for (group, name, key), several in numbers.items():
        table = next(table for table in values[group] if table["name"] == name)
        table[key] = sorted({*table.get(key, ()), *several})
    for group, table in tables:
        values.setdefault(group, []).append(table)
    return values


def _lengthen(table: Any, key: str, several: list[int]) -> None:
    """Put numbers into a list of a table, each in its place, so that comments beside the others stay."""
    if key not in table:
        table[key] = several
        return
    for number in several:
        if number not in table[key]:
            table[key].insert(sum(there < number for there in table[key]), number)


def _add(document: tomlkit.TOMLDocument, group: str, values: dict[str, Any]) -> None:
    there = document.get(group)
    if isinstance(there, Array):
        there.append(_inline(values))
        return
    table = tomlkit.table()
    for key, value in values.items():
        table.append(key, _inline(value) if isinstance(value, dict) else value)
    if isinstance(there, AoT):
        there.append(table)
    else:
        document.append(group, tomlkit.aot())
        document[group].append(table)


def _inline(values: dict[str, Any]) -> Any:
    table = tomlkit.inline_table()
    for key, value in values.items():
        table.append(key, _inline(value) if isinstance(value, dict) else value)
    return table
