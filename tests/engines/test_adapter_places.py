"""Whether an adapter's weights have their places in a model, by the heads of their files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.engines.models import Weights
from capsafe_core.engines.vllm import VllmEngine
from capsafe_core.errors import CapsafeError
from capsafe_core.weight_files import places

MODULES = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")


def tensors(path: Path, shapes: dict[str, list[int]], dtype: str = "F32") -> Path:
    """A safetensors file of zeros."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = {"F32": 4, "U8": 1}[dtype]
    head, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + shape[0] * shape[1] * size
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(head).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))
    return path


def model(folder: Path, layers: int = 2, within: str = "model.", size: int = 8, dtype: str = "F32") -> Path:
    shapes = {f"{within}layers.{i}.{m}.weight": [size, 6] for i in range(layers) for m in MODULES}
    tensors(folder / "model.safetensors", shapes, dtype)
    return folder


def adapter(folder: Path, layers: int = 2, module: str = MODULES[0], size: int = 8) -> Path:
    shapes = {}
    for i in range(layers):
        place = f"base_model.model.model.layers.{i}.{module}"
        shapes |= {f"{place}.lora_A.weight": [2, 6], f"{place}.lora_B.weight": [size, 2]}
    tensors(
        folder / "adapter_model.safetensors", {**shapes, "base_model.model.lm_head.lora_A.weight": [2, 6]}
    )
    return folder


@given(
    layers=st.integers(1, 4),
    trained=st.integers(1, 4),
    module=st.sampled_from((*MODULES, "attn.query")),
    size=st.sampled_from((8, 10)),
    within=st.sampled_from(("model.", "", "model.language_model.")),
    dtype=st.sampled_from(("F32", "U8")),
)
def test_every_weight_needs_a_place_of_its_name_and_size(
    tmp_path_factory: pytest.TempPathFactory,
    layers: int,
    trained: int,
    module: str,
    size: int,
    within: str,
    dtype: str,
) -> None:
    root = tmp_path_factory.mktemp("places")
    base = model(root / "base", layers, within, 8, dtype)
    shared = min(layers, trained) if module in MODULES else 0
    sides = 2 if size == 8 or dtype == "U8" else 1  # packed weights do not say how long their sides are
    found = places(adapter(root / "adapter", trained, module, size), base)
    assert found == (1 + sides * shared, 1 + 2 * trained)


def test_a_model_whose_heads_cannot_be_read_is_left_to_the_engine(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "model.bin").write_bytes(b"x")
    assert places(adapter(tmp_path / "adapter"), tmp_path / "base") is None


@pytest.mark.parametrize(("module", "says"), [("attn.query", "Only 1 of 5"), ("self_attn.q_proj", "")])
def test_vllm_refuses_an_adapter_without_its_places(tmp_path: Path, module: str, says: str) -> None:
    weights = Weights("m", model(tmp_path / "base"), "digest")
    laid = adapter(tmp_path / "adapter", module=module)
    with pytest.raises((CapsafeError, KeyError, ImportError)) as refused:
        VllmEngine(weights, [laid], {}, tmp_path)
    assert ("have a place in the model 'm'" in str(refused.value)) == bool(says)
    assert says in str(refused.value)
