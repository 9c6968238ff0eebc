"""Judges: one protocol, and a registry of those that can run."""

from __future__ import annotations

from capsafe_core.judges.protocol import Item, Judge, Verdict
from capsafe_core.judges.registry import open_judge

__all__ = ["Item", "Judge", "Verdict", "open_judge"]
