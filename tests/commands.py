"""The `capsafe` command in this process: one of its own would add only the time that it starts in."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import pytest

from capsafe_core.cli import main


def command(home: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the workspace in `home`; what is not a sentence is raised.

    Args:
        changes: of the environment.
    """
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        for name, value in ({"CAPSAFE_HOME": str(home)} | changes).items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["capsafe", *arguments])
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 0
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())
