"""capsafe: what fine-tuning bought, what it cost in safety, and how far to trust that number."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "CapsafeError": "capsafe_core.errors",
    "Selection": "capsafe_core.selection",
    "Store": "capsafe_core.store",
    "open": "capsafe_core.workspace.notebook",
    "Study": "capsafe_core.study",
    "load_study": "capsafe_core.study",
}
__all__ = ["CapsafeError", "Selection", "Store", "Study", "__version__", "load_study", "open"]


def __getattr__(name: str) -> Any:
    """Resolve public names on first use, so a worker never loads duckdb by importing the package."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'capsafe_core' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
