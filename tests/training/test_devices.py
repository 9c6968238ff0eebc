"""What a fine-tuning needs of the machine is said before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder.work import FinetuneWork
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.previewing import learnt_of, preview_job
from capsafe_core.jobs.supervisor import start_worker
from capsafe_core.settings import Settings
from capsafe_core.study import parse_study
from tests.engines.tiny import InEngine, finish
from tests.synthetic import STUDY
from tests.training.test_training import training, weights_of

TRAINING = """
[training]
name = "transformers"
device = "cuda"
"""
# The same question to machines that have one thing, the other, or both.
MACHINES = """
import json, sys
from unittest.mock import patch
from capsafe_core.jobs.folder import open_job
from capsafe_core.jobs.folder.work import FinetuneWork
from capsafe_core.training import devices
from pathlib import Path

def problem(method, installed, gpus):
    work = open_job(Path(sys.argv[1]) / method).manifest.asks(FinetuneWork)
    with (
        patch.object(devices, "find_spec", lambda name: object() if installed else None),
        patch("torch.cuda.is_available", lambda: gpus > 0),
        patch("torch.cuda.device_count", lambda: gpus),
    ):
        try:
            devices.require_devices(work)
        except Exception as error:
            return error.message
    return ""
"""
QLORA = """
print(json.dumps({f"{method} {installed} {gpus}": problem(method, installed, gpus)
                  for method in ("lora", "qlora") for installed in (0, 1) for gpus in (0, 1)}))
"""


def tuned(**recipe: str) -> str:
    more = "".join(f"{key} = {value}\n" for key, value in recipe.items())
    return STUDY.replace("learning_rate = 1e-4\n", f"learning_rate = 1e-4\n{more}", 1)


def test_four_bits_need_a_gpu_and_what_reads_them(tmp_path: Path, in_engine: InEngine) -> None:
    for method in ("lora", "qlora"):
        training(tmp_path, method, "m", [1], method=method).folder.rename(tmp_path / method)
    found = in_engine(MACHINES + QLORA, str(tmp_path))
    assert {key for key, problem in found.items() if not problem} == {
        "lora 0 0",
        "lora 0 1",
        "lora 1 0",
        "lora 1 1",
        "qlora 1 1",
    }
    assert found["qlora 0 1"] == "qlora needs bitsandbytes, which the engine's environment lacks."
    assert found["qlora 1 0"] == "qlora needs a GPU, and PyTorch sees none on this machine."


def test_a_study_names_the_gpu_that_four_bits_need() -> None:
    with pytest.raises(CapsafeError, match="qlora needs a GPU: say device"):
        parse_study(tuned(method='"qlora"'))
    jobs = plan_study(parse_study(tuned(method='"qlora"') + TRAINING))
    works = [job.asks(FinetuneWork) for job in jobs if job.kind == "finetune"]
    assert {work.recipe.method for work in works} == {"lora", "qlora"}
    assert {work.engine["device"] for work in works} == {"cuda"}


def test_neither_a_look_nor_a_job_starts_without_them(
    tmp_path: Path, engine_python: Path, in_engine: InEngine, tiny_model: str
) -> None:
    there = in_engine("import json, torch\nprint(json.dumps({'gpu': torch.cuda.is_available()}))")
    if there["gpu"]:
        pytest.skip("this machine has what qlora needs")
    jobs = [training(tmp_path, name, tiny_model, [2], method=name) for name in ("lora", "qlora")]
    look = finish(preview_job(tmp_path, "", [job.manifest for job in jobs]), engine_python)
    plain, refused = learnt_of(look) or ()
    assert plain.can_be_learnt
    assert refused.problem.startswith("qlora needs")
    assert start_worker(jobs[1], settings=Settings(engine_python=engine_python)).wait() == 1
    assert jobs[1].status().message.startswith("qlora needs")
    assert weights_of(jobs[1]) == {}
    assert json.loads((jobs[1].folder / "part-000.status.json").read_text())["done"] == 0
