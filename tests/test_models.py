"""Which weights a name means: their digest comes from their bytes, and nothing pickled runs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

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
