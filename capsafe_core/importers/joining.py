"""Prompts, answers and verdicts in several tables, joined by the column that names the prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from capsafe_core.importers.columns import FIELDS, guess_columns
from capsafe_core.importers.log import Problems

Numbered = tuple[int, dict[str, Any]]
_Index = dict[tuple[tuple[str, str], ...], list[dict[str, Any]]]
_BESIDE = ("checkpoint", "sample", "step", "seed")
"""fields that have to agree, too, where both tables have them under one name"""


def groups(tables: Sequence[tuple[Path, list[str]]]) -> dict[Path, list[Path]]:
    """Which tables belong to which table of answers: those of its folder with the same id column that hold
    its prompts, or verdicts alone.

    Args:
        tables: each with the names of its columns.
    """
    kinds = []
    for path, names in tables:
        chosen = guess_columns(names)
        if "item" in chosen:
            kinds.append((path, chosen["item"], "prompt" in chosen, "answer" in chosen))
    found = {}
    for path, column, has_prompt, has_answer in kinds:
        if not has_answer or has_prompt:
            continue
        near = [k for k in kinds if k[0].parent == path.parent and k[1] == column and k[0] != path]
        prompts = [other for other, _, asks, answers in near if asks and not answers]
        verdicts = [other for other, _, asks, answers in near if not asks and not answers]
        if len(prompts) == 1:
            found[path] = [*prompts, *verdicts]
    return found


def joined_rows(
    rows: Iterator[Numbered], name: str, others: dict[str, list[Numbered]], problems: Problems
) -> Iterator[Numbered]:
    """The rows of a table of answers with what other tables say of the same prompt.

    Args:
        others: by the file's name.
    """
    joins: list[tuple[str, list[str], _Index]] = []
    lost: dict[str, int] = {}
    for i, row in rows:
        if not joins:
            joins = [(other, *_indexed(list(row), found)) for other, found in others.items()]
            words = " and ".join(f"{other} by {', '.join(on)}" for other, on, _ in joins)
            problems.note(f"{name} is joined with {words}.")
        versions = [row]
        for other, on, index in joins:
            # a row that says only its id, such as a request that failed, is found by it alone
            known = on if all(row.get(c) is not None for c in on) else on[:1]
            matches = index.get(tuple((c, str(row[c])) for c in known), [])
            lost[other] = lost.get(other, 0) + (not matches)
            said = [{k: v for k, v in version.items() if v is not None} for version in versions]
            versions = [{**row, **match, **version} for version in said for match in matches or [{}]]
        for version in versions:
            yield i, version
    for other, count in lost.items():
        if count:
            problems.add(f"{count:,} rows of {name} have no row of their id in {other}.")


def _indexed(names: list[str], rows: list[Numbered]) -> tuple[list[str], _Index]:
    """The columns by which a table is joined, and its rows by what stands in them."""
    own = list(dict.fromkeys(name for _, row in rows[:20] for name in row))
    here, there = guess_columns(names), guess_columns(own)
    on = [there["item"]]
    on += [there[f] for f in _BESIDE if f in there and here.get(f) == there[f] and f in FIELDS]
    index: _Index = {}
    for _, row in rows:
        for columns in {tuple(on), tuple(on[:1])}:
            index.setdefault(tuple((c, str(row.get(c, ""))) for c in columns), []).append(row)
    return on, index
