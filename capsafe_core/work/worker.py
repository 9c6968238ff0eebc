"""The worker: does one part of one job and ends.

python -m capsafe_core.work.worker FOLDER [--part I]
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Part, open_job
from capsafe_core.text import visible

RANK = "RANK"
"""the variable that numbers the processes of one job, where it has several: the first holds the part"""
LOG = logging.getLogger(__name__)
KINDS = ("generate", "judge", "stress", "finetune", "mitigate", "probe", "preview", "fit", "survey")
WORK = {kind: f"capsafe_core.work.{kind}" for kind in KINDS} | {"import": "capsafe_core.work.import_logs"}
"""The module whose `work(part)` does a kind of job."""


def run(folder: Path, index: int, is_all: bool = False) -> int:
    """Do a part; 0 when it is done or was stopped, 1 when it failed (the status file says why).

    Args:
        is_all: as of `Part`.
    """
    try:
        job = open_job(folder)
        if job.manifest.kind not in WORK:
            raise CapsafeError(f"No worker does jobs of kind {job.manifest.kind!r}.")
        module = import_module(WORK[job.manifest.kind])
        if is_all and int(os.environ.get(RANK, "0")):
            module.follow(job)
            return 0
        with Part(job, index, is_all) as part:
            work: Callable[[Part], None] = module.work
            work(part)
    except CapsafeError as error:
        LOG.error("%s", visible(str(error)))
        return 1
    except Exception:
        LOG.exception("A fault in capsafe or its engine ended the part.")
        return 1
    return 0


def main() -> None:
    """Read the command line and do the part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    sys.exit(run(options.folder, options.part, is_all=True))


if __name__ == "__main__":
    main()
