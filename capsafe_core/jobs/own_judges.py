"""The file of a judge of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.values import parse_toml

LARGEST_JUDGE = 1 << 20
"""bytes of the file of a judge of the user's own"""


def read_own_judge(path: Path) -> dict[str, Any]:
    """The entry of a judge of the user's own.

    Raises:
        CapsafeError: the file cannot be read or is not a TOML.
    """
    if path.exists() and not (path.is_file() and path.stat().st_size <= LARGEST_JUDGE):
        raise CapsafeError(
            f"The judge's file {path} is not a file of at most {LARGEST_JUDGE >> 20} MB, so it is not "
            "opened.",
            "Name a TOML file.",
        )
    try:
        return parse_toml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CapsafeError(
            f"The judge's file {path} cannot be read: {error}.", "docs/judges.md has an example."
        ) from error
