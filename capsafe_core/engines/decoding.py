"""Decoding with rows that come and go: a finished answer leaves the batch, and a waiting request enters.

What all prompts begin with is computed once. `transformers` decides what is applied to the scores of a token,
as in its own `generate`, through which this decoder is called.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROW_BY_ROW = frozenset(
    {
        "MinPLogitsWarper",
        "RepetitionPenaltyLogitsProcessor",
        "SuppressTokensLogitsProcessor",
        "TemperatureLogitsWarper",
        "TopKLogitsWarper",
        "TopPLogitsWarper",
    }
)
"""what may be applied to scores here: it asks for the tokens of a row, never for its length or its padding"""


@dataclass
class Answer:
    """The tokens of an answer, the one that ends it included, and their natural log-probabilities."""

    tokens: list[int] = field(default_factory=list)
    logs: list[float] = field(default_factory=list)


@dataclass
class _Rows:
    """Answers under way, side by side: after what all share, padded on the left. The last token of each is
    not in the cache yet. Padding repeats a row's first token, which changes no penalty for repetition."""

    numbers: list[int]
    tokens: torch.Tensor
    mask: torch.Tensor
    cache: Any

    def kept(self, places: list[int]) -> _Rows:
        """Some of the rows, without the columns in which all of them are padding."""
        rows = torch.tensor(places, device=self.mask.device)
        mask = self.mask[rows]
        columns = mask.any(0)
        for layer in self.cache.layers:
            layer.keys = layer.keys[rows][:, :, columns[:-1]]
            layer.values = layer.values[rows][:, :, columns[:-1]]
        return _Rows(
            [self.numbers[place] for place in places],
            self.tokens[rows][:, columns],
            mask[:, columns],
            self.cache,
        )

    def widened(self, columns: int, at: int) -> None:
        """Padding between what all share and the rest."""
        more = self.tokens[:, :1].expand(-1, columns)
        self.tokens = torch.cat([self.tokens[:, :at], more, self.tokens[:, at:]], 1)
        self.mask = torch.cat([self.mask[:, :at], torch.zeros_like(more), self.mask[:, at:]], 1)
        for layer in self.cache.layers:
            layer.keys, layer.values = _widened(layer.keys, columns, at), _widened(layer.values, columns, at)

    def joined(self, others: _Rows, shared: int) -> _Rows:
        """These rows and others, all as wide as the wider."""
        difference = self.tokens.shape[1] - others.tokens.shape[1]
        (others if difference > 0 else self).widened(abs(difference), shared)
        for layer, other in zip(self.cache.layers, others.cache.layers, strict=True):
            layer.keys = torch.cat([layer.keys, other.keys])
            layer.values = torch.cat([layer.values, other.values])
        return _Rows(
            self.numbers + others.numbers,
            torch.cat([self.tokens, others.tokens]),
            torch.cat([self.mask, others.mask]),
            self.cache,
        )


class Decoder:
    """Answers to prompts, `slots` at a time; given to `generate` as its `custom_generate`.

    The same prompts in the same order give the same answers; in another company, numbers of 16 bits may be
    rounded otherwise.
    """

    def __init__(
        self, prompts: Sequence[Sequence[int]], slots: int, stops: Sequence[int], logprobs: bool
    ) -> None:
        self.answers = [Answer() for _ in prompts]
        self.refused = False
        """whether the model's own settings ask for something that rows that come and go cannot be given"""
        self._prompts = prompts
        self._slots = slots
        self._stops = frozenset(stops)
        self._logprobs = logprobs
        self._shared = shared_length(prompts)

    def __call__(
        self,
        model: Any,
        input_ids: torch.Tensor,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        **_: Any,
    ) -> torch.Tensor:
        self.refused = any(type(one).__name__ not in ROW_BY_ROW for one in logits_processor)
        if not self.refused:
            self._model, self._scores, self._settings = model, logits_processor, generation_config
            self._prefix = self._read_prefix()
            self._decode()
        return input_ids

    def _decode(self) -> None:
        waiting = list(range(len(self._prompts)))
        rows: _Rows | None = None
        while waiting or rows:
            free = self._slots - (len(rows.numbers) if rows else 0)
            if waiting and (rows is None or free >= max(1, self._slots // 4)):
                fresh = self._step(self._entering(waiting[:free]))
                waiting = waiting[free:]
                rows = rows.joined(fresh, self._shared) if rows and fresh else rows or fresh
            elif rows:
                rows = self._step(rows)

    def _read_prefix(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values, by layer, of what all prompts begin with."""
        if not self._shared:
            return []
        cache = DynamicCache(config=self._model.config)
        self._forward(self._tensor([self._prompts[0][: self._shared]]), None, cache)
        return [(layer.keys, layer.values) for layer in cache.layers]

    def _entering(self, numbers: list[int]) -> _Rows:
        prompts = [self._prompts[number] for number in numbers]
        width = max(map(len, prompts))
        padding = [width - len(prompt) for prompt in prompts]
        at = self._shared
        cache = DynamicCache(config=self._model.config)
        for i, (keys, values) in enumerate(self._prefix):
            size = (len(numbers), -1, -1, -1)
            cache.update(keys.expand(*size), values.expand(*size), i)
        return _Rows(
            numbers,
            self._tensor([[*p[:at], *[p[0]] * n, *p[at:]] for p, n in zip(prompts, padding, strict=True)]),
            self._tensor([[1] * at + [0] * n + [1] * (width - at - n) for n in padding]),
            cache,
        )

    def _step(self, rows: _Rows) -> _Rows | None:
        """One more token for each row; those that have not ended, if any."""
        logits = self._forward(rows.tokens[:, rows.cache.get_seq_length() :], rows.mask, rows.cache)
        scores = self._scores(rows.tokens, logits)
        tokens = (
            torch.multinomial(scores.softmax(-1), 1)[:, 0] if self._settings.do_sample else scores.argmax(-1)
        )
        if self._logprobs:
            logs = logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0].tolist()
            for number, log in zip(rows.numbers, logs, strict=True):
                self.answers[number].logs.append(log)
        going = []
        for place, (number, token) in enumerate(zip(rows.numbers, tokens.tolist(), strict=True)):
            answer = self.answers[number].tokens
            answer.append(token)
            if token not in self._stops and len(answer) < self._settings.max_new_tokens:
                going.append(place)
        rows.tokens = torch.cat([rows.tokens, tokens[:, None]], 1)
        rows.mask = torch.cat([rows.mask, torch.ones_like(tokens)[:, None]], 1)
        if not going:
            return None
        return rows if len(going) == len(rows.numbers) else rows.kept(going)

    def _forward(self, tokens: torch.Tensor, mask: torch.Tensor | None, cache: Any) -> torch.Tensor:
        """Logits (rows × vocabulary) after the last of some tokens, in 32 bits; the cache grows by them."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)[None]
        if mask is not None:
            positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        output = self._model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def _tensor(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        return torch.tensor(rows, dtype=torch.long, device=self._model.device)


def takes_rows(model: Any) -> bool:
    """Whether a model's cache lets rows come and go: full attention in every layer, and positions that are
    told."""
    told = inspect.signature(model.forward).parameters
    return {"position_ids", "past_key_values", "logits_to_keep"} <= set(told) and all(
        type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers
    )


def shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens that all prompts begin with; each keeps at least one of its own."""
    most = min(map(len, prompts)) - 1
    return next((i for i in range(most) if len({prompt[i] for prompt in prompts}) > 1), max(most, 0))


def _widened(states: torch.Tensor, columns: int, at: int) -> torch.Tensor:
    size = (*states.shape[:2], columns, states.shape[3])
    return torch.cat([states[:, :, :at], states.new_zeros(size), states[:, :, at:]], 2)
