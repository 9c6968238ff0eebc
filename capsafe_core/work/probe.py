"""The probe job: a few answers with the stopwatch running, to say what a run will cost before it is
started."""

from __future__ import annotations

import json
import time

from capsafe_core.benchmarks import load_benchmark
from capsafe_core.engines import Completion, models_folder, open_engine
from capsafe_core.jobs.folder import Part, replace_file
from capsafe_core.jobs.folder.work import ProbeWork
from capsafe_core.work.generate import checkpoint_weights, group_checkpoints, plan_requests

ANSWERS = 16
"""requests that are answered, or one batch where the engine works in batches"""


def work(part: Part) -> None:
    """Count what the generate jobs ask, and time a few of the first one's requests; nothing of it is kept but
    the figures."""
    jobs = part.job.manifest.asks(ProbeWork).jobs
    settings = {b["name"]: b for job in jobs for b in job.benchmarks}
    benchmarks = {name: load_benchmark(b) for name, b in settings.items()}
    sizes = {name: len(b.prompts) for name, b in benchmarks.items()}
    each = [
        (
            len(job.all_checkpoints),
            job.sampling.samples * len(job.sampling.all_seeds),
            job.benchmarks,
        )
        for job in jobs
    ]
    generations = sum(
        checkpoints * times * sizes[b["name"]] for checkpoints, times, chosen in each for b in chosen
    )
    first = jobs[0]
    began = time.monotonic()
    weights = checkpoint_weights(first.all_checkpoints[0], first.engine, part.job.folder)
    (group,) = group_checkpoints([weights], first.switches)
    engine = open_engine(first.engine, group.weights, models_folder(part.job.folder), group.adapters)
    loading = time.monotonic() - began
    requests = plan_requests(first, weights, [benchmarks[b["name"]] for b in first.benchmarks])
    units = engine.plan(requests[:: max(1, len(requests) // max(ANSWERS, min(engine.batch_size, 64)))])
    while sum(len(u.requests) for u in units[:-1]) >= ANSWERS:
        units.pop()
    began = time.monotonic()
    answers: list[Completion] = [a for finished in engine.generate(units) for a in finished.completions]
    seconds = time.monotonic() - began
    tokens = sum(a.tokens for a in answers)
    if not answers:
        part.error("probe", "none of the requests was answered")
        return
    mean = tokens / len(answers)
    found = {
        "prompts": sum(sizes.values()),
        "generations": generations,
        "tokens": round(generations * mean),
        "answers": len(answers),
        "tokens_per_answer": mean,
        "tokens_per_second": tokens / seconds,
        "loading": loading,
        "seconds": len(jobs) * loading + generations * seconds / len(answers),
    }
    replace_file(part.job.folder / "result.json", json.dumps(found))
