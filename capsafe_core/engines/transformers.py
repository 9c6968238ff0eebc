"""Generation with transformers: the embedded default, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from capsafe_core.engines.base import Completion, Request, Sampling, batch_seed
from capsafe_core.engines.models import Weights
from capsafe_core.errors import CapsafeError
from capsafe_core.records import digest_text

CHAT_FALLBACK = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"


class TransformersEngine:
    """Batched, left-padded generation; adapters are merged into the weights on loading."""

    name = "transformers"

    def __init__(self, weights: Weights, dtype: str = "bfloat16", batch_size: int = 32, device: str = "cpu") -> None:
        self.version = transformers.__version__
        self.dtype = dtype
        self.batch_size = batch_size
        self.device = device
        self.tokenizer = load_tokenizer(weights)
        self.template_digest = digest_text(str(self.tokenizer.chat_template))
        self.model = load_model(weights, dtype).to(device).eval()
        self._stops = stop_tokens(self.model, self.tokenizer)

    def render(self, request: Request) -> str:
        """The conversation as the model sees it."""
        return str(self.tokenizer.apply_chat_template(list(request.messages), tokenize=False, add_generation_prompt=True))

    def length(self, request: Request) -> int:
        return len(self.tokenizer(self.render(request), add_special_tokens=False).input_ids)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        batch = self.tokenizer([self.render(r) for r in requests], return_tensors="pt", padding=True, add_special_tokens=False).to(self.device)
        decoding: dict[str, Any] = {"do_sample": False}
        if sampling.temperature > 0:
            torch.manual_seed(batch_seed(sampling.seed, [r.key for r in requests]))
            decoding = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        output = self.model.generate(
            **batch,
            **decoding,
            max_new_tokens=sampling.max_tokens,
            eos_token_id=self._stops,
            pad_token_id=self.tokenizer.pad_token_id,
            return_dict_in_generate=True,
            output_logits=sampling.logprobs,
        )
        answers = output.sequences[:, batch.input_ids.shape[1] :]
        return [self._completion(r, ids, i, output, sampling) for i, (r, ids) in enumerate(zip(requests, answers.tolist(), strict=True))]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def choose(self, requests: Sequence[Request], options: Sequence[str]) -> list[list[float]]:
        first = [self.tokenizer(option, add_special_tokens=False).input_ids[0] for option in options]
        if len(set(first)) < len(options):
            raise CapsafeError(f"The options {', '.join(options)} begin with the same token.", "Use a judge that answers in text.")
        batch = self.tokenizer([self.render(r) for r in requests], return_tensors="pt", padding=True, add_special_tokens=False).to(self.device)
        logits = self.model(**batch, logits_to_keep=1).logits[:, -1].float().log_softmax(-1)
        return [[float(row[token]) for token in first] for row in logits]

    def _completion(self, request: Request, ids: list[int], row: int, output: Any, sampling: Sampling) -> Completion:
        end = next((i for i, token in enumerate(ids) if token in self._stops), None)
        kept = ids if end is None else ids[:end]
        logprobs = None
        if sampling.logprobs:
            logprobs = tuple(float(output.logits[i][row].float().log_softmax(-1)[token]) for i, token in enumerate(kept))
        text = str(self.tokenizer.decode(kept, skip_special_tokens=True))
        return Completion(request.key, text, "length" if end is None else "stop", len(kept), logprobs)


def load_tokenizer(weights: Weights) -> Any:
    """The tokenizer, padding on the left, with a chat template."""
    tokenizer = AutoTokenizer.from_pretrained(weights.folder)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None:
        tokenizer.chat_template = CHAT_FALLBACK
    return tokenizer


def load_model(weights: Weights, dtype: str) -> Any:
    """The model with its adapters merged in order.

    Raises:
        CapsafeError: the folder is no model, or an adapter was made for another model.
    """
    from peft import PeftModel

    try:
        model: Any = AutoModelForCausalLM.from_pretrained(weights.folder, dtype=getattr(torch, dtype), use_safetensors=True)
    except (OSError, ValueError) as error:
        raise CapsafeError(f"The model in {weights.folder} cannot be loaded: {str(error).splitlines()[0]}", "Check that the folder is whole.") from error
    for path in weights.adapters:
        try:
            model = PeftModel.from_pretrained(model, str(path)).merge_and_unload()
        except (RuntimeError, ValueError, KeyError) as error:
            raise CapsafeError(f"The adapter {path} does not fit the model {weights.name!r}.", "Use the base model that it was trained on.") from error
    return model


def stop_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Ids that end an answer: the tokenizer's, and those of the model's generation settings."""
    configured = model.generation_config.eos_token_id
    ids = {tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])}
    return sorted(i for i in ids if i is not None)
