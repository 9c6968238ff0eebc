"""Files that are written whole or not at all, and the sentence where a disk refuses."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from capsafe_core.errors import CapsafeError

_STEPS = {
    errno.ENOSPC: "Free some space there, or choose another place. Nothing half-written was left.",
    errno.EDQUOT: "Free some of your quota, or choose another place. Nothing half-written was left.",
    errno.EFBIG: "Allow larger files, or choose another place. Nothing half-written was left.",
    errno.EROFS: "The place can only be read; choose another.",
    errno.EACCES: "Choose a place that you may write to.",
    errno.EPERM: "Choose a place that you may write to.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ENOTDIR: "A file stands where a folder is needed; choose another place.",
    errno.EEXIST: "A file stands where a folder is needed; choose another place.",
    errno.ENOENT: "Make its folder first, or choose another place.",
}
REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""what a disk says that takes nothing more, whatever is asked of it"""


def refusal(error: Exception, what: object = "") -> CapsafeError:
    """An error of the disk as a sentence with a next step.

    Args:
        what: the file or folder that was to be written; the one that the error names where it is left out.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number is None:  # DuckDB tells it in words only
        number = next((n for n in _STEPS if os.strerror(n) in str(error)), None)
    reason = (
        os.strerror(number) if number is not None else (str(error).splitlines() or [type(error).__name__])[0]
    )
    place = what or getattr(error, "filename", None) or "A file"
    verb = "written" if what or number in REFUSALS else "used"
    return CapsafeError(
        f"{place} could not be {verb}: {reason}.", _STEPS.get(number or 0, "Choose another place.")
    )


@contextmanager
def whole(target: Path, *errors: type[Exception]) -> Iterator[Path]:
    """A new place beside a target, for a file or a folder that takes the target's place once it is whole.

    Args:
        errors: what else than OSError means that the disk refused.

    Raises:
        CapsafeError: the disk refused; nothing is left of what was begun.
    """
    new = target.with_name(f".{uuid.uuid4().hex[:12]}.new")
    try:
        yield new
        new.replace(target)
    except Exception as error:
        if isinstance(error, (OSError, *errors)):
            raise refusal(error, target) from error
        raise
    finally:
        for left in (new, new.with_name(f"{new.name}.wal")):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
