"""The engine's environment: what a worker needs there, and how it is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from capsafe_core.jobs.engine_environment import State, read_state
from capsafe_core.settings import ROOT


def test_what_a_worker_needs_is_listed(cold_engine_python: Path) -> None:
    """A worker loads none of the reading tower, whatever its environment holds."""
    code = (
        "import sys, capsafe_core.work.worker, capsafe_core.work.generate, capsafe_core.work.judge, "
        "capsafe_core.work.finetune; print([m for m in ('duckdb', 'pandas', 'streamlit', 'pyarrow', "
        "'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [str(cold_engine_python), "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_the_environments_state_is_told_in_words() -> None:
    assert "make engine" in State().words
    assert "could not be prepared" in State("failed", "x", message="no space.").words
    assert "MB so far" in State("preparing", "installing").words
    assert read_state().state in ("absent", "preparing", "ready", "failed")


def test_the_environment_is_prepared_by_the_standard_library_alone() -> None:
    code = "import capsafe_core.jobs.engine_environment as e; print(e.FOLDER)"
    shown = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == str(ROOT / ".venv-engine")
