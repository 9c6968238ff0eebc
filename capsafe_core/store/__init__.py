"""The store: one DuckDB file, owned by one process; the only package that imports duckdb."""

from __future__ import annotations

from capsafe_core.store.store import Store

__all__ = ["Store"]
