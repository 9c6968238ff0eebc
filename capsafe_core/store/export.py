"""Copies of the store for use elsewhere."""

from __future__ import annotations

from pathlib import Path

from capsafe_core.errors import CapsafeError
from capsafe_core.store.store import Store


def snapshot_into(store: Store, name: str) -> Path:
    """Copy the whole store into a new file of the exports folder.

    Raises:
        CapsafeError: there is no exports folder, the name is a path, or the file exists.
    """
    if store.exports is None:
        raise CapsafeError("This store has no exports folder.", "Open it with one.")
    target = store.exports.resolve() / name
    if target.parent != store.exports.resolve() or "'" in name:
        raise CapsafeError(f"{name!r} is not a file name.", "Snapshots go into the exports folder; give a name alone.")
    if target.exists():
        raise CapsafeError(f"{target} exists already.", "Choose another name.")
    source = store.rows("SELECT current_database()")[0][0]
    store.rows(f"ATTACH '{target}' AS snapshot")
    try:
        store.rows(f'COPY FROM DATABASE "{source}" TO snapshot')
    finally:
        store.rows("DETACH snapshot")
    return target
