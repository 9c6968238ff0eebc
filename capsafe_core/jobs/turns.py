"""Whose turn it is: which part of a graph of jobs a worker does next."""

from __future__ import annotations

import itertools
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from capsafe_core.jobs.early_looks import OFTEN, comes_early, has_news
from capsafe_core.jobs.folder import Job


@dataclass(frozen=True)
class Share:
    """The share of one worker among several that carry out the same graph with no coordinator: part i of n,
    from 0."""

    index: int = 0
    of: int = 1

    def parts(self, job: Job, place: int) -> list[int]:
        """Which parts of a job are this worker's, whatever number of parts it has: every n-th, where the
        parts of all jobs are dealt out in turn.

        Args:
            place: of the job in the graph.
        """
        return [part for part in range(job.manifest.parts) if (place + part) % self.of == self.index]


def next_turn(
    todo: Sequence[tuple[Job, int]], known: Mapping[str, Job], share: Share
) -> tuple[Job, int] | None:
    """The part to do next: a judge that has enough to look at, then the first that can be done whole; where
    nothing else will happen, a judge that has anything to look at, and nobody at work on more of it."""
    judges = [(job, part) for job, part in todo if comes_early(job, known)]
    looks = (turn for turn in judges if has_news(*turn, known, OFTEN * len(judges)))
    whole = (turn for turn in todo if _can_be_whole(turn[0], known))
    rest = (
        turn
        for turn in judges
        if is_stuck(todo, known, share)
        and not any(known[name].state == "running" for name in turn[0].manifest.after)
        and has_news(*turn, known)
    )
    return next(itertools.chain(looks, whole, rest), None)


def left_over(
    jobs: Sequence[Job], known: Mapping[str, Job], share: Share, helped: Container[tuple[str, int]]
) -> tuple[Job, int] | None:
    """A part of another share that could be done now and that nobody is at work on; each is tried once."""
    others = (
        (job, part)
        for place, job in enumerate(jobs)
        if _can_be_whole(job, known)
        for part in sorted(set(range(job.manifest.parts)).difference(share.parts(job, place)))
    )
    free = (
        (job, part)
        for job, part in others
        if (job.job_id, part) not in helped and job.status(part).state in ("waiting", "lost")
    )
    return next(free, None)


def _can_be_whole(job: Job, known: Mapping[str, Job]) -> bool:
    """Whether the jobs that it comes after have ended."""
    return all(name in known and known[name].ended for name in job.manifest.after)


def is_stuck(todo: Sequence[tuple[Job, int]], known: Mapping[str, Job], share: Share) -> bool:
    """Whether nobody else will bring what the jobs wait for."""
    before = (known[name] for job, _ in todo for name in job.manifest.after if name in known)
    return share.of == 1 or any(map(_hopeless, before))


def _hopeless(job: Job) -> bool:
    """Whether nobody is at work on what is missing of a job, and it did not just wait to be started."""
    return job.state in ("failed", "stopped")
