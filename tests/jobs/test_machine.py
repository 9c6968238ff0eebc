"""What is said of a machine before a study starts on it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from capsafe_core.catalogue import models
from capsafe_core.jobs import machine
from capsafe_core.jobs.machine import Machine, lacks, parameters_of, this_machine
from capsafe_core.jobs.new_study import NewStudy, Training
from capsafe_core.study import Study, parse_study

MODEL = "smollm2-135m-instruct"
WEIGHTS = 2 * int(models()[MODEL]["parameters"])
"""bytes in bfloat16"""
PLAIN = NewStudy(MODEL, ("direct-requests", "generated:choices"), ("prefix-zou",), 12)
LORA = Training("/a", 1e-4, (10, 20), (0, 1, 2))
LARGE = Machine(8, 10**12, 10**13)


def study(**parts: object) -> Study:
    return parse_study(replace(PLAIN, **parts).text("one"), "one.toml")  # type: ignore[arg-type]


CASES: dict[str, tuple[dict[str, object], Machine, str]] = {
    "an engine on a GPU": (
        {"engine": {"name": "transformers", "device": "cuda"}},
        replace(LARGE, gpus=0),
        "The engine needs a GPU, but none is visible here",
    ),
    "vllm without a GPU": ({"engine": {"name": "vllm"}}, replace(LARGE, gpus=0), "vLLM needs one"),
    "a model over more GPUs": (
        {"engine": {"name": "vllm", "tensor_parallel": 4}},
        replace(LARGE, gpus=2),
        "The model needs 4 GPUs, and this machine has 2",
    ),
    "qlora without a GPU": (
        {"training": replace(LORA, method="qlora", device="cuda")},
        replace(LARGE, gpus=0),
        "Training needs a GPU, but none is visible here",
    ),
    "weights larger than memory": ({}, replace(LARGE, memory=WEIGHTS - 1), "takes at least 0.3 GB of memory"),
    "all weights, which take four times that": (
        {"training": replace(LORA, method="full")},
        replace(LARGE, memory=4 * WEIGHTS - 1),
        "Full fine-tuning of smollm2-135m-instruct takes at least 1.1 GB",
    ),
    "six checkpoints of all weights": (
        {"training": replace(LORA, method="full")},
        replace(LARGE, disk=6 * WEIGHTS - 1),
        "The checkpoints take at least 1.6 GB, and 1.6 GB of disk space is free",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_machine_lacks_is_a_sentence_with_a_next_step(case: str) -> None:
    parts, machine, words = CASES[case]
    (sentence,) = lacks(study(**parts), machine)
    assert words in sentence
    assert sentence.count(". ") >= 1, "what is missing, and what to do"
    assert lacks(study(**parts), LARGE) == []


def test_just_enough_is_enough() -> None:
    assert lacks(study(), Machine(0, WEIGHTS, 0)) == []
    full = study(training=replace(LORA, method="full"))
    assert lacks(full, Machine(0, 4 * WEIGHTS, 6 * WEIGHTS)) == []


def test_parameters_are_read_from_a_folder_and_never_overstated(tmp_path: Path) -> None:
    assert parameters_of("somebody/large") == parameters_of(str(tmp_path)) == 0
    (tmp_path / "model.safetensors").write_bytes(bytes(1000))
    for config, count in (
        ({"torch_dtype": "bfloat16"}, 500),
        ({"dtype": "float32"}, 250),
        ({}, 250),
        ([], 250),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert parameters_of(str(tmp_path)) == count, config


def test_a_machine_has_memory_and_room_where_jobs_will_be(tmp_path: Path) -> None:
    here = this_machine(tmp_path / "not" / "there" / "yet")
    assert here.memory > 10**8
    assert here.disk > 0


@pytest.mark.parametrize(
    ("devices", "gpus"),
    [
        ((), 0),
        (("nvidia0", "nvidia1", "nvidiactl", "dxg"), 2),
        (("kfd", "dri/renderD128", "dri/renderD129", "dri/card0"), 2),
        (("dri/renderD128",), 0),
        (("dxg",), None),
        (("kfd",), None),
    ],
)
def test_gpus_are_counted_by_what_drivers_show(
    devices: tuple[str, ...], gpus: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _written(tmp_path, dict.fromkeys(devices, ""))
    monkeypatch.setattr(machine, "_DRIVER", tmp_path)
    here = this_machine(tmp_path)
    assert here.gpus == gpus
    for engine in ({"name": "transformers", "device": "cuda"}, {"name": "vllm"}):
        assert bool(lacks(study(engine=engine), replace(LARGE, gpus=gpus))) == (gpus == 0)


def test_an_unknown_number_of_gpus_may_be_enough() -> None:
    shared = study(engine={"name": "vllm", "tensor_parallel": 4})
    assert lacks(shared, replace(LARGE, gpus=None)) == []


LIMITS = {
    "of the group": ("0::/job", {"job/memory.max": "1000\n", "memory.max": "max\n"}, 1000),
    "of a group above": ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "2000"}, 2000),
    "of version 1": (
        "5:cpu,cpuacct:/x\n4:memory:/job\n0::/",
        {"memory/job/memory.limit_in_bytes": "3000", "memory/memory.limit_in_bytes": "9223372036854771712"},
        3000,
    ),
    "of a container that sees itself as the root": ("0::/", {"memory.max": "4000"}, 4000),
    "none": ("0::/job", {"job/memory.max": "max"}, None),
    "larger than the machine": ("0::/", {"memory.max": str(10**18)}, None),
    "no control groups": (None, {}, None),
}


@pytest.mark.parametrize("case", LIMITS)
def test_memory_is_what_a_container_may_use(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups, limits, memory = LIMITS[case]
    _written(tmp_path / "groups", limits)
    if groups is not None:
        (tmp_path / "process").write_text(groups)
    monkeypatch.setattr(machine, "_PROCESS", tmp_path / "process")
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "groups")
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert this_machine(tmp_path).memory == (whole if memory is None else memory)


def _written(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
