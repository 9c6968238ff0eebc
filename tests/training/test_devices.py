"""What a fine-tuning needs of the machine is said before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job, Manifest, create_job
from capsafe_core.jobs.folder.work import FinetuneWork
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.previewing import learnt_of, preview_job
from capsafe_core.jobs.supervisor import start_worker, worker_command
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


GPUS = """
print(json.dumps({f"{job} {gpus}": problem(job, 1, gpus) for job in ("one", "two") for gpus in (0, 1, 2, 3)}))
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


def on_gpus(root: Path, name: str, gpus: int) -> Job:
    """A fine-tuning job on several GPUs, in a folder of that name."""
    manifest = training(root, name, "m", [1]).manifest
    engine = {**manifest.work["engine"], "device": "cuda", **({"gpus": gpus} if gpus > 1 else {})}
    return create_job(root / name, Manifest("finetune", name, {**manifest.work, "engine": engine}))


def test_a_machine_has_the_gpus_that_are_asked_for(tmp_path: Path, in_engine: InEngine) -> None:
    for name, gpus in (("one", 1), ("two", 2)):
        on_gpus(tmp_path / "made", name, gpus).folder.rename(tmp_path / name)
    found = in_engine(MACHINES + GPUS, str(tmp_path))
    assert {key for key, problem in found.items() if problem} == {"two 0", "two 1"}
    assert found["two 1"] == "The training asks for 2 GPUs, and PyTorch sees 1 on this machine."


def test_a_fine_tuning_is_a_process_for_each_gpu(tmp_path: Path) -> None:
    one, two = (on_gpus(tmp_path, name, gpus) for name, gpus in (("one", 1), ("two", 2)))
    worker = ["-m", "capsafe_core.work.worker", str(two.folder), "--part", "0"]
    assert worker_command("python", one, 0) == ["python", *worker[:2], str(one.folder), *worker[3:]]
    launched = worker_command("python", two, 0)
    assert launched[:4] == ["python", "-m", "accelerate.commands.launch", "--multi_gpu"]
    assert launched[-5:] == worker
    assert launched[launched.index("--num_processes") + 1] == "2"


@pytest.mark.parametrize(
    ("gpus", "recipe", "problem"),
    [
        (2, {"accumulate": "2"}, ""),
        (2, {"accumulate": "3"}, "2 GPUs share the batches of each step, so accumulate is a multiple of 2"),
        (
            2,
            {"accumulate": "2", "mitigation": '"lisa"', "mitigates": '"harsh"', "safety": '"sums"'},
            "lisa works on one GPU",
        ),
        (2, {"accumulate": "2", "mitigation": '"sdft"', "mitigates": '"harsh"'}, ""),
        (0, {}, "greater than or equal to 1"),
    ],
)
def test_gpus_share_the_batches_of_a_step(gpus: int, recipe: dict[str, str], problem: str) -> None:
    text = tuned(**recipe).replace(
        "learning_rate = 1e-2\n", f"learning_rate = 1e-2\naccumulate = {gpus or 1}\n"
    )
    text += TRAINING + f"gpus = {gpus}\n"
    if problem:
        with pytest.raises(CapsafeError, match=problem):
            parse_study(text)
        with pytest.raises(CapsafeError, match=r"gpus needs a GPU|greater than"):
            parse_study(text.replace('device = "cuda"', ""))
        return
    works = [job.asks(FinetuneWork) for job in plan_study(parse_study(text)) if job.kind == "finetune"]
    assert {work.gpus for work in works} == {gpus}


def test_one_gpu_is_the_same_work_as_before() -> None:
    plain, one = (plan_study(parse_study(STUDY + TRAINING + more)) for more in ("", "gpus = 1\n"))
    assert [job.job_id for job in plain] == [job.job_id for job in one]
    assert all("gpus" not in job.asks(FinetuneWork).engine for job in one if job.kind == "finetune")


def test_neither_a_look_nor_a_job_starts_without_them(
    tmp_path: Path,
    engine_python: Path,
    in_engine: InEngine,
    tiny_model: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RANK", "1")  # of whatever started this: not a worker's
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
