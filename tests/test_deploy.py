"""What `deploy/` sets are settings, and replicas may only read the job folders."""

from __future__ import annotations

import re

import pytest

from capsafe_core.settings import ROOT, Settings

FILES = ("Dockerfile", "compose.yaml", "kubernetes.yaml")
OTHERS = {"CAPSAFE_HOST"}
"""what only compose reads"""


@pytest.mark.parametrize("name", FILES)
def test_every_variable_is_a_setting(name: str) -> None:
    named = set(re.findall(r"CAPSAFE_[A-Z_]+", (ROOT / "deploy" / name).read_text(encoding="utf-8")))
    assert named
    assert named - OTHERS <= {f"CAPSAFE_{field.upper()}" for field in Settings.model_fields}


def test_replicas_mount_the_job_folders_read_only() -> None:
    compose = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
    mounts = re.findall(r'"(\S+)-store:/store", "(jobs:\S+)"', compose)
    assert dict(mounts) == {"owner": "jobs:/jobs", "replica-1": "jobs:/jobs:ro", "replica-2": "jobs:/jobs:ro"}
