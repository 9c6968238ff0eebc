"""The preview job: what fine-tunings would learn, conversation by conversation, and whether this machine can
do them, before any of them starts."""

from __future__ import annotations

import json
from typing import Any

from msgspec import structs

from capsafe_core.benchmarks.loading import load_conversations
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Part, replace_file
from capsafe_core.jobs.folder.work import FinetuneWork, PreviewWork
from capsafe_core.places import PREPARE
from capsafe_core.work.generate import checkpoint_weights

SHOWN = 10
"""conversations of each data set, spread over it"""


def work(part: Part) -> None:
    """Write what of each data set is learnt to result.json; what cannot be learnt is a sentence there."""
    asked = part.job.manifest.asks(PreviewWork)
    part.total = len(asked.jobs)
    found = []
    for job in asked.jobs:
        about = {
            "dataset": str(job.dataset["name"]),
            "model": job.start.model,
            "max_length": job.recipe.max_length,
        }
        try:
            found.append({**about, **_learnt(job, part)})
        except CapsafeError as error:
            found.append({**about, "problem": str(error)})
        part.done += 1
    replace_file(part.job.folder / "result.json", json.dumps(found))


def _learnt(job: FinetuneWork, part: Part) -> dict[str, Any]:
    """How many conversations a data set has, how many are cut off, and some of them with what is learnt."""
    try:
        from capsafe_core.engines.transformers import load_tokenizer
        from capsafe_core.training.devices import require_devices
        from capsafe_core.training.learnt import pieces, tokenised
    except ImportError as error:
        raise CapsafeError(
            f"This needs {error.name}, which the engine's environment lacks.", f"Run `{PREPARE}`."
        ) from error
    require_devices(job)
    model = structs.replace(job.start, adapters=())  # its own may have to be trained first
    tokenizer = load_tokenizer(checkpoint_weights(model, job.engine, part.job.folder))
    examples = tokenised(tokenizer, load_conversations(job.dataset), job.recipe.max_length)
    places = sorted({round(i * (len(examples) - 1) / max(1, SHOWN - 1)) for i in range(SHOWN)})
    return {
        "conversations": len(examples),
        "cut": sum(one.was_cut for one in examples),
        "lost": sum(not one.learns for one in examples),
        "longest": max(len(one.ids) for one in examples),
        "examples": [
            {
                "place": place + 1,
                "was_cut": examples[place].was_cut,
                "pieces": pieces(tokenizer, examples[place]),
            }
            for place in places
        ],
    }
