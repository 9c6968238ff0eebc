"""The files of a model or an adapter in a folder: which they are, and whether they are whole."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capsafe_core.folders import boundary, is_regular

LARGEST_HEAD = 100 << 20
"""bytes of the head of a safetensors file, as the format bounds it"""
LARGEST_JSON = 64 << 20
"""bytes of a settings file"""
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")


@dataclass(frozen=True)
class WeightFiles:
    """What a folder holds."""

    is_adapter: bool = False
    base: str = ""
    """of an adapter: the model that it says it was trained on"""
    has_tokenizer: bool = False
    problem: str = ""
    """why its weights cannot be used, or not yet"""


def look_at(folder: Path) -> WeightFiles:
    """A folder as it stands now."""
    settings, adapter = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    has_tokenizer = any((folder / name).is_file() for name in TOKENIZERS)
    is_adapter, base = settings.is_file() or adapter.is_file(), ""
    try:
        if is_adapter:
            base = str(_json(settings).get("base_model_name_or_path") or "")
            _require_whole_file(adapter)
        else:
            _json(folder / "config.json")
            for file in _weights(folder):
                _require_whole_file(file)
    except _UnusableError as error:
        return WeightFiles(is_adapter, base, has_tokenizer, str(error))
    return WeightFiles(is_adapter, base, has_tokenizer)


class _UnusableError(Exception):
    """Why a checkpoint cannot be used."""


def _weights(folder: Path) -> list[Path]:
    """The files of full weights: one, or those of an index."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = _json(index).get("weight_map")
        names = sorted({str(name) for name in named.values()}) if isinstance(named, dict) else []
        if not names or any(Path(name).name != name for name in names):
            raise _UnusableError(f"{index.name} names no files of its folder")
        return [folder / name for name in names]
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        raise _UnusableError(
            "its weights are pickled; save them as safetensors" if pickled else "it holds no weights"
        )
    return files


def places(adapter: Path, base: Path) -> tuple[int, int] | None:
    """How many weights of a LoRA have a place in a model, and how many there are, by the heads of their
    files: a place has the same name within its layer, and a side as long. A model may keep its output layer
    with its input embedding, so what stands in no layer has one.

    Returns:
        None where the heads cannot be read, as of a model that is not in safetensors files.
    """
    try:
        parts = _require_whole_file(adapter / "adapter_model.safetensors")
        there = {n: t for file in _weights(base) for n, t in _require_whole_file(file).items()}
    except _UnusableError:
        return None
    sides: dict[str, set[int]] = {}
    for name, tensor in there.items():
        plain = name.endswith(".weight") and tensor.get("dtype") in ("F64", "F32", "F16", "BF16")
        sides.setdefault(_in_layer(name.rpartition(".")[0]), set()).update(tensor["shape"] if plain else ())
    placed = 0
    for name, tensor in parts.items():
        module, _, part = name.partition(".lora_")
        place = _in_layer(module)
        side = tensor["shape"][-1 if part.startswith("A") else 0]
        placed += not place or (place in sides and (not sides[place] or side in sides[place]))
    return placed, len(parts)


_LAYER = re.compile(r"\w+\.\d+\..+")


def _in_layer(module: str) -> str:
    """A module's name from its layer on, whatever the model is wrapped in; "" outside of the layers."""
    found = _LAYER.search(module)
    return found.group() if found else ""


def _require_whole_file(path: Path) -> dict[str, dict[str, Any]]:
    """The head of a safetensors file: tensor -> dtype, shape and offsets. One that is shorter than its head
    says is refused: it is being written, or was cut."""
    _require_regular(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 or not 2 <= length <= min(LARGEST_HEAD, size - 8):
                raise _UnusableError(f"{path.name} is half written: {size:,} bytes")
            head = _objects(json.loads(stream.read(length)))
        ends = [tensor["data_offsets"][1] for name, tensor in head.items() if name != "__metadata__"]
        whole = 8 + length + max(ends, default=0)
    except OSError as error:
        raise _UnusableError(f"{path.name} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise _UnusableError(f"{path.name} is not a safetensors file") from error
    if size != whole:
        raise _UnusableError(f"{path.name} is half written: {size:,} of {whole:,} bytes")
    return {name: tensor for name, tensor in head.items() if name != "__metadata__"}


def _objects(head: Any) -> dict[str, dict[str, Any]]:
    """The entries of a head.

    Raises:
        ValueError: it is not an object of objects.
    """
    if not isinstance(head, dict) or not all(isinstance(entry, dict) for entry in head.values()):
        raise ValueError("no head")
    return head


def _require_regular(path: Path) -> None:
    """Refuse what is there and is not a file of its folder: a pipe would keep everybody waiting."""
    if os.path.lexists(path) and not is_regular(path, boundary(path.parent)):
        raise _UnusableError(f"{path.name} is not a regular file of its folder")


def _json(path: Path) -> dict[str, Any]:
    """The object in a small file."""
    _require_regular(path)
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise _UnusableError(f"{path.name} is larger than {LARGEST_JSON >> 20} MB")
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _UnusableError(f"it has no {path.name}") from error
    except OSError as error:
        raise _UnusableError(f"{path.name} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _UnusableError(f"{path.name} is half written") from error
    if not isinstance(found, dict):
        raise _UnusableError(f"{path.name} is not a JSON object")
    return found
