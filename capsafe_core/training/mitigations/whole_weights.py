"""What alignment changed where no adapter did it: the weights of an aligned model less those of its base."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from capsafe_core.errors import CapsafeError

OF_ADAPTER = "base_model.model."
"""what peft writes before the name of a module"""


@dataclass(frozen=True)
class Difference:
    """Of one module, (outputs, inputs)."""

    update: Tensor


class WholeWeights(Mapping[str, Difference]):
    """Differences by module, as adapters name modules; each is read when it is asked for.

    Raises:
        CapsafeError: a folder has no safetensors, or a module differs in shape.
    """

    def __init__(self, aligned: Path, base: Path) -> None:
        self._places = [_places(folder) for folder in (aligned, base)]
        self._base = base

    def __getitem__(self, module: str) -> Difference:
        if module not in self:
            raise KeyError(module)
        name = _weight(module)
        aligned, before = (_read(places[name], name) for places in self._places)
        if aligned.shape != before.shape:
            raise CapsafeError(
                f"{module} is {tuple(aligned.shape)} in the aligned model and {tuple(before.shape)} in "
                f"{self._base}.",
                "Name the model that was aligned as `base`.",
            )
        return Difference(aligned - before)

    def __iter__(self) -> Iterator[str]:
        names = (name for name in self._places[0] if name in self._places[1])
        return (OF_ADAPTER + name.removesuffix(".weight") for name in names if name.endswith(".weight"))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, module: object) -> bool:
        return all(_weight(str(module)) in places for places in self._places)


def _weight(module: str) -> str:
    """The name of a module's weights in the model's own files."""
    return module.removeprefix(OF_ADAPTER) + ".weight"


def _places(folder: Path) -> dict[str, Path]:
    """The file of each weight."""
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if index.is_file():
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return {str(name): folder / Path(str(file)).name for name, file in named.items()}
    if not single.is_file():
        raise CapsafeError(
            f"{folder} has no safetensors, so what alignment changed cannot be read.",
            "Save the model with safetensors.",
        )
    with safe_open(single, framework="pt") as file:
        return dict.fromkeys(file.keys(), single)


def _read(path: Path, name: str) -> Tensor:
    with safe_open(path, framework="pt") as file:
        weights: Tensor = file.get_tensor(name).float()
        return weights
