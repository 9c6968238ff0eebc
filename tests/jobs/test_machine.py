"""What is said of a machine before a study starts on it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from capsafe_core.catalogue import models
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
        "The engine is to run on a GPU",
    ),
    "vllm without a GPU": ({"engine": {"name": "vllm"}}, replace(LARGE, gpus=0), "vLLM needs one"),
    "a model over more GPUs": (
        {"engine": {"name": "vllm", "tensor_parallel": 4}},
        replace(LARGE, gpus=2),
        "4 GPUs are to share the model, and this machine has 2",
    ),
    "qlora without a GPU": (
        {"training": replace(LORA, method="qlora", device="cuda")},
        replace(LARGE, gpus=0),
        "The recipe fine-tuned is to be trained on a GPU",
    ),
    "weights larger than memory": ({}, replace(LARGE, memory=WEIGHTS - 1), "takes at least 0.3 GB of memory"),
    "all weights, which take four times that": (
        {"training": replace(LORA, method="full")},
        replace(LARGE, memory=4 * WEIGHTS - 1),
        "Training all weights of smollm2-135m-instruct takes at least 1.1 GB",
    ),
    "six checkpoints of all weights": (
        {"training": replace(LORA, method="full")},
        replace(LARGE, disk=6 * WEIGHTS - 1),
        "The checkpoints take at least 1.6 GB, and 1.6 GB of the disk are free",
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
