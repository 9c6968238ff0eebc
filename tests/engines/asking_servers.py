"""The engine over a server that misbehaves, and jobs that ask it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from capsafe_core.engines import Request, Sampling, find_weights, open_engine
from capsafe_core.jobs.folder import Job, Manifest, create_job
from capsafe_core.records import Generation
from tests.asked import direct_requests
from tests.server import Seen

KEY = "sk-planted-7f3a9c"


def settings(seen: Seen, **changes: object) -> dict[str, Any]:
    return {
        "name": "openai",
        "base_url": seen.base_url,
        "api_key_env": "TEST_SERVER_KEY",
        "concurrency": 4,
        "timeout": 2.0,
        "retries": 3,
        "top_logprobs": 20,
        **changes,
    }


def asked(n: int = 12) -> list[Request]:
    return [
        Request(f"{i}", ({"role": "user", "content": f"Question {i}?"},), Sampling(0.7, seed=5))
        for i in range(n)
    ]


def engine(seen: Seen, **changes: object):  # type: ignore[no-untyped-def]
    chosen = settings(seen, **changes)
    return open_engine(chosen, find_weights(chosen, "some-model", Path()), Path())


def generating(
    root: Path, seen: Seen, name: str = "g", size: int = 24, samples: int = 1, **changes: object
) -> Job:
    sampling = {
        "temperature": 0.7,
        "top_p": 1.0,
        "max_tokens": 12,
        "samples": samples,
        "seed": 0,
        "system_prompt": "Be brief.",
    }
    work = {
        "checkpoints": [{"model": "some-model", "adapters": []}],
        "benchmarks": [direct_requests(size)],
        "sampling": sampling,
        "engine": settings(seen, **changes),
    }
    return create_job(root, Manifest("generate", name, work))


def texts(job: Job) -> dict[str, str]:
    return {r.id: r.text for r in job.records() if isinstance(r, Generation)}
