"""Engines turn requests into completions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from capsafe_core.engines.base import Completion, Engine, Message, Request, Sampling, batch_plan
from capsafe_core.engines.models import Weights, resolve_weights
from capsafe_core.errors import CapsafeError

__all__ = ["Completion", "Engine", "Message", "Request", "Sampling", "Weights", "batch_plan", "open_engine", "resolve_weights"]


def open_engine(settings: dict[str, Any], weights: Weights) -> Engine:
    """The engine that a study's `[engine]` table names, with its weights loaded.

    Raises:
        CapsafeError: the engine is unknown, or its weights cannot be loaded.
    """
    if settings["name"] == "transformers":
        from capsafe_core.engines.transformers import TransformersEngine

        return TransformersEngine(weights, dtype=settings["dtype"], batch_size=settings["batch_size"], device=settings["device"])
    raise CapsafeError(f"There is no engine called {settings['name']!r}.", "Use 'transformers'.")


def models_folder(job_folder: Path) -> Path:
    """Where converted models are kept, for a job in a workspace's jobs folder."""
    return job_folder.parent.parent / "models"
