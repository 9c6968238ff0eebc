"""Finding weights: catalogue names, GGUF files, safetensors folders, hub ids; and adapters over them."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from capsafe_core import catalogue
from capsafe_core.errors import CapsafeError
from capsafe_core.folders import boundary, is_regular
from capsafe_core.places import PREPARE
from capsafe_core.records import Checkpoint, canonical_json, digest_files, digest_text

ORIGIN = "capsafe-origin.json"
"""in a folder that this workspace made from a GGUF file: which one"""
DIGESTS = "digests.json"
"""in the models folder: state of weight files -> their digest"""
MOST_DIGESTS = 1000
IMPORTING = ("megatron_config",)
"""settings of an adapter by which peft imports a module of the adapter's choice"""


@dataclass(frozen=True)
class Weights:
    """A model folder that transformers can load, the digest of where it came from, and adapters to apply in
    order."""

    name: str
    folder: Path
    digest: str
    adapters: tuple[Path, ...] = ()
    trusted: bool = False
    """whether code that comes with the model may run"""
    pickles: bool = False
    """whether pickled weights may be loaded, which can run code too"""
    other_tokenizer: Path | None = None
    """the folder with the tokenizer, where that is not the model's"""

    @property
    def checkpoint(self) -> Checkpoint:
        """The fact that names these weights."""
        return Checkpoint(self.name, self.digest, tuple(adapter_digest(path) for path in self.adapters))


def resolve_weights(
    model: str,
    models: Path,
    adapters: tuple[Path, ...] = (),
    trusted: bool = False,
    pickles: bool = False,
    tokenizer: str = "",
) -> Weights:
    """Weights for a model by name.

    Args:
        model: a name in the catalogue, a folder with safetensors, a .gguf file, or a hub id.
        models: folder for converted models; made where missing.
        adapters: LoRA folders, applied in order.
        trusted: whether code that comes with the model may run.
        pickles: whether weights may be loaded that are not safetensors.
        tokenizer: the model that has its tokenizer, where its own folder holds none.

    Raises:
        CapsafeError: the model or an adapter is not there, or an adapter names another model.
    """
    _check_adapters(adapters)
    entry = catalogue.models().get(model)
    source = Path(packaged_path(entry["source"], model) if entry else model).expanduser()
    if source.suffix == ".gguf" and source.is_file():
        folder, digest = _converted(source, models, bool(entry and entry.get("split_digits")))
    elif source.is_dir():
        folder, digest = source, _folder_digest(source, models, pickles)
    elif model.count("/") == 1 and not model.startswith((".", "/", "~")):
        folder = _from_hub(model, trusted, pickles)
        digest = _folder_digest(folder, models, pickles)
    else:
        known = ", ".join(sorted(catalogue.models()))
        raise CapsafeError(
            f"There is no model {model!r}: no such folder or file.",
            f"Give a folder with safetensors, a .gguf file, a hub id, or one of: {known}.",
        )
    other = resolve_weights(tokenizer, models, (), trusted, pickles).folder if tokenizer else None
    weights = Weights(model, folder, digest, (), trusted, pickles, other)
    for path in adapters:
        weights = laid_over(weights, path, models)
    return weights


def laid_over(weights: Weights, folder: Path, models: Path) -> Weights:
    """What a fine-tuning of some weights made: an adapter over them, or weights of its own.

    Raises:
        CapsafeError: there is neither in the folder, or the adapter names another model.
    """
    if (folder / "config.json").is_file() and not (folder / "adapter_config.json").exists():
        digest = _folder_digest(folder, models, False)
        name = f"{weights.name} {folder.parent.parent.name}/{folder.name}"
        return Weights(name, folder, digest, (), weights.trusted)
    _check_adapters((folder,))
    if weights.folder != Path():  # a server's model has none
        _check_base(folder, weights.name, weights.folder)
    return replace(weights, adapters=(*weights.adapters, folder))


def served_weights(model: str, adapters: tuple[Path, ...] = ()) -> Weights:
    """A model that a server has: it is known by its name alone, so name versions in it.

    Raises:
        CapsafeError: an adapter is not there.
    """
    _check_adapters(adapters)
    return Weights(model, Path(), digest_text(f"served:{model}"), adapters)


def adapter_digest(folder: Path) -> str:
    """Digest of an adapter's weights and settings."""
    return digest_files(folder / "adapter_model.safetensors", folder / "adapter_config.json")


def _check_adapters(adapters: tuple[Path, ...]) -> None:
    for path in adapters:
        if not (path / "adapter_config.json").exists():
            raise CapsafeError(
                f"There is no adapter in {path}.",
                "Run the fine-tuning job that makes it, or correct the path.",
            )
        if not (path / "adapter_model.safetensors").exists():
            raise CapsafeError(
                f"The adapter in {path} has no adapter_model.safetensors.",
                "Save it as safetensors; pickled adapters are not loaded.",
            )
        _check_adapter_config(path)


def _check_adapter_config(folder: Path) -> None:
    """An adapter is a LoRA; other kinds, and some settings, have peft import modules or fetch models by name.

    Raises:
        CapsafeError: it is something else, or leads out of its folder.
    """
    path = folder / "adapter_config.json"
    inside = boundary(folder)
    if not all(is_regular(file, inside) for file in (path, folder / "adapter_model.safetensors")):
        raise CapsafeError(f"The adapter in {folder} leads out of its folder.", "Copy its files there.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind, calls = config.get("peft_type"), next((key for key in IMPORTING if config.get(key)), "")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise CapsafeError(
            f"The settings of the adapter in {folder} cannot be read: {type(error).__name__}.",
            "Save the adapter again.",
        ) from error
    if kind != "LORA" or calls:
        what = f"is of the kind {str(kind)[:40]!r}" if kind != "LORA" else f"asks for {calls}"
        raise CapsafeError(f"The adapter in {folder} {what}, which is not loaded.", "Use a plain LoRA.")


def _check_base(adapter: Path, model: str, folder: Path) -> None:
    """An adapter that says over which model it was trained belongs to no other; paths count by their last
    part, which is the same on another machine.

    Raises:
        CapsafeError: it names another model.
    """
    stated = _setting(adapter / "adapter_config.json", "base_model_name_or_path")
    called = _setting(folder / "config.json", "_name_or_path")
    known = {_last(name) for name in (model, str(folder), str(folder.resolve()), called)}
    if _last(stated) and _last(stated) not in known:
        raise CapsafeError(
            f"The adapter in {adapter} was trained over {stated[:200]!r}, which is not {model!r}.",
            "Name that model; where it is the same one under another name, correct base_model_name_or_path "
            "in the adapter's adapter_config.json.",
        )


def _setting(path: Path, name: str) -> str:
    """A text in a folder's settings; "" where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8")).get(name)
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""


def _last(name: str) -> str:
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1].lower()


def packaged_path(source: str, model: str) -> str:
    """The path of a file inside an installed package, from "package/file"."""
    path = catalogue.packaged_file(source)
    if path is None:
        raise CapsafeError(
            f"The model {model!r} comes with the Python package {source.partition('/')[0]!r}, which is not "
            "installed here.",
            f"Run `{PREPARE}`.",
        )
    return str(path)


def _folder_digest(folder: Path, models: Path, pickles: bool) -> str:
    """The digest of a folder's weights, from their bytes; what the folder says of itself counts only where
    this workspace made it.

    Raises:
        CapsafeError: it holds no weights, or names some that lie elsewhere.
    """
    stated = _stated_digest(folder, models)
    if stated:
        return stated
    _check_config(folder)
    _check_index(folder)
    files = sorted(folder.glob("*.safetensors")) or (sorted(folder.glob("*.bin")) if pickles else [])
    if not files:
        raise CapsafeError(
            f"The folder {folder} holds no .safetensors file.",
            "Convert the model to safetensors; pickled weights are loaded only where the study says "
            "`pickles = true` for the model.",
        )
    files += sorted(folder.glob("config.json"))
    led_out = next((path for path in files if not is_regular(path, boundary(folder))), None)
    if led_out is not None:
        raise CapsafeError(
            f"{led_out.name} in {folder} is not a file of its own: it leads out of the folder.",
            "Copy the file there, or name the folder that it lies in.",
        )
    return _kept_digest(files, models / DIGESTS)


def _stated_digest(folder: Path, models: Path) -> str:
    """What a folder made from a GGUF file by this workspace says of that file; "" for every other folder."""
    origin = folder / ORIGIN
    if folder.is_symlink() or folder.resolve().parent != models.resolve() or not origin.is_file():
        return ""
    try:
        found = json.loads(origin.read_text())
        digest, made_as = str(found["digest"]), f"{Path(found['file']).stem}-{str(found['digest'])[:8]}"
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return ""
    return digest if folder.name == made_as else ""


def _check_config(folder: Path) -> None:
    """Refuse settings by which other weights are loaded than those that are in the digest."""
    if os.path.lexists(folder / "adapter_config.json"):
        raise CapsafeError(
            f"The folder {folder} holds an adapter, which may name another model to be loaded.",
            "Name the model itself, and the folder under `adapters`.",
        )
    config = folder / "config.json"
    if not config.is_file():
        return
    try:
        named = "transformers_weights" in json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise CapsafeError(
            f"The settings of the model in {config} cannot be read: {type(error).__name__}.",
            "Get the model again.",
        ) from error
    if named:
        raise CapsafeError(
            f"The settings in {config} name a file of weights of their own (transformers_weights).",
            "Remove that line where the weights are in model.safetensors.",
        )


def _check_index(folder: Path) -> None:
    """Refuse a list of shards that names files elsewhere, or such as are not safetensors: they would be
    loaded and not be in the digest."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        strange = sorted(
            str(name)
            for name in names
            if Path(str(name)).name != name or not str(name).endswith(".safetensors")
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CapsafeError(
            f"The list of weights in {index} cannot be read: {type(error).__name__}.", "Get the model again."
        ) from error
    if strange:
        raise CapsafeError(
            f"The list of weights in {index} names {strange[0][:100]!r}, which is not a safetensors file of "
            "the folder.",
            "Do not trust this model.",
        )


def _kept_digest(files: Sequence[Path], kept: Path) -> str:
    """The digest of files; computed once for each state of them, and kept in the workspace: their folder may
    be anybody's."""
    states = [(str(path.resolve()), path.stat()) for path in files]
    key = digest_text(
        canonical_json(
            [[name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_dev] for name, s in states]
        )
    )
    try:
        known = json.loads(kept.read_text())
        if isinstance(known.get(key), str):
            return str(known[key])
    except (OSError, ValueError, AttributeError, RecursionError):
        known = {}
    digest = digest_files(*files)
    kept.parent.mkdir(parents=True, exist_ok=True)
    new = kept.with_name(f"{kept.name}.{os.getpid()}.new")
    new.write_text(json.dumps({**dict(list(known.items())[-MOST_DIGESTS:]), key: digest}))
    new.replace(kept)
    return digest


def _converted(source: Path, models: Path, split_digits: bool) -> tuple[Path, str]:
    """A safetensors folder made once from a GGUF file."""
    digest = digest_files(source)
    folder = models / f"{source.stem}-{digest[:8]}"
    if not (folder / ORIGIN).exists():

        def convert(scratch: Path) -> None:
            _convert(source, scratch, split_digits)
            (scratch / ORIGIN).write_text(json.dumps({"digest": digest, "file": source.name}))

        make_folder(folder, convert)
    return folder, digest


def make_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """A folder that others see whole or not at all, whoever else is making it: filled beside its place, then
    renamed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix="making-"))
    try:
        fill(scratch)
        if not folder.exists():
            scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _convert(source: Path, folder: Path, split_digits: bool) -> None:
    import torch
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    common: dict[str, Any] = {"gguf_file": source.name}
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True), **common
    )
    tokenizer = AutoTokenizer.from_pretrained(source.parent, **common)
    if split_digits:
        # the GGUF converter loses the original's split of numbers into single digits
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence([Digits(True), ByteLevel(False)])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _from_hub(model: str, trusted: bool, pickles: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        return Path(
            snapshot_download(
                model,
                allow_patterns=[
                    "*.safetensors",
                    "*.json",
                    "*.jinja",
                    "*.model",
                    "*.txt",
                    *["*.py"] * trusted,
                    *["*.bin"] * pickles,
                ],
            )
        )
    except (
        RepositoryNotFoundError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        HfHubHTTPError,
        OSError,
    ) as error:
        raise CapsafeError(
            f"The model {model!r} could not be fetched from the hub.",
            "Check the name and the connection, or give a folder.",
        ) from error
