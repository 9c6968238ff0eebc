"""Which weights a name means: their digest comes from their bytes, and nothing pickled runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsafe_core.engines.limit import at_most
from capsafe_core.engines.models import DIGESTS, resolve_weights
from capsafe_core.errors import CapsafeError
from capsafe_core.records import digest_files
from capsafe_core.settings import ROOT, Settings


def model(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text("{}")
    return folder


def digest(folder: Path, models: Path) -> str:
    return resolve_weights(str(folder), models).digest


def test_what_a_folder_says_of_its_digest_is_not_believed(tmp_path: Path) -> None:
    honest, liar, models = (
        model(tmp_path / "honest"),
        model(tmp_path / "liar", b"other weights"),
        tmp_path / "ws" / "models",
    )
    (liar / "capsafe-origin.json").write_text(
        json.dumps({"digest": digest(honest, models), "file": "liar.gguf"})
    )
    assert (
        digest(liar, models)
        == digest_files(liar / "model.safetensors", liar / "config.json")
        != digest(honest, models)
    )
    (liar / "capsafe-origin.json").write_text("[" * 100_000)
    assert digest(liar, models) != digest(honest, models), "nor does it have to be readable"
    assert not [path for path in liar.iterdir() if "digest" in path.name], (
        "what was computed is kept in the workspace"
    )


def test_it_is_believed_only_of_a_folder_that_the_workspace_made(tmp_path: Path) -> None:
    models, stated = tmp_path / "models", "ab" * 16
    made = model(models / f"tiny-{stated[:8]}")
    (made / "capsafe-origin.json").write_text(json.dumps({"digest": stated, "file": "tiny.gguf"}))
    assert digest(made, models) == stated
    assert digest(made, tmp_path / "other" / "models") != stated, "another workspace's"
    renamed = made.rename(models / "mine")
    assert digest(renamed, models) != stated
    (models / f"tiny-{stated[:8]}").symlink_to(renamed)
    assert digest(models / f"tiny-{stated[:8]}", models) != stated


def test_a_digest_is_kept_as_long_as_the_files_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, models = model(tmp_path / "m"), tmp_path / "models"
    first = digest(folder, models)
    monkeypatch.setattr("capsafe_core.engines.models.digest_files", lambda *paths: pytest.fail("read again"))
    assert digest(folder, models) == first
    monkeypatch.undo()
    before = (folder / "model.safetensors").stat()
    (folder / "model.safetensors").write_bytes(b"weightz")
    os.utime(folder / "model.safetensors", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digest(folder, models) != first, "the same size, inode and time of change do not hide it"
    (models / DIGESTS).write_text('{"a": ')
    assert digest(folder, models) == digest_files(folder / "model.safetensors", folder / "config.json")


@pytest.mark.parametrize(
    "names", ["evil.bin", "../m2/model.safetensors", "/etc/passwd", "sub/model.safetensors", 7]
)
def test_a_list_of_shards_that_leads_elsewhere_is_refused(names: object, tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": names}}))
    with pytest.raises(CapsafeError, match="not a safetensors file of the folder"):
        digest(folder, tmp_path / "models")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("adapter_config.json", '{"peft_type": "LORA", "base_model_name_or_path": "/another/model"}'),
        ("adapter_config.json", ""),
        ("config.json", '{"transformers_weights": "sub/other.safetensors"}'),
        ("config.json", '{"transformers_weights": "other.safetensors.index.json"}'),
        ("config.json", "{" * 100_000),
        ("config.json", "[1, 2"),
    ],
)
def test_settings_by_which_other_weights_are_loaded_are_refused(tmp_path: Path, name: str, text: str) -> None:
    """Both were loaded by transformers 5.23 under the digest of the weights beside them."""
    folder = model(tmp_path / "m")
    (folder / name).write_text(text)
    with pytest.raises(CapsafeError, match=r"holds an adapter|of their own|cannot be read"):
        digest(folder, tmp_path / "models")


def test_weights_that_lead_out_of_their_folder_are_refused(tmp_path: Path) -> None:
    folder, other = model(tmp_path / "m"), model(tmp_path / "other")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(other / "model.safetensors")
    with pytest.raises(CapsafeError, match="leads out of the folder"):
        digest(folder, tmp_path / "models")
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    with pytest.raises(CapsafeError, match="not a file of its own"):
        digest(folder, tmp_path / "models")


@pytest.mark.parametrize(
    "config",
    [
        '{"peft_type": "PROMPT_TUNING"}',
        '{"peft_type": "LORA", "megatron_config": {"a": 1}, "megatron_core": "os"}',
        "{}",
        "[]",
        "[" * 100_000,
        "{",
    ],
)
def test_an_adapter_of_another_kind_is_refused_before_peft_sees_it(config: str, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(config)
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(CapsafeError, match=r"not loaded|cannot be read"):
        resolve_weights(str(model(tmp_path / "m")), tmp_path / "models", (adapter,))


@given(letters=st.sampled_from("abc"), count=st.integers(40, 80))
@settings(max_examples=5)
def test_a_pattern_that_never_ends_is_ended(letters: str, count: int) -> None:
    with (
        pytest.raises(CapsafeError, match="takes too long"),
        at_most(0.2, CapsafeError("It takes too long.", "Do not trust it.")),
    ):
        re.fullmatch(f"({letters}+)+!", letters * count)
    with at_most(60, CapsafeError("It takes too long.", "")):  # and nothing is left of the first limit
        time.sleep(0.3)
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


SLOW = """
import sys, time
from pathlib import Path
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM
from capsafe_core.engines import transformers as engine
from capsafe_core.engines.models import resolve_weights
from capsafe_core.errors import CapsafeError

root = Path(sys.argv[1])
sizes = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=32)
model = LlamaForCausalLM(LlamaConfig(**sizes))
model.save_pretrained(root / "model")
get_peft_model(model, LoraConfig(target_modules=["q_proj"])).save_pretrained(root / "adapter")
plain = resolve_weights(str(root / "model"), root / "models", (root / "adapter",))
engine.load_model(plain, "float32")
config = root / "adapter" / "adapter_config.json"
config.write_text(config.read_text().replace('"target_modules": [\\n    "q_proj"\\n  ]',
    '"target_modules": "([a-z_.0-9]+)+!|.*q_proj"'))
assert "+)+!" in config.read_text()
engine.LOADING = 2.0
began = time.monotonic()
try:
    engine.load_model(resolve_weights(str(root / "model"), root / "models", (root / "adapter",)), "float32")
except CapsafeError as error:
    print(error.message, time.monotonic() - began < 60)
"""


@pytest.mark.engine
def test_an_adapter_whose_patterns_never_end_is_given_up(tmp_path: Path) -> None:
    """It held the worker, and the queue behind it, for ever: a stop is a file that nobody looked at."""
    python = Settings().worker_python
    if python.parent.parent.name != ".venv-engine":
        pytest.skip("the engine's environment is not installed: make engine")
    done = subprocess.run(
        [str(python), "-c", SLOW, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("to load. True\n"), done.stdout + done.stderr


@pytest.mark.engine
def test_pickles_do_not_run(tmp_path: Path) -> None:
    """Through the same door as a worker, with what torch, transformers and peft do today."""
    python = Settings().worker_python
    if python.parent.parent.name != ".venv-engine":
        pytest.skip("the engine's environment is not installed: make engine")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [str(python), "-m", "tests.pickled", str(tmp_path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout.splitlines()[-1]) if done.stdout else pytest.fail(done.stderr)
    assert not [name for name, (_, ran) in found.items() if ran]
    assert all(said == "loaded" or "Error" not in said.split(":")[0] for said, _ in found.values()), (
        "each is a sentence"
    )
    loaded = {name for name, (said, _) in found.items() if said == "loaded"}
    assert loaded == {
        "nothing planted",
        "a pickle beside safetensors",
        "a pickle beside safetensors, pickles allowed",
        "an adapter with a pickle beside it",
    }
