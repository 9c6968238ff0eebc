"""Generation with transformers: the embedded default, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from capsafe_core.engines.base import Completion, Finished, Request, Sampling, Unit, batch_plan, request_seed
from capsafe_core.engines.chat import (
    answer_text,
    first_tokens,
    folds_system,
    prompt_opens_reasoning,
    reasoning_tokens,
    request_tokens,
    with_template,
)
from capsafe_core.engines.limit import at_most
from capsafe_core.engines.models import Weights
from capsafe_core.errors import CapsafeError
from capsafe_core.records import digest_text

T = TypeVar("T")
LOADING = 600.0
"""seconds in which an adapter must be laid over its model"""
BROKEN = (SafetensorError, UnpicklingError)
"""what weights raise that are damaged, or a pickle that would do more than hold numbers"""


class TransformersEngine:
    """Batched, left-padded generation; adapters are merged into the weights on loading."""

    name = "transformers"

    def __init__(
        self, weights: Weights, dtype: str = "bfloat16", batch_size: int = 32, device: str = "cpu"
    ) -> None:
        self.version = transformers.__version__
        self.dtype = dtype
        self.batch_size = batch_size
        self.device = device
        self.tokenizer = load_tokenizer(weights)
        self.template_digest = digest_text(str(self.tokenizer.chat_template))
        self.folds_system = folds_system(self.tokenizer)
        self._opened = prompt_opens_reasoning(self.tokenizer)
        self._special = reasoning_tokens(self.tokenizer)
        self.model = load_model(weights, dtype).to(device).eval()
        self._stops = stop_tokens(self.model, self.tokenizer)

    def plan(self, requests: Sequence[Request]) -> list[Unit]:
        return batch_plan(
            requests, self.batch_size, lambda request: len(request_tokens(self.tokenizer, request))
        )

    def generate(self, units: Sequence[Unit]) -> Generator[Finished, None, None]:
        for unit in units:
            completions, size = _fitting(unit.requests, self._answers)
            note = f"out of memory: answered {size} at a time" if size < len(unit.requests) else ""
            yield Finished((unit,), tuple(completions), note=note)

    def choose(self, requests: Sequence[Request], options: Sequence[str]) -> list[list[float]]:
        first = first_tokens(self.tokenizer, options)
        return _fitting(requests, lambda some: self._first_logs(some, first))[0]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _first_logs(self, requests: Sequence[Request], tokens: Sequence[int]) -> list[list[float]]:
        logits = self.model(**self._batch(requests), logits_to_keep=1).logits[:, -1].float().log_softmax(-1)
        return [[float(row[token]) for token in tokens] for row in logits]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _answers(self, requests: Sequence[Request]) -> list[Completion]:
        sampling = requests[0].sampling
        batch = self._batch(requests)
        decoding: dict[str, Any] = {"do_sample": False}
        if sampling.temperature > 0:
            torch.manual_seed(request_seed(sampling.seed, [r.key for r in requests]))
            decoding = {
                "do_sample": True,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": 0,
            }
        output = self.model.generate(
            **batch,
            **decoding,
            max_new_tokens=sampling.max_tokens,
            eos_token_id=self._stops,
            pad_token_id=self.tokenizer.pad_token_id,
            return_dict_in_generate=True,
            output_logits=sampling.logprobs,
        )
        answers = output.sequences[:, batch["input_ids"].shape[1] :]
        return [
            self._completion(r, ids, i, output, sampling)
            for i, (r, ids) in enumerate(zip(requests, answers.tolist(), strict=True))
        ]

    def _batch(self, requests: Sequence[Request]) -> Any:
        """Requests side by side, padded on the left, so that the last column is the last token of each."""
        return self.tokenizer.pad(
            {"input_ids": [request_tokens(self.tokenizer, r) for r in requests]}, return_tensors="pt"
        ).to(self.device)

    def _completion(
        self, request: Request, ids: list[int], row: int, output: Any, sampling: Sampling
    ) -> Completion:
        end = next((i for i, token in enumerate(ids) if token in self._stops), None)
        kept = ids if end is None else ids[:end]
        logprobs = None
        if sampling.logprobs:
            logprobs = tuple(
                float(output.logits[i][row].float().log_softmax(-1)[token]) for i, token in enumerate(kept)
            )
        return Completion.of(
            request.key,
            answer_text(self.tokenizer, kept, self._special),
            "length" if end is None else "stop",
            len(kept),
            logprobs,
            self._opened and request.in_chat,
        )


def _fitting(
    requests: Sequence[Request], work: Callable[[Sequence[Request]], list[T]]
) -> tuple[list[T], int]:
    """The results of some work on requests, and how many at a time fitted into memory: half as many after
    each failure.

    Raises:
        CapsafeError: not even one fits.
    """
    size = len(requests)
    while True:
        try:
            return [
                result for i in range(0, len(requests), size) for result in work(requests[i : i + size])
            ], size
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
            if size == 1:
                raise CapsafeError(
                    "A single request does not fit into memory.",
                    "Use a smaller model, fewer tokens, or a bigger machine.",
                ) from error
            size = (size + 1) // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def load_tokenizer(weights: Weights) -> Any:
    """The tokenizer, padding on the left, with a chat template."""
    folder = weights.other_tokenizer or weights.folder
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=weights.trusted)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return with_template(tokenizer)


def load_model(weights: Weights, dtype: str) -> Any:
    """The model with its adapters merged in order.

    Raises:
        CapsafeError: the folder is no model, or an adapter was made for another model.
    """
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            weights.folder,
            dtype=getattr(torch, dtype),
            use_safetensors=None if weights.pickles else True,
            trust_remote_code=weights.trusted,
        )
    except (OSError, ValueError, *BROKEN) as error:
        hint = (
            "It brings code of its own: name it as `trusted` in the study if you have read it."
            if "trust_remote_code" in str(error)
            else "Check that the folder is whole."
        )
        raise CapsafeError(
            f"The model in {weights.folder} cannot be loaded: {str(error).splitlines()[0]}", hint
        ) from error
    for path in weights.adapters:
        slow = CapsafeError(
            f"The adapter {path} takes longer than {LOADING / 60:g} minutes to load.",
            "The patterns in its adapter_config.json may never end; do not trust it.",
        )
        try:
            with at_most(LOADING, slow):  # peft matches its patterns with Python's engine
                model = _laid_over(model, path, weights.name).merge_and_unload()
        except (RuntimeError, ValueError, KeyError, *BROKEN) as error:
            raise CapsafeError(
                f"The adapter {path} does not fit the model {weights.name!r}.",
                "Use the base model that it was trained on.",
            ) from error
    return model


def _laid_over(model: Any, path: Path, name: str) -> Any:
    """The model with an adapter, all of whose weights found their places: peft's `from_pretrained` only warns
    where they do not, and the model would answer as its base does.

    Raises:
        CapsafeError: some have no place, or places are left empty.
    """
    from peft import PeftConfig, PeftModelForCausalLM

    config = PeftConfig.from_pretrained(str(path))
    config.inference_mode = True
    model = PeftModelForCausalLM(model, config)
    result = model.load_adapter(str(path), "default")
    empty = [key for key in result.missing_keys if "lora_" in key]
    if not (empty or result.unexpected_keys):
        return model
    places = sum("lora_" in key for key, _ in model.named_parameters())
    share = "None" if len(empty) >= places else f"Only {places - len(empty)} of {places}"
    raise CapsafeError(
        f"{share} of the places in the model {name!r} are filled by the weights of the adapter {path}.",
        "Use the base model that it was trained on.",
    )


def stop_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Ids that end an answer: the tokenizer's, and those of the model's generation settings."""
    configured = model.generation_config.eos_token_id
    ids = {tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])}
    return sorted(i for i in ids if i is not None)
