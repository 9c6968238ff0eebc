"""Looks at small tables of logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from capsafe_core.importers.survey import Surveyor
from capsafe_core.mapping import parse_mapping

quick = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


MISSING = {"nan", "NaN", "-nan", "-NaN", "<NA>", "#N/A"}
"""what a text table cannot tell from a missing value"""


words = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12
).filter(lambda t: t.strip() == t and t and t not in MISSING)


prompts = st.lists(words, min_size=1, max_size=8, unique=True)


def look(root: Path, mapping: str = "") -> dict[str, Any]:
    surveyor = Surveyor([root], parse_mapping(mapping) if mapping else None, "looked-at")
    surveyor.look(lambda *_: True)
    return surveyor.result()


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path
