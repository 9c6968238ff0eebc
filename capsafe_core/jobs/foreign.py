"""Job folders that came from elsewhere: marked where they enter, and a person's adoption of them.

A folder from a bundle holds `foreign.json`, written by this program before anything else of the folder is in
its place. Its facts are read, and count where the workspace has none of its own (the store's
`ranked_batches`). Nothing of it runs, and nothing that a study text in it asks for, until a person has seen
what that is and adopted it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path

from capsafe_core.errors import NotAllowedError
from capsafe_core.jobs.folder import Job, Manifest, create_job, replace_file
from capsafe_core.jobs.folder.files import read_json
from capsafe_core.values import Seconds, Shape

MARK = "foreign.json"
UNKNOWN = "an unknown place"
"""where a folder came from whose mark cannot be read"""


@dataclass(frozen=True)
class Origin:
    """Where a job folder came from, the studies whose text it holds, and who adopted it, where somebody
    has."""

    source: str
    studies: tuple[str, ...]
    brought: Seconds
    adopted_by: str = ""
    adopted: Seconds = 0.0

    @property
    def own_since(self) -> float | None:
        """When it became the workspace's own; None where nobody has adopted it."""
        return self.adopted if self.adopted_by else None


_ORIGIN = Shape(Origin)


def mark_foreign(folder: Path, source: str, studies: Iterable[str], brought: float | None = None) -> None:
    """Note that a folder came from elsewhere.

    Args:
        brought: when, in seconds since 1970; now where it is left out.
    """
    origin = Origin(source, tuple(sorted(studies)), time.time() if brought is None else brought)
    replace_file(folder / MARK, json.dumps(asdict(origin)))


def origin_of(folder: Path) -> Origin | None:
    """Where a folder came from; None for one that was made here. A mark that cannot be read is a mark."""
    try:
        return Origin(**_ORIGIN.known(read_json(folder / MARK)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return Origin(UNKNOWN, (), 0.0)


def is_foreign(folder: Path) -> bool:
    """Whether a folder came from elsewhere and nobody has adopted it."""
    origin = origin_of(folder)
    return origin is not None and origin.own_since is None


def own_manifest(root: Path, manifest: Manifest) -> Manifest:
    """The manifest under which the workspace's own facts are kept: another one, with another folder, where a
    bundle took the first, since all that a folder holds is as foreign as the folder."""
    return next(m for m in _places(manifest) if not is_foreign(root / m.job_id))


def own_job(root: Path, manifest: Manifest) -> Job:
    """The folder for the workspace's own facts, as `own_manifest` finds it; made where it is missing."""
    return create_job(root, own_manifest(root, manifest))


def _places(manifest: Manifest) -> Iterator[Manifest]:
    yield manifest
    for taken in count(1):
        beside = "foreign" if taken == 1 else f"foreign {taken}"
        yield replace(manifest, work={**manifest.work, "beside": beside})


def in_order(jobs: Iterable[Job]) -> list[Job]:
    """Jobs in the order in which they became the workspace's own; behind them the foreign ones, as they were
    brought."""

    def place(job: Job) -> tuple[bool, float, float, str]:
        origin, created = origin_of(job.folder), job.manifest.created
        if origin is None:
            return False, created, created, job.job_id
        since = origin.own_since
        return since is None, origin.brought if since is None else since, created, job.job_id

    return sorted(jobs, key=place)


def foreign_folders(root: Path, study: str) -> list[Path]:
    """The folders that came with a study from elsewhere and that nobody has adopted."""
    return [folder for folder, origin in _foreign(root) if study in origin.studies]


def foreign_studies(root: Path) -> list[str]:
    """The studies a text of which came from elsewhere and that nobody has adopted."""
    return sorted({study for _, origin in _foreign(root) for study in origin.studies})


def _foreign(root: Path) -> list[tuple[Path, Origin]]:
    marked = [(mark.parent, origin_of(mark.parent)) for mark in sorted(root.glob(f"*/{MARK}"))]
    return [(folder, origin) for folder, origin in marked if origin is not None and origin.own_since is None]


def refuse_foreign(root: Path, study: str) -> None:
    """Let nothing be made of a study a text of which came from elsewhere, until a person adopts it.

    Raises:
        NotAllowedError: it did, and nobody has.
    """
    if study in foreign_studies(root):
        raise NotAllowedError(
            f"The study {study!r} came from elsewhere and has not been adopted, so nothing of it runs.",
            f"`capsafe adopt {study}` and the Runs page show what it would use, and ask you.",
        )


def adopt(root: Path, study: str, person: str) -> int:
    """A person who has seen what a foreign study asks for takes it, and the jobs that came with it, as the
    workspace's own.

    Returns:
        How many job folders.
    """
    folders = foreign_folders(root, study)
    for folder in folders:
        origin = origin_of(folder)
        if origin is not None:
            taken = replace(origin, adopted_by=person, adopted=time.time())
            replace_file(folder / MARK, json.dumps(asdict(taken)))
    return len(folders)
