"""Where things are: settings from CAPSAFE_* environment variables."""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds app.py, data/ and capsafe_core/."""


class Settings(BaseSettings):
    """Paths of the workspace and of the engine's interpreter.

    `CAPSAFE_STORE` belongs on a local disk; `CAPSAFE_JOBS` may be on a disk that machines share.
    """

    model_config = SettingsConfigDict(env_prefix="CAPSAFE_")

    home: Path = ROOT / "data" / "workspace"
    store: Path | None = None
    jobs: Path | None = None
    engine_python: Path | None = None
    memory_limit: str = "1GB"
    threads: int = 2

    @cached_property
    def store_path(self) -> Path:
        return self.store or self.home / "store.duckdb"

    @cached_property
    def jobs_path(self) -> Path:
        return self.jobs or self.home / "jobs"

    @cached_property
    def exports_path(self) -> Path:
        return self.home / "exports"

    @cached_property
    def socket_path(self) -> Path:
        return self.store_path.with_suffix(".sock")

    @property
    def worker_python(self) -> Path:
        """The interpreter that runs workers: CAPSAFE_ENGINE_PYTHON, else .venv-engine where it is ready, else this one."""
        own = ROOT / ".venv-engine" / "bin" / "python"
        if self.engine_python is not None:
            return self.engine_python
        return own if own.exists() else Path(sys.executable)
