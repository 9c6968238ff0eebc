"""Generation with transformers: the embedded default, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from capsafe_core.engines.base import Completion, Finished, Request, Unit, queue_plan, request_seed
from capsafe_core.engines.chat import (
    answer_text,
    first_tokens,
    folds_system,
    prompt_opens_reasoning,
    reasoning_tokens,
    request_tokens,
    with_template,
)
from capsafe_core.engines.decoding import Answer, Decoder, takes_rows
from capsafe_core.engines.limit import at_most
from capsafe_core.engines.models import Weights
from capsafe_core.errors import CapsafeError
from capsafe_core.records import digest_text

T = TypeVar("T")
QUEUE = 4
"""batches that are answered together or not at all: a finished answer makes place for the next request"""
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
        self._takes_rows = takes_rows(self.model)

    def plan(self, requests: Sequence[Request]) -> list[Unit]:
        return queue_plan(
            requests, self.batch_size * QUEUE, lambda request: len(request_tokens(self.tokenizer, request))
        )

    def generate(self, units: Sequence[Unit]) -> Generator[Finished, None, None]:
        for unit in units:
            most = min(self.batch_size, len(unit.requests))
            completions, size = _fitting(most, partial(self._answers, unit.requests))
            note = f"out of memory: answered {size} at a time" if size < most else ""
            yield Finished((unit,), tuple(completions), note=note)

    def choose(self, requests: Sequence[Request], options: Sequence[str]) -> list[list[float]]:
        first = first_tokens(self.tokenizer, options)
        logs: list[list[float]] = _fitting(len(requests), partial(self._first_logs, requests, first))[0]
        return logs

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _first_logs(self, requests: Sequence[Request], tokens: Sequence[int], size: int) -> list[list[float]]:
        prompts = [request_tokens(self.tokenizer, request) for request in requests]
        batches = [self._padded(prompts[i : i + size]) for i in range(0, len(prompts), size)]
        logits = [self.model(**batch, logits_to_keep=1).logits[:, -1].float() for batch in batches]
        return [[float(row[token]) for token in tokens] for row in torch.cat(logits).log_softmax(-1)]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _answers(self, requests: Sequence[Request], size: int) -> list[Completion]:
        """The answers to requests of one way of sampling, `size` at a time."""
        sampling = requests[0].sampling
        prompts = [request_tokens(self.tokenizer, request) for request in requests]
        settings: dict[str, Any] = {
            "max_new_tokens": sampling.max_tokens,
            "eos_token_id": self._stops,
            "pad_token_id": self.tokenizer.pad_token_id,
            "do_sample": False,
        }
        if sampling.temperature > 0:
            torch.manual_seed(request_seed(sampling.seed, [r.key for r in requests]))
            settings |= {
                "do_sample": True,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": 0,
            }
        answers = self._row_by_row(prompts, size, settings, sampling.logprobs) or [
            answer
            for i in range(0, len(prompts), size)
            for answer in self._side_by_side(prompts[i : i + size], settings, sampling.logprobs)
        ]
        return [self._completion(*pair) for pair in zip(requests, answers, strict=True)]

    def _row_by_row(
        self, prompts: Sequence[list[int]], size: int, settings: dict[str, Any], logprobs: bool
    ) -> list[Answer]:
        """Answers from rows that come and go; none where the model cannot."""
        if not self._takes_rows:
            return []
        decoder = Decoder(prompts, size, self._stops, logprobs)
        batch = self._padded(prompts[:1])
        self.model.generate(**batch, **settings, custom_generate=decoder)
        return [] if decoder.refused else decoder.answers

    def _side_by_side(
        self, prompts: Sequence[list[int]], settings: dict[str, Any], logprobs: bool
    ) -> list[Answer]:
        """Answers from a batch that ends when its longest does."""
        batch = self._padded(prompts)
        output = self.model.generate(
            **batch, **settings, return_dict_in_generate=True, output_logits=logprobs
        )
        answers = []
        for row, tokens in enumerate(output.sequences[:, batch["input_ids"].shape[1] :].tolist()):
            end = next((i + 1 for i, token in enumerate(tokens) if token in self._stops), len(tokens))
            steps = enumerate(tokens[:end]) if logprobs else ()
            logs = [float(output.logits[i][row].float().log_softmax(-1)[token]) for i, token in steps]
            answers.append(Answer(tokens[:end], logs))
        return answers

    def _padded(self, prompts: Sequence[list[int]]) -> Any:
        """Prompts side by side, padded on the left, so that the last column is the last token of each."""
        return self.tokenizer.pad({"input_ids": list(prompts)}, return_tensors="pt").to(self.device)

    def _completion(self, request: Request, answer: Answer) -> Completion:
        ended = answer.tokens[-1] in self._stops
        kept = answer.tokens[:-1] if ended else answer.tokens
        return Completion.of(
            request.key,
            answer_text(self.tokenizer, kept, self._special),
            "stop" if ended else "length",
            len(kept),
            tuple(answer.logs[: len(kept)]) if request.sampling.logprobs else None,
            self._opened and request.in_chat,
        )


def _fitting(size: int, work: Callable[[int], T]) -> tuple[T, int]:
    """The result of work that is done `size` requests at a time, and how many fitted into memory: half as
    many after each failure.

    Raises:
        CapsafeError: not even one fits.
    """
    while True:
        try:
            return work(size), size
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


def load_model(weights: Weights, dtype: str, **more: Any) -> Any:
    """The model with its adapters merged in order.

    Args:
        more: further arguments of `from_pretrained`.

    Raises:
        CapsafeError: the folder is not a model, or an adapter was made for another model.
    """
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            weights.folder,
            dtype=getattr(torch, dtype),
            use_safetensors=None if weights.pickles else True,
            trust_remote_code=weights.trusted,
            **more,
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
