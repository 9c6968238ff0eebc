"""Generation with vLLM inside the worker: continuous batching over a whole job, prefix caching, LoRA adapters
switched per request."""

from __future__ import annotations

import inspect
import json
import os
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from capsafe_core.engines.base import (
    Completion,
    Failure,
    Finished,
    Request,
    Sampling,
    Unit,
    request_seed,
    single_plan,
)
from capsafe_core.engines.chat import (
    answer_text,
    first_tokens,
    folds_system,
    prompt_opens_reasoning,
    reasoning_tokens,
    request_tokens,
    with_template,
)
from capsafe_core.engines.merging import merged
from capsafe_core.engines.models import Weights
from capsafe_core.errors import CapsafeError
from capsafe_core.records import digest_text
from capsafe_core.weight_files import places

PACE = 1.0
"""seconds of answers that are handed over, and so committed, together"""
RANKS = (8, 16, 32, 64, 128, 256, 512)
"""LoRA ranks that vLLM makes room for"""


class VllmEngine:
    """One vLLM engine; requests may name any of the adapters that it was opened with."""

    name = "vllm"
    batch_size = 1024

    def __init__(
        self, weights: Weights, adapters: Sequence[Path], settings: dict[str, Any], models: Path
    ) -> None:
        for path in dict.fromkeys(adapters):
            _require_places(path, weights)
        _prepare_environment(settings)
        import vllm
        from vllm.lora.request import LoRARequest
        from vllm.platforms import current_platform

        self.version = vllm.__version__
        self.dtype = settings["dtype"]
        self._mixes_up = current_platform.is_cpu()
        weights = merged(weights, models, "bfloat16" if settings["dtype"] == "auto" else settings["dtype"])
        self._adapters = {
            path: LoRARequest(path.parent.parent.name + path.name, i, str(path))
            for i, path in enumerate(dict.fromkeys(adapters), 1)
        }
        lora = (
            {
                "enable_lora": True,
                "max_lora_rank": _rank(list(self._adapters)),
                "max_loras": min(4, len(self._adapters)),
            }
            if self._adapters
            else {}
        )
        try:
            self._llm = vllm.LLM(
                str(weights.folder),
                tokenizer=str(weights.other_tokenizer or weights.folder),
                dtype=settings["dtype"],
                tensor_parallel_size=settings["tensor_parallel"],
                max_model_len=settings["max_model_len"],
                gpu_memory_utilization=settings["gpu_memory"],
                enforce_eager=settings["enforce_eager"],
                enable_prefix_caching=True,
                trust_remote_code=weights.trusted,
                load_format="auto" if weights.pickles else "safetensors",
                **lora,
            )
        except (ValueError, RuntimeError, OSError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise CapsafeError(
                f"vLLM cannot serve {weights.name!r}: {reason}",
                "The log has the details. Where memory is short, lower max_model_len, or use more GPUs with "
                "tensor_parallel.",
            ) from error
        self.tokenizer = with_template(self._llm.get_tokenizer())
        self.template_digest = digest_text(str(self.tokenizer.chat_template))
        self.folds_system = folds_system(self.tokenizer)
        self._opened = prompt_opens_reasoning(self.tokenizer)
        self._special = reasoning_tokens(self.tokenizer)

    def plan(self, requests: Sequence[Request]) -> list[Unit]:
        return single_plan(requests)

    def generate(self, units: Sequence[Unit]) -> Generator[Finished, None, None]:
        waiting = {unit.requests[0].key: unit for unit in units}
        completions: list[Completion] = []
        failures: list[Failure] = []
        last = time.monotonic()

        def hand_over() -> Finished:
            done = tuple(
                waiting.pop(key) for key in (*(c.key for c in completions), *(f.key for f in failures))
            )
            return Finished(done, tuple(completions), tuple(failures))

        for found in self._run([r for unit in units for r in unit.requests]):
            if isinstance(found, Failure):
                failures.append(found)
            else:
                completions.append(found)
            if time.monotonic() - last > PACE:
                yield hand_over()
                completions, failures, last = [], [], time.monotonic()
        if completions or failures:
            yield hand_over()

    def choose(self, requests: Sequence[Request], options: Sequence[str]) -> list[list[float]]:
        first = first_tokens(self.tokenizer, options)
        logs: dict[str, list[float]] = {}
        for key, output in self._outputs(
            {str(i): (r, self._first_token(first)) for i, r in enumerate(requests)}
        ):
            if isinstance(output, str):
                raise ValueError(output)
            known = output.outputs[0].logprobs[0]
            logs[key] = [float(known[token].logprob) if token in known else float("-inf") for token in first]
        return [logs[str(i)] for i in range(len(requests))]

    def _run(self, requests: Sequence[Request]) -> Iterator[Completion | Failure]:
        """Answers as they come.

        vLLM's CPU build (0.32.0) gives a request without an adapter the last loaded adapter's weights where
        both run in
        one batch: its kernels take "no adapter" (-1) for the last slot. So there the two kinds are asked one
            after the other.
        """
        if self._mixes_up and len({r.adapter is None for r in requests}) > 1:
            yield from self._run([r for r in requests if r.adapter is None])
            yield from self._run([r for r in requests if r.adapter is not None])
            return
        in_chat = {r.key: r.in_chat for r in requests}
        for key, output in self._outputs({r.key: (r, self._parameters(r.key, r.sampling)) for r in requests}):
            if isinstance(output, str):
                yield Failure(key, output)
                continue
            answer = output.outputs[0]
            if answer.finish_reason not in ("stop", "length"):
                yield Failure(key, f"vLLM ended this request with {answer.finish_reason!r}")
                continue
            logprobs = (
                tuple(
                    float(at[token].logprob)
                    for at, token in zip(answer.logprobs, answer.token_ids, strict=True)
                )
                if answer.logprobs
                else None
            )
            text = (
                answer_text(self.tokenizer, answer.token_ids, self._special)
                if self._special[0].intersection(answer.token_ids)
                else answer.text
            )
            opened = self._opened and in_chat[key]
            yield Completion.of(key, text, answer.finish_reason, len(answer.token_ids), logprobs, opened)

    def _outputs(self, asked: dict[str, tuple[Request, Any]]) -> Iterator[tuple[str, Any]]:
        """(key, vLLM's output) as they finish; a text instead of the output where vLLM does not take the
        request."""
        engine = self._llm.llm_engine
        keys: dict[str, str] = {}
        try:
            for i, (key, (request, parameters)) in enumerate(asked.items()):
                try:
                    engine.add_request(
                        str(i),
                        {"prompt_token_ids": request_tokens(self.tokenizer, request)},
                        parameters,
                        lora_request=self._adapters.get(request.adapter) if request.adapter else None,
                    )
                    keys[str(i)] = key
                except _refusals() as error:  # too long for the model
                    yield key, str(error).splitlines()[0]
            while engine.has_unfinished_requests():
                for output in engine.step():
                    if output.finished:
                        yield keys.pop(output.request_id.split("-")[0]), output
        except CapsafeError:
            raise
        except (RuntimeError, OSError) as error:
            raise CapsafeError(
                f"vLLM ended: {type(error).__name__}: "
                f"{str(error).splitlines()[0] if str(error) else 'no message'}",
                "The log has the details; resume the job to go on.",
            ) from error
        finally:
            if keys:
                engine.abort_request(list(keys))

    def _parameters(self, key: str, sampling: Sampling) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            seed=request_seed(sampling.seed, [key]),
            logprobs=0 if sampling.logprobs else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _first_token(self, tokens: Sequence[int]) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        # earlier versions tell only of the most likely tokens
        asked: dict[str, Any] = (
            {"logprob_token_ids": list(tokens)}
            if "logprob_token_ids" in inspect.signature(SamplingParams).parameters
            else {"logprobs": 20}
        )
        return SamplingParams(
            temperature=0.0, max_tokens=1, output_kind=RequestOutputKind.FINAL_ONLY, **asked
        )


def _require_places(adapter: Path, weights: Weights) -> None:
    """Refuse an adapter whose weights have no place in the model: vLLM takes those that have one, and would
    answer as the base does.

    Raises:
        CapsafeError: some have none.
    """
    placed, parts = places(adapter, weights.folder) or (0, 0)
    if placed < parts:
        share = f"Only {placed} of {parts}" if placed else "None"
        raise CapsafeError(
            f"{share} of the weights of the adapter {adapter} have a place in the model {weights.name!r}.",
            "Use the base model that it was trained on.",
        )


def _refusals() -> tuple[type[Exception], ...]:
    """What vLLM raises for a request that it does not take; the class came with later versions."""
    import vllm.exceptions as known

    return (ValueError, *(getattr(known, name) for name in ("VLLMClientError",) if hasattr(known, name)))


def _rank(adapters: Sequence[Path]) -> int:
    """The smallest rank that vLLM has room for and that holds every adapter."""
    needed = max(int(json.loads((path / "adapter_config.json").read_text())["r"]) for path in adapters)
    return next((rank for rank in RANKS if rank >= needed), needed)


def _prepare_environment(settings: dict[str, Any]) -> None:
    """What vLLM reads from the environment; what the user has set stays."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", f"0-{(os.cpu_count() or 1) - 1}")
    if settings["tensor_parallel"] == 1:
        # in the worker itself: no second process that could outlive it
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
