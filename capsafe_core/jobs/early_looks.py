"""A judge looks at the answers that are there before all jobs that it comes after have ended.

How much is there is told by status files: of those who answer, their records and seconds of work; of a judge,
how many records were there when it last looked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from capsafe_core.jobs.folder import Job

LOOK = 2.0
"""seconds that a look takes at least, since a process starts for it"""
OFTEN = 10.0
"""How many times as long as all early looks took the others must have worked before the next ones, so that
looking early adds about a tenth of the time and no more."""


def records_of(jobs: Iterable[Job]) -> int:
    """How many records jobs have committed."""
    return sum(status.done for job in jobs for status in job.begun)


def comes_early(job: Job, known: Mapping[str, Job]) -> bool:
    """Whether a job is a judge that waits for others which have not all ended.

    Args:
        known: jobs by id; a judge of which one is missing waits.
    """
    after = job.manifest.after
    return job.manifest.kind == "judge" and (
        all(name in known for name in after) and not all(known[name].ended for name in after)
    )


def has_news(job: Job, part: int, known: Mapping[str, Job], times: float = 0.0) -> bool:
    """Whether a judge that waits has answers to look at that were not there when it last looked.

    One that failed or was stopped is not started again by itself.

    Args:
        times: how many times as long as its last look took the others must have worked since.
    """
    status = job.status(part)
    if status.state not in ("waiting", "done", "partial"):
        return False
    before = [known[name] for name in job.manifest.after]
    there = records_of(before)
    new = there - status.looked_at
    if new <= 0:
        return False
    worked = sum(one.seconds for other in before for one in other.begun if one.done)
    return worked * new / there >= times * max(LOOK, status.heartbeat - status.started)
