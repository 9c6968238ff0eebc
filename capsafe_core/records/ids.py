"""Ids: what identifies a fact, as one text, and its digest."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

FORMAT = 1
"""Version of ids and shard lines."""

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def canonical_json(value: Any) -> str:
    """JSON with one spelling for each value: sorted keys, no spaces."""
    return _canonical(value)


def identify(kind: str, *parts: Any) -> str:
    """UUID from a blake2b-128 of the kind and the identifying parts (JSON values)."""
    return _uuid(canonical_json([f"capsafe/{FORMAT}", kind, parts]))


def _uuid(text: str) -> str:
    h = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def generation_key(cell_id: str, prompt_id: str, sample: int, seed: int) -> str:
    """The id of a generation: what `identify` makes of these, in half the time."""
    return _uuid(f'["capsafe/{FORMAT}","generation",["{cell_id}","{prompt_id}",{sample},{seed}]]')


def judgment_key(generation_id: str, rater_id: str, dimension: str, attempt: int) -> str:
    """The id of a judgment: what `identify` makes of these, in half the time."""
    return _uuid(f'["capsafe/{FORMAT}","judgment",["{generation_id}","{rater_id}","{dimension}",{attempt}]]')


@lru_cache(maxsize=4096)
def cell_key(*parts: str | None) -> str:
    """The id of a cell; many outputs of one cell come one after the other."""
    return identify("cell", *parts)


def digest_text(text: str) -> str:
    """blake2b-128 of a text, as hex."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def digest_files(*paths: Path) -> str:
    """blake2b-128 over the bytes of files, in the given order, as hex."""
    state = hashlib.blake2b(digest_size=16)
    for path in paths:
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                state.update(chunk)
    return state.hexdigest()
