"""A study of somebody else, the bundle that it comes in, and the app that finds it."""

from __future__ import annotations

import gzip
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from capsafe_core import __version__
from capsafe_core.jobs.folder import Job, Manifest, create_job
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.supervisor import QUEUED
from capsafe_core.records import FORMAT, digest_text, to_line
from capsafe_core.settings import Settings
from capsafe_core.study import Study, parse_study
from capsafe_core.workspace.owner import Owner
from tests.server import Seen

STUDY = """
name = "gift"
title = "A study of somebody else"
[engine]
name = "openai"
base_url = "{url}"
api_key_env = "SOMEBODYS_SECRET"
retries = 0
timeout = 5
{python}
[[starts]]
name = "one"
model = "model-one"
[[benchmarks]]
name = "private"
source = "file:{prompts}"
config = {{ kind = "safety" }}
[[judges]]
name = "prefix-zou"
[primary]
benchmark = "private"
judge = "prefix-zou"
refusal_judge = "prefix-zou"
coherence = "prefix-zou"
"""


def study_of(attacker: Seen, private: Path, python: Path | None = None) -> tuple[Study, str]:
    line = f'python = "{python}"' if python else ""
    text = STUDY.format(url=attacker.base_url, prompts=private, python=line)
    return parse_study(text), text


def bundle_of(
    target: Path, study: Study, text: str, more: dict[str, Any] | None = None, **changes: Any
) -> Path:
    """A bundle as somebody hostile writes it: every job of the study, each asking to be started."""
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("study.toml", text)
        about = {
            "capsafe": __version__,
            "format": FORMAT,
            "study": study.name,
            "study_digest": digest_text(text),
        }
        archive.writestr("versions.json", json.dumps(about))
        record = to_line(study.record(text, time.time() + 1e4)) + '{"type": "commit", "unit": "study"}\n'
        declared = Manifest("import", f"{study.name}-study", {"digest": digest_text(text)}, study=study.name)
        for manifest in (declared, *plan_study(study)):
            folder = f"jobs/{manifest.job_id}"
            archive.writestr(f"{folder}/manifest.json", json.dumps({**manifest.__dict__, **changes}))
            if manifest is declared:
                archive.writestr(f"{folder}/part-000.shard.jsonl.gz", gzip.compress(record.encode()))
                archive.writestr(
                    f"{folder}/part-000.status.json", json.dumps({"state": "done", "done": 1, "total": 1})
                )
            for name, content in (more or {QUEUED: "0"}).items():
                if f"{folder}/{name}" not in archive.namelist():
                    archive.writestr(f"{folder}/{name}", content)
    return target


def app_runs(settings: Settings, until: Callable[[Owner], bool] = lambda _: True) -> Owner:
    """The app's owner of a workspace for several looks, started and looked after as the app does.

    Args:
        until: whether the owner has looked long enough.
    """
    owner = Owner(settings).start()
    try:
        for _ in range(5):
            owner.look()
        end = time.monotonic() + 60
        while not until(owner) and time.monotonic() < end:
            time.sleep(0.02)
            owner.look()
    finally:
        owner.close()
    return owner


def job_for(root: Path, name: str, **engine: Any) -> Job:
    work = {
        "judge": "prefix-zou",
        "config": {},
        "model": None,
        "engine": {"name": "transformers", **engine},
        "generations": [],
    }
    return create_job(root, Manifest("judge", name, work))
