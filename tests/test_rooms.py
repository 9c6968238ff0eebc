"""What a room may do beyond importing, which import contracts hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from capsafe_core.settings import ROOT

QUERIES = {"rows", "frame", "arrow", "transaction"}
"""the methods of `Store` that take SQL, or give a cursor that does"""
STORE = ROOT / "capsafe_core" / "store"


def sources() -> list[Path]:
    return [*(ROOT / "capsafe_core").rglob("*.py"), *(ROOT / "pages").glob("*.py")]


def queries(path: Path) -> Iterator[str]:
    """Where a file calls what takes SQL."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in QUERIES and _is_store(node.value):
            yield f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}"


def _is_store(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.endswith("store")


LONGEST_FUNCTION, LONGEST_FILE = 60, 400
"""lines; those of a function are counted without its docstring, which may explain as much as it needs"""


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a file, and how many lines of code it has."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = _lines(first) if ast.get_docstring(node, clean=False) is not None else 0
            yield f"{path.relative_to(ROOT).as_posix()} {node.name}", _lines(node) - documented


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_functions_and_files_are_short() -> None:
    lengths = [one for path in sources() for one in functions(path)]
    assert [name for name, lines in lengths if lines > LONGEST_FUNCTION] == []
    assert max(lines for _, lines in lengths) > LONGEST_FUNCTION / 2, "the test would see them"
    files = [*sources(), *(ROOT / "tests").rglob("*.py")]
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert [path for path, count in lines.items() if count > LONGEST_FILE] == []


def test_only_the_store_has_queries() -> None:
    elsewhere = [p for p in sources() if STORE not in p.parents]
    assert [place for path in elsewhere for place in queries(path)] == []
    assert any(True for path in STORE.glob("*.py") for _ in queries(path)), "the test would see them"
