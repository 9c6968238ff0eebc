"""What a job is to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from capsafe_core.jobs.folder.files import is_text, read_json
from capsafe_core.records import FORMAT, canonical_json, digest_text
from capsafe_core.values import Count, Holding, Seconds, Shape, Within

MOST_PARTS = 10_000
"""parts of a job"""


@dataclass(frozen=True)
class Manifest:
    """What a job is to do; `work` holds the settings of its kind."""

    kind: str
    name: str
    work: dict[str, Any]
    after: tuple[str, ...] = ()
    parts: Annotated[int, Within(1, MOST_PARTS)] = 1
    python: str = ""
    code_version: str = ""
    created: Seconds = 0.0
    study: str = ""
    """the study that it is of; "" in manifests of before this was kept"""

    @property
    def declares(self) -> bool:
        """Whether its job may hold a study's text: it brings facts, and reads no logs for them."""
        return self.kind == "import" and "sources" not in self.work

    @property
    def job_id(self) -> str:
        """Readable and the same for the same work, so asking twice makes one job."""
        same = canonical_json([FORMAT, self.kind, self.name, self.work, list(self.after), self.parts])
        return f"{self.kind}-{self.name}-{digest_text(same)[:10]}"


@dataclass(frozen=True)
class _Work:
    """What those who show jobs take for granted of a manifest's work, where it is there."""

    study: str = ""
    mapping: str = ""
    path: dict[str, Any] = field(default_factory=dict)
    sources: tuple[
        Annotated[dict[str, Any], Holding({"tool": str, "relative": str, "digest": str, "outputs": Count})],
        ...,
    ] = ()


_MANIFEST, _WORK = Shape(Manifest), Shape(_Work)


def read_manifest(path: Path) -> Manifest:
    """A manifest's file.

    Raises:
        OSError, ValueError: there is none, or it cannot be read.
    """
    manifest = Manifest(**_MANIFEST.known(read_json(path)))
    _check_work(manifest.work)
    if not is_text(f"{manifest.kind}{manifest.name}{manifest.study}"):
        raise ValueError("its names hold half a character")
    return manifest


def _check_work(work: dict[str, Any]) -> None:
    """Raises ValueError where a manifest's work is not what those who show jobs take for granted."""
    _WORK.known(work)
    if "sources" in work and not {"study", "mapping"} <= work.keys():
        raise ValueError("it has sources, and no study or mapping")
