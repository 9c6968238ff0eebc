"""Models whose adapters are merged, for what loads a folder of weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from capsafe_core.engines.models import Weights, make_folder
from capsafe_core.errors import CapsafeError
from capsafe_core.records import canonical_json, digest_text


def merged(weights: Weights, models: Path, dtype: str) -> Weights:
    """Weights without adapters: a folder in which they are merged, made once.

    Raises:
        CapsafeError: peft is not installed where this runs.
    """
    if not weights.adapters:
        return weights
    digest = digest_text(
        canonical_json([weights.checkpoint.origin_digest, weights.checkpoint.adapters, dtype])
    )
    folder = models / f"merged-{digest[:16]}"
    if not folder.exists():
        try:
            from capsafe_core.engines.transformers import load_model, load_tokenizer

            model = load_model(weights, dtype)
        except ImportError as error:
            raise CapsafeError(
                "To merge the adapters of a start checkpoint, the engine's environment needs peft.",
                "Install peft there, with its versions of torch and transformers kept.",
            ) from error

        def save(scratch: Path) -> None:
            model.save_pretrained(scratch)
            load_tokenizer(weights).save_pretrained(scratch)

        make_folder(folder, save)
    return replace(weights, folder=folder, adapters=())
