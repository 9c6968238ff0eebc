"""The short form of the soak."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capsafe_core.jobs.folder import list_jobs
from tests.soak.made import make
from tests.soak.run import Soak, soak


def test_a_few_kills_lose_and_double_nothing_and_a_later_run_goes_on(tmp_path: Path) -> None:
    first = soak(tmp_path, 3, 10)
    assert first["kills"] >= 3
    assert first["labels"] > 0
    again = soak(tmp_path, first["kills"], 10)
    assert again == {"kills": first["kills"], "rounds": first["rounds"]} | {
        name: first[name] for name in ("outputs", "judgments", "labels")
    }
    lines = [json.loads(line) for line in (tmp_path / "soak.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines if "round" in line] == list(range(first["rounds"]))


def test_what_is_lost_or_doubled_would_be_seen(tmp_path: Path) -> None:
    found = Soak(make(tmp_path))
    found.count(0)
    (tmp_path / "said-desk-0").write_text("at work\nack an-entry-that-was-lost\nack cut")
    with pytest.raises(AssertionError, match="acknowledged label was lost"):
        found.count(0)
    (tmp_path / "said-desk-0").unlink()
    job = next(job for job in list_jobs(tmp_path / "jobs") if job.manifest.kind == "generate")
    shard = job.path(0, "shard.jsonl")
    shard.write_bytes(b"".join(shard.read_bytes().splitlines(keepends=True)[:-2]))
    with pytest.raises(AssertionError):
        found.count(0)
