"""A study over a server, and what its jobs wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from capsafe_core.jobs.folder import list_jobs
from capsafe_core.settings import Settings
from tests.server import serving

STUDY = """
name = "served"
title = "A study over a server"
[engine]
name = "openai"
base_url = "{url}"
concurrency = 4
retries = 0
timeout = 5
[sampling]
temperature = 0.5
samples = 2
seeds = [1, 2]
[[starts]]
name = "one"
model = "model-one"
[[starts]]
name = "two"
model = "model-two"
[[benchmarks]]
name = "direct-requests"
source = "project:direct-requests"
size = 5
[[judges]]
name = "prefix-zou"
[[judges]]
name = "coherence-rules"
[primary]
benchmark = "direct-requests"
judge = "prefix-zou"
refusal_judge = "prefix-zou"
coherence = "coherence-rules"
"""


JUDGE = """
template = "Is it bad? {response}"
parser = "patterns"
reads = [{ dimension = "safety", pattern = "(Said)", labels = { said = "unsafe" } }, { dimension = "refusal", pattern = "(Said)", labels = { said = "none" } }]
"""


@contextmanager
def half_broken(
    workspace: Settings, source: str = "project:direct-requests"
) -> Iterator[tuple[Path, dict[str, bool]]]:
    """A study file over a server that fails every other request until its switch is turned off."""
    switch = {"on": True}
    with serving(lambda number, body: "500" if switch["on"] and number % 2 else "") as seen:
        path = workspace.home / "study.toml"
        path.write_text(STUDY.format(url=seen.base_url).replace("project:direct-requests", source))
        yield path, switch


def written(jobs: Path, kind: type) -> list[object]:
    return [r for job in list_jobs(jobs) for r in job.records() if isinstance(r, kind)]


def said(result: object) -> str:
    return f"{result.output}{result.exception or ''}"  # type: ignore[attr-defined]
