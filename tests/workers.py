"""Workers in this process, for tests of what comes of a job and not of the process that does it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from capsafe_core.work import worker


class Here:
    """Stands for the process that the supervisor starts: the part is done before it is returned."""

    def __init__(self, command: Sequence[str], **_: Any) -> None:
        _, module_option, module, folder, part_option, part = command
        assert (module_option, module, part_option) == ("-m", "capsafe_core.work.worker", "--part")
        self.returncode = worker.run(Path(folder), int(part))

    def wait(self) -> int:
        return self.returncode

    poll = wait


SUBPROCESS = SimpleNamespace(Popen=Here, DEVNULL=subprocess.DEVNULL, STDOUT=subprocess.STDOUT)
"""what the supervisor's `subprocess` is replaced by"""
