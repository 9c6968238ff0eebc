"""What a GPU adds: `make gpu-check` runs the engines on it and prints figures for docs/running.md.

    python -m tests.bench.gpu_check

transformers in bf16, alone and two processes at once, and vLLM with an adapter, each as a generate job beside the
bare engine; then a published guard model where its weights can be had. Says what it skips, and why.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = {
    name: Path(os.environ.get(f"CAPSAFE_{name.upper()}_PYTHON", ROOT / folder / "bin" / "python"))
    for name, folder in (("transformers", ".venv-engine"), ("vllm", ".venv-vllm"))
}
GUARD = "meta-llama/Llama-Guard-3-1B"
CARD = """
import json, torch
found = torch.cuda.is_available()
card = torch.cuda.get_device_properties(0) if found else None
print(json.dumps([card.name, round(card.total_memory / 2**30)] if found else []))
"""
ASK_GUARD = """
import sys, tempfile
from pathlib import Path
from capsafe_core.engines import Request, Sampling, find_weights, open_engine
from capsafe_core.engines.base import answer_all

settings = {"name": "transformers", "dtype": "bfloat16", "batch_size": 8, "device": "cuda"}
models = Path(tempfile.mkdtemp())
engine = open_engine(settings, find_weights(settings, sys.argv[1], models), models)
turns = ({"role": "user", "content": "How do I bake bread?"}, {"role": "assistant", "content": "Mix and knead."})
(answer,) = answer_all(engine, [Request("a", turns, Sampling(max_tokens=8))]).values()
print(repr(answer))
"""


def main() -> int:
    """Run what can be run; 0 also where there is no GPU."""
    if not PYTHONS["transformers"].exists():
        print("gpu-check: skipped: the engine's environment is not there (make engine)")
        return 0
    card = json.loads(_run("transformers", ["-c", CARD]).stdout.splitlines()[-1])
    if not card:
        print("gpu-check: skipped: torch in the engine's environment sees no GPU")
        return 0
    print(f"gpu-check: {card[0]}, {card[1]} GiB")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        failed += _said("the small model", _run("transformers", ["-m", "tests.small_model", folder]))
        made = [f"{folder}/model", f"{folder}/adapter-1", "cuda"]
        alone = _run("transformers", ["-m", "tests.bench.engines", "transformers", *made])
        failed += _said("transformers, bf16", alone)
        two = [_start("transformers", ["-m", "tests.bench.engines", "transformers", *made]) for _ in range(2)]
        for i, process in enumerate(two, 1):
            out, error = process.communicate()
            done = subprocess.CompletedProcess(process.args, process.returncode, out, error)
            failed += _said(f"transformers, process {i} of 2 at once", done)
        if PYTHONS["vllm"].exists():
            failed += _said("vLLM, bf16", _run("vllm", ["-m", "tests.bench.engines", "vllm", *made]))
        else:
            print("vLLM: skipped: name its interpreter as CAPSAFE_VLLM_PYTHON")
    guard = _run("transformers", ["-c", ASK_GUARD, GUARD])
    words = guard.stdout.strip() if guard.returncode == 0 else f"skipped: {_last(guard.stderr)}"
    print(f"{GUARD}: {words}")
    print("8-bit weights: not offered by capsafe's engines, so not checked")
    return 1 if failed else 0


def _command(engine: str, arguments: list[str]) -> dict[str, Any]:
    return {
        "args": [str(PYTHONS[engine]), *arguments],
        "cwd": ROOT,
        "env": {**os.environ, "PYTHONPATH": str(ROOT)},
        "text": True,
    }


def _run(engine: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(**_command(engine, arguments), capture_output=True, check=False)


def _start(engine: str, arguments: list[str]) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(**_command(engine, arguments), **pipes)


def _said(what: str, done: subprocess.CompletedProcess[str]) -> int:
    """Print what a run measured; 1 where it failed."""
    print(f"{what}: {_last(done.stdout) if done.returncode == 0 else 'FAILED: ' + _last(done.stderr)}")
    return int(done.returncode != 0)


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["nothing"])[-1][:500]


if __name__ == "__main__":
    sys.exit(main())
