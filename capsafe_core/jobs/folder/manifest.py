"""What a job is to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder.files import file_part, is_text, read_json
from capsafe_core.jobs.folder.work import ImportWork, W, Work, plain
from capsafe_core.records import FORMAT, canonical_json, digest_text
from capsafe_core.values import Seconds, Shape, Within

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

    @classmethod
    def of(cls, study: str, name: str, work: Work, after: tuple[str, ...] = (), parts: int = 1) -> Manifest:
        """The manifest of work on a study."""
        return cls(work.kind, name, plain(work), after, parts, study=study)

    def asks(self, kind: type[W]) -> W:
        """The work, every value of the type that it is to have.

        Raises:
            CapsafeError: it is not what a job of this kind does; says what is wrong, and where.
        """
        try:
            return msgspec.convert(self.work, kind)
        except msgspec.ValidationError as error:
            raise CapsafeError(
                f"The manifest of {self.name} does not ask for what a job of kind {self.kind} does: {error}.",
                "Delete its folder and start the job again.",
            ) from error

    @property
    def declares(self) -> bool:
        """Whether its job may hold a study's text: it brings facts, and reads no logs for them."""
        return self.kind == "import" and not self.imports

    @property
    def imports(self) -> bool:
        """Whether its job reads logs."""
        return self.kind == "import" and "sources" in self.work

    @property
    def job_id(self) -> str:
        """Readable and the same for the same work, so asking twice makes one job."""
        same = canonical_json([FORMAT, self.kind, self.name, self.work, list(self.after), self.parts])
        return f"{self.kind}-{file_part(self.name)}-{digest_text(same)[:10]}"


_MANIFEST = Shape(Manifest)


def read_manifest(path: Path) -> Manifest:
    """A manifest's file.

    Raises:
        OSError, ValueError: there is none, or it cannot be read.
    """
    manifest = Manifest(**_MANIFEST.known(read_json(path)))
    if manifest.imports:  # every list of imports takes it for granted
        try:
            manifest.asks(ImportWork)
        except CapsafeError as error:
            raise ValueError(str(error)) from error
    if not is_text(f"{manifest.kind}{manifest.name}{manifest.study}"):
        raise ValueError("its names hold half a character")
    return manifest
