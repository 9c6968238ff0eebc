"""Engines turn requests into completions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from capsafe_core.engines.base import (
    Completion,
    Engine,
    Failure,
    Finished,
    Message,
    Request,
    Sampling,
    Unit,
    answer_all,
)
from capsafe_core.engines.models import Weights, laid_over, resolve_weights, served_weights
from capsafe_core.errors import CapsafeError, UnknownNameError

__all__ = [
    "Completion",
    "Engine",
    "Failure",
    "Finished",
    "Message",
    "Request",
    "Sampling",
    "Unit",
    "Weights",
    "answer_all",
    "find_weights",
    "laid_over",
    "models_folder",
    "open_engine",
]


def find_weights(
    settings: dict[str, Any],
    model: str,
    models: Path,
    adapters: tuple[Path, ...] = (),
    trusted: bool = False,
    pickles: bool = False,
    tokenizer: str = "",
) -> Weights:
    """The weights of a model for the engine that a study's `[engine]` table names.

    Raises:
        CapsafeError: the model or an adapter is not there.
    """
    if settings["name"] == "openai":
        return served_weights(model, adapters)
    return resolve_weights(model, models, adapters, trusted, pickles, tokenizer)


def open_engine(
    settings: dict[str, Any],
    weights: Weights,
    models: Path,
    adapters: Sequence[Path] = (),
    stopped: Callable[[], bool] = lambda: False,
) -> Engine:
    """The engine that a study's `[engine]` table names, with its weights loaded.

    Args:
        settings: the `[engine]` table.
        weights: what answers; its own adapters are merged.
        models: folder for weights that are made on the way.
        adapters: those that requests may name, for engines that switch adapters.
        stopped: whether the job is to end, for engines that wait for somebody else.

    Raises:
        CapsafeError: the engine is unknown or not installed, or its weights cannot be loaded.
    """
    name = settings["name"]
    try:
        if name == "transformers":
            from capsafe_core.engines.transformers import TransformersEngine

            return TransformersEngine(
                weights, dtype=settings["dtype"], batch_size=settings["batch_size"], device=settings["device"]
            )
        if name == "vllm":
            from capsafe_core.engines.vllm import VllmEngine

            return VllmEngine(weights, adapters, settings, models)
        if name == "openai":
            from capsafe_core.engines.openai import OpenaiEngine

            return OpenaiEngine(weights, adapters, settings, stopped)
    except ImportError as error:
        raise CapsafeError(
            f"The engine {name!r} needs {error.name}, which this Python has not got.",
            'Install it, or set python = "..." under [engine] to the interpreter of an environment with '
            f"{name}.",
        ) from error
    raise UnknownNameError("engine", name, ("transformers", "vllm", "openai"))


def models_folder(job_folder: Path) -> Path:
    """Where converted models are kept, for a job in a workspace's jobs folder."""
    return job_folder.parent.parent / "models"
