"""How often facts were written, noted beside the store, so that a log of it that vanished is noticed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import replace_file
from capsafe_core.store.store import Store


def note_writes(store: Store) -> None:
    """Note beside the store how often facts were written to it."""
    if store.path is not None:
        with suppress(CapsafeError):  # the next write tells of a full disk
            replace_file(writes_file(store.path), str(store.rows("SELECT n FROM writes")[0][0]))


def writes_file(path: Path) -> Path:
    """The file beside a store that says how often facts were written to it."""
    return path.with_name(f"{path.name}.writes")


def check_writes(store: Store) -> list[CapsafeError]:
    """Whether a store lacks what was written to it; said once, and from then on by `set_aside`."""
    if store.path is None:
        return []
    try:
        if not writes_file(store.path).is_file():
            return []
        with writes_file(store.path).open("rb") as stream:
            noted = int(stream.read(20))
    except (OSError, ValueError):
        return []
    n = store.rows("SELECT n FROM writes")[0][0]
    if 0 < n < noted:
        message = (
            f"The store lacks the last {noted - n} of its writes: its .wal file was dropped, or an older "
            "file was"
            " put in its place. The job folders were read again. Run `capsafe rebuild` to be sure of the "
            "rest."
        )
        with store.transaction() as cursor:
            cursor.execute("INSERT INTO set_aside VALUES ('', 0, 0, ?)", [message])
    note_writes(store)
    return []
