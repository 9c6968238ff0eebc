"""What is read of a folder that somebody named: regular files in it, and nothing that a link or a name leads
to elsewhere."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

_WHY = {
    "outside": "symbolic links that lead out of the folder, to another folder or nowhere",
    "special": "no regular files (pipes, devices, sockets)",
    "unnamed": "files whose names are not UTF-8",
    "closed": "folders or files that cannot be looked at",
}


@dataclass
class Files:
    """The files of a folder, and how many entries were left out, by reason."""

    paths: list[Path] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def sentences(self) -> list[str]:
        """One for each reason for which something was left out."""
        return [f"{count:,} left out: {_WHY[why]}." for why, count in sorted(self.left_out.items())]

    def _leave_out(self, why: str) -> None:
        self.left_out[why] = self.left_out.get(why, 0) + 1


def regular_files(root: Path) -> Files:
    """The regular files below a folder, in order, hidden ones left out.

    The folder itself may be a link, for somebody named it. A link in it counts as the file that it leads to
    where that is a regular file below the same folder, and is left out otherwise; links to folders are never
    walked.
    """
    found, waiting = Files(), [root]
    inside = boundary(root)
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            found._leave_out("closed")
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            if not _is_utf8(entry.name):
                found._leave_out("unnamed")
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif (why := _refused(path, inside)) is not None:
                found._leave_out(why)
            else:
                found.paths.append(path)
    found.paths.sort()
    return found


def boundary(folder: Path) -> Path:
    """The folder beyond which no link is followed: the folder itself, or the hub's cache of a model where it
    is a snapshot in it."""
    real = folder.resolve()
    is_snapshot = real.parent.name == "snapshots" and (real.parent.parent / "blobs").is_dir()
    return real.parent.parent if is_snapshot else real


def is_regular(path: Path, inside: Path) -> bool:
    """Whether a path is a regular file, or a link to one, below a folder (as `boundary` gives it)."""
    return _refused(path, inside) is None


def _refused(path: Path, inside: Path) -> str | None:
    """Why a path is not read; None where it is."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            real = path.resolve(strict=True)
            return None if real.is_relative_to(inside) and real.is_file() else "outside"
    except (OSError, RuntimeError):  # a loop is a RuntimeError
        return "outside"
    return None if stat.S_ISREG(mode) else "special"


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in name)
