"""The real vLLM (its CPU build here) through real workers, and its API server as the server of the `openai`
engine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capsafe_core.jobs.folder import Job, Manifest, create_job
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.supervisor import start_worker
from capsafe_core.records import Checkpoint, Condition, Generation, Judgment
from capsafe_core.settings import ROOT, Settings
from capsafe_core.study import parse_study
from tests.asked import direct_requests
from tests.server import allowed

pytestmark = pytest.mark.vllm
ENGINE = {
    "name": "vllm",
    "dtype": "float32",
    "tensor_parallel": 1,
    "max_model_len": 512,
    "gpu_memory": 0.9,
    "enforce_eager": True,
}
SAMPLING = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 16, "samples": 1, "seed": 0, "system_prompt": ""}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, engine_python: Path, vllm_python: Path) -> Path:
    """A workspace with the small model as a folder, under `model`, and two random adapters."""
    root = tmp_path_factory.mktemp("vllm")
    subprocess.run(
        [str(engine_python), "-m", "tests.small_model", str(root)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    return root


def generate(
    home: Path,
    name: str,
    engine: dict[str, Any],
    adapters: tuple[tuple[int, ...], ...] = ((),),
    size: int = 8,
    model: str = "",
    **sampling: object,
) -> Job:
    checkpoints = [
        {
            "model": model or str(home / "model"),
            "adapters": [{"path": str(home / f"adapter-{i}")} for i in chain],
        }
        for chain in adapters
    ]
    several = (
        {"checkpoints": checkpoints} if engine["name"] != "transformers" else {"checkpoint": checkpoints[0]}
    )
    return create_job(
        home / "jobs",
        Manifest(
            "generate",
            name,
            {
                **several,
                "benchmarks": [direct_requests(size)],
                "sampling": {**SAMPLING, **sampling},
                "engine": engine,
            },
        ),
    )


def finish(job: Job, python: Path) -> Job:
    assert start_worker(job, settings=Settings(engine_python=python)).wait() == 0, job.path(
        0, "log"
    ).read_text()[-1500:]
    assert job.state == "done"
    return job


def texts(job: Job) -> dict[tuple[str, str], str]:
    return {(r.checkpoint_id, r.prompt_id): r.text for r in job.records() if isinstance(r, Generation)}


def same(one: dict[Any, str], other: dict[Any, str]) -> float:
    """The share of texts that came out identical."""
    assert one.keys() == other.keys()
    return sum(one[k] == other[k] for k in one) / len(one)


def test_one_engine_answers_for_a_model_and_its_adapters_as_transformers_does(
    home: Path, engine_python: Path, vllm_python: Path
) -> None:
    """Also an adapter over an adapter: the first is merged into a folder of its own, once."""
    job = finish(generate(home, "switching", ENGINE, ((), (1,), (2,), (1, 2))), vllm_python)
    found = texts(job)
    assert len(found) == 32
    by_model = {c: [t for (k, _), t in found.items() if k == c] for c, _ in found}
    assert len({tuple(t) for t in by_model.values()}) == 4, "every checkpoint says something of its own"
    condition = next(r for r in job.records() if isinstance(r, Condition))
    assert (condition.engine, condition.dtype) == ("vllm", "float32")
    assert len([r for r in job.records() if isinstance(r, Checkpoint)]) == 4
    plain = {"name": "transformers", "dtype": "float32", "batch_size": 1, "device": "cpu"}
    for chain in ((), (2,), (1, 2)):
        expected = texts(finish(generate(home, f"plain-{len(chain)}", plain, (chain,)), engine_python))
        share = same(expected, {k: t for k, t in found.items() if k in expected})
        print(f"greedy texts of vLLM and transformers that are identical, adapters {chain}: {share:.2f}")
        assert share >= 0.5
    assert len(list((home / "models").glob("merged-*"))) == 1


def test_kill_and_resume_lose_and_double_nothing_and_the_identical_share_is_reported(
    home: Path, vllm_python: Path
) -> None:
    sampled: dict[str, Any] = {"size": 48, "temperature": 0.8, "max_tokens": 48}
    whole = finish(generate(home, "whole", ENGINE, **sampled), vllm_python)
    again = finish(generate(home, "again", ENGINE, **sampled), vllm_python)
    broken = generate(home, "broken", ENGINE, **sampled)
    worker = start_worker(broken, settings=Settings(engine_python=vllm_python))
    facts = 1 + 1 + 1 + 48
    while broken.status().done <= facts and worker.poll() is None:
        time.sleep(0.05)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    kept = texts(broken)
    assert 0 < len(kept) < 48
    finish(broken, vllm_python)
    written = [r for r in broken.records() if isinstance(r, Generation)]
    assert len(written) == len({r.id for r in written}) == 48
    assert kept.items() <= texts(broken).items()
    print(
        f"sampled texts that are identical: {same(texts(whole), texts(again)):.2f} from run to run, "
        f"{same(texts(whole), texts(broken)):.2f} after a kill at {len(kept)} of 48"
    )
    assert len(set(texts(whole).values())) > 24


def test_log_probabilities_and_requests_that_are_too_long(
    home: Path, cold_engine_python: Path, vllm_python: Path
) -> None:
    code = """
import json, sys
from pathlib import Path
from capsafe_core.engines import Request, Sampling, answer_all, find_weights, open_engine

if __name__ == "__main__":
    settings, model, models = json.loads(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    e = open_engine(settings, find_weights(settings, model, models), models)
    asked = [
        Request(f"{i}", ({"role": "user", "content": q},), Sampling(max_tokens=4, logprobs=True))
        for i, q in enumerate(["Is Paris in France?", "word " * 2000])
    ]
    raw = Request(
        "r", ({"role": "user", "content": "The capital of France is"},), raw=True, begun=" the city of"
    )
    answers = answer_all(e, asked[: 2 if settings["name"] == "vllm" else 1])
    print(
        json.dumps(
            {
                "logs": e.choose([asked[0], raw], ["Yes", "No", " Paris"]),
                "chosen": answers["0"].logprobs,
                "long": getattr(answers.get("1"), "message", ""),
            }
        )
    )
"""

    def told(python: Path, engine: dict[str, Any]) -> dict[str, Any]:
        script = home / "logs.py"
        script.write_text(code)
        command = [str(python), str(script), json.dumps(engine), str(home / "model"), str(home / "models")]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-1500:]
        return dict(json.loads(done.stdout.splitlines()[-1]))

    found = told(vllm_python, ENGINE)
    expected = told(
        cold_engine_python, {"name": "transformers", "dtype": "float32", "batch_size": 1, "device": "cpu"}
    )
    for own, other in zip(found["logs"], expected["logs"], strict=True):
        assert own == pytest.approx(other, abs=0.05)
    assert found["chosen"] == pytest.approx(expected["chosen"], abs=0.05)
    assert "maximum context length" in found["long"]


def test_a_model_that_vllm_cannot_serve_ends_the_job_with_a_sentence(home: Path, vllm_python: Path) -> None:
    job = generate(home, "too-long", {**ENGINE, "max_model_len": 10_000_000})
    assert start_worker(job, settings=Settings(engine_python=vllm_python)).wait() == 1
    assert "vLLM cannot serve" in job.status().message
    assert job.status().hint
    gone = generate(home, "gone", ENGINE, ((3,),))
    assert start_worker(gone, settings=Settings(engine_python=vllm_python)).wait() == 1
    assert "no adapter in" in gone.status().message


@pytest.fixture(scope="module")
def server(home: Path, vllm_python: Path) -> Iterator[str]:
    """vLLM's own API server over the small model, with adapters allowed at run time."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = int(s.getsockname()[1])
    environment = {
        **os.environ,
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_CPU_OMP_THREADS_BIND": f"0-{(os.cpu_count() or 1) - 1}",
        "VLLM_NO_USAGE_STATS": "1",
    }
    options = [
        "--model",
        str(home / "model"),
        "--served-model-name",
        "small",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--enforce-eager",
        "--max-model-len",
        "512",
        "--max-logprobs",
        "50000",
        "--enable-lora",
        "--dtype",
        "float32",
    ]
    with (home / "server.log").open("w") as log:
        process = subprocess.Popen(
            [str(vllm_python), "-m", "vllm.entrypoints.openai.api_server", *options],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                assert process.poll() is None, (home / "server.log").read_text()[-1500:]
                time.sleep(0.5)
        address = f"http://127.0.0.1:{port}/v1"
        with allowed(address), allowed(address, key="NO_SUCH_KEY"):
            yield address
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_a_study_over_a_real_server_with_an_adapter_and_a_judge(
    home: Path, server: str, engine_python: Path
) -> None:
    study = parse_study(f"""
name = "served"
title = "Answers and verdicts from a server"
[engine]
name = "openai"
base_url = "{server}"
concurrency = 8
top_logprobs = 49000
[sampling]
max_tokens = 16
[[starts]]
name = "small"
model = "small"
[[starts]]
name = "adapted"
model = "small"
adapters = ["{home}/adapter-1"]
[[benchmarks]]
name = "direct-requests"
source = "project:direct-requests"
size = 8
[[judges]]
name = "jailbreakbench"
model = "small"
config = {{ answer = "constrained" }}
[primary]
benchmark = "direct-requests"
judge = "jailbreakbench"
refusal_judge = "jailbreakbench"
coherence = "jailbreakbench"
""")
    jobs = [create_job(home / "jobs", manifest) for manifest in plan_study(study)]
    for job in jobs:
        finish(job, engine_python)
    generations = [r for job in jobs for r in job.records() if isinstance(r, Generation)]
    assert len(generations) == 16
    assert len({r.checkpoint_id for r in generations}) == 2
    said = [{r.text for r in job.records() if isinstance(r, Generation)} for job in jobs[:2]]
    assert said[0] != said[1], "the adapter answered"
    assert next(r for r in jobs[0].records() if isinstance(r, Condition)).engine_version.startswith("vllm ")
    verdicts = [r for r in jobs[-1].records() if isinstance(r, Judgment)]
    assert len(verdicts) == 16
    assert {v.status for v in verdicts} == {"ok"}
    assert all(v.score is not None and 0 < v.score < 1 for v in verdicts)
    direct = texts(finish(generate(home, "direct", _openai(server), model="small"), engine_python))
    print(
        "greedy texts of a server, asked twice, that are identical: "
        f"{same({p: t for (_, p), t in direct.items()}, {r.prompt_id: r.text for r in generations if r.text in said[0]}):.2f}"
    )


def _openai(server: str) -> dict[str, Any]:
    return {
        "name": "openai",
        "base_url": server,
        "api_key_env": "NO_SUCH_KEY",
        "concurrency": 8,
        "timeout": 60.0,
        "retries": 3,
        "top_logprobs": 20,
    }
