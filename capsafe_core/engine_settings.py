"""The engines that a study may name, and how each is set up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)


class StudyPart(BaseModel):
    """A table of a study file: nothing else may stand in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TransformersSettings(StudyPart):
    """The embedded engine, on CPU or GPU; `python` is accepted only if it is the interpreter that the
    workspace's settings name."""

    switches_adapters: ClassVar[bool] = False
    """whether one loaded engine answers with several adapters, request by request"""
    name: Literal["transformers"] = "transformers"
    dtype: Literal["bfloat16", "float32", "float16"] = "bfloat16"
    batch_size: int = Field(default=32, ge=1)
    device: str = "cpu"
    python: Path | None = None


class TrainingSettings(TransformersSettings):
    """What fine-tunes, where that is not the engine."""

    gpus: int = Field(default=1, ge=1, le=64)
    """that share the batches of each step, a process each"""

    @model_serializer(mode="wrap")
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As `OpenaiSettings` does without replicas."""
        told: dict[str, Any] = write(self)
        return told if self.gpus > 1 else _without(told, "gpus")


class VllmSettings(StudyPart):
    """vLLM inside the worker.

    It pins torch and transformers, so it mostly lives in an environment of its own, which the workspace's
    settings name.
    """

    switches_adapters: ClassVar[bool] = True
    name: Literal["vllm"]
    dtype: Literal["auto", "bfloat16", "float32", "float16"] = "auto"
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs that share one model"""
    max_model_len: int | None = Field(default=None, ge=16)
    """tokens of prompt and answer together; None for what the model was made for"""
    gpu_memory: float = Field(default=0.9, gt=0, le=1)
    enforce_eager: bool = False
    """start sooner, run slower"""
    python: Path | None = None


class OpenaiSettings(StudyPart):
    """A server that speaks OpenAI's API.

    The key stays in the environment: only the variable's name is written here.
    """

    switches_adapters: ClassVar[bool] = True
    name: Literal["openai"]
    base_url: str = Field(pattern=r"^https?://[^@?#\s]+$")
    """such as http://127.0.0.1:8000/v1"""
    replicas: tuple[Annotated[str, Field(pattern=r"^https?://[^@?#\s]+$")], ...] = ()
    """further servers of the same models and version; each request goes to the one with the fewest on the
    way"""
    api_key_env: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Z][A-Z0-9_]*$", max_length=64)
    concurrency: int = Field(default=16, ge=1)
    timeout: float = Field(default=120.0, gt=0)
    """seconds without a word after which a request is repeated; the whole answer has twice as long"""
    retries: int = Field(default=6, ge=0)
    top_logprobs: int = Field(default=20, ge=1)
    """alternatives of which the server tells the log-probability; vLLM's takes more where it was started with
    --max-logprobs"""
    python: Path | None = None

    @model_serializer(mode="wrap")
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without replicas as it was before there were any: jobs are known by what they are asked."""
        told: dict[str, Any] = write(self)
        return told if self.replicas else _without(told, "replicas")


def _without(told: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in told.items() if key != name}


def _engine_name(value: Any) -> str:
    return str(value.get("name", "transformers") if isinstance(value, dict) else value.name)


EngineSettings = Annotated[
    Annotated[TransformersSettings, Tag("transformers")]
    | Annotated[VllmSettings, Tag("vllm")]
    | Annotated[OpenaiSettings, Tag("openai")],
    Discriminator(
        _engine_name,
        custom_error_type="engine",
        custom_error_message="there is no such engine: use transformers, vllm or openai",
    ),
]
