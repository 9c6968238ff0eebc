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


def test_only_the_store_has_queries() -> None:
    elsewhere = [p for p in sources() if STORE not in p.parents]
    assert [place for path in elsewhere for place in queries(path)] == []
    assert any(True for path in STORE.glob("*.py") for _ in queries(path)), "the test would see them"
