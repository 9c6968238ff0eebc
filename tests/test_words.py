"""Words that were replaced do not come back: in what screens and reports say, and in the documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from capsafe_core.settings import ROOT

REPLACED = {
    r"\bways? of asking\b": "analysis variant",
    r"\b(makes?|made|making) (no )?sense\b": "coherent, incoherent",
    r"\bcut-offs?\b": "threshold, or truncated",
    r"\bwere cut off\b": "truncated",
    r"\bspread of judges\b": "range across judges",
    r"\b(holds|leaves out) zero\b": "includes, excludes zero",
    r"\bword of one judge\b": "rests on a single judge",
    r"\banew\b": "again",
    r"\bmend(s|ed)?\b": "fix",
    r"(?<!there )\b(is|was) no (?!longer|more|interval)\w": "is not a",
    r"(^|\d|\{\}\)?) points\b": "pts",
    r"\bshall\b": "the passive, or an imperative",
    r"(?<![%\w])\d+(\.\d+)? %(?![\w({])|\} %(?![\w({])": "95%, without a space",
}
SOURCES = sorted([*(ROOT / "pages").glob("*.py"), *(ROOT / "capsafe_core").rglob("*.py")])
DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        *(f for f in (ROOT / "docs").glob("*.md") if f.name not in ("judges.md", "numbers.md")),
    ]
)
Strings = Iterator[tuple[int, str]]


def strings(path: Path) -> Strings:
    """The strings of a source file, without docstrings; a place for a value as "{}"."""
    tree = ast.parse(path.read_text())
    silent: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            silent.add(node.value)
        if isinstance(node, ast.JoinedStr):
            silent.update(node.values)
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in silent:
            yield node.lineno, node.value


def prose(path: Path) -> Strings:
    """The lines of a document, without code."""
    fenced = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fenced ^= line.startswith("```")
        yield number, "" if fenced else re.sub(r"`[^`]*`", "", line)


@pytest.mark.parametrize("path", [*SOURCES, *DOCUMENTS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_replaced_words_do_not_come_back(path: Path) -> None:
    texts = strings(path) if path.suffix == ".py" else prose(path)
    found = [
        f"line {line}: {match[0]!r} (say: {better})"
        for line, text in texts
        for word, better in REPLACED.items()
        if (match := re.search(word, text, re.IGNORECASE))
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "3 ways of asking",
        "It makes no sense.",
        "a cut-off",
        "95 % intervals",
        "We shall see",
        "Mend it.",
        "It is no file.",
    ],
)
def test_a_replaced_word_is_seen(text: str) -> None:
    assert any(re.search(word, text, re.IGNORECASE) for word in REPLACED)


def test_no_caption_brings_the_stop_that_captions_end_in() -> None:
    calls = [
        (path, call)
        for path in SOURCES
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "screen.caption" and len(call.args) > 1
    ]
    assert len(calls) > 20
    for path, call in calls:
        for part in ast.walk(call.args[1]):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                assert not re.search(r"[.?!]$", part.value), f"{path.name}:{call.lineno}: {part.value}"
