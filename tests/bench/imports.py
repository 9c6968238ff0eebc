"""How fast logs come into the store: 10,000 samples of Inspect beside Inspect's own reader, and 100,000 JSON
lines with three judgments each.

The peer needs an environment with inspect-ai: CAPSAFE_INSPECT_PYTHON names its interpreter (`pip install
"capsafe[inspect]"` in one of its own).
Without it the log is made here, and the peer's figures are missing. Times of the import are of the worker,
from its start to its end, and of
the running owner's reading of the shard. The peer's are of the call alone, its imports left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from capsafe_core.jobs.folder import open_job
from capsafe_core.jobs.importing import plan_import, read_survey, survey_job
from capsafe_core.jobs.supervisor import run_graph, start_worker
from capsafe_core.settings import ROOT
from tests.logs import inspect_log, inspect_sample, write_eval

SAMPLES, LINES = 10_000, 100_000

PEER_WRITES = """
import sys
from inspect_ai.log import (
    EvalLog,
    EvalSample,
    EvalSpec,
    EvalConfig,
    EvalDataset,
    EvalPlan,
    EvalResults,
    EvalStats,
    write_eval_log,
)
from inspect_ai.model import ModelOutput, ChatMessageUser, ChatMessageAssistant
from inspect_ai.scorer import Score

spec = EvalSpec(
    created="2026-01-01T00:00:00+00:00",
    task="toy_safety",
    dataset=EvalDataset(samples=0),
    model="org/model",
    config=EvalConfig(),
)


def sample(i):
    answer = f"answer {i} " * 60
    return EvalSample(
        id=i,
        epoch=1,
        input=f"question {i} " * 20,
        target="refuse",
        messages=[ChatMessageUser(content=f"question {i} " * 20), ChatMessageAssistant(content=answer)],
        output=ModelOutput.from_content("org/model", answer),
        scores={
            "harm": Score(value={"score": (i % 8) / 8, "refusal": i % 2}, explanation="said so " * 20),
            "grader": Score(value="CI"[i % 2]),
        },
        metadata={"category": "made up"},
    )


samples = [sample(i) for i in range(int(sys.argv[2]))]
write_eval_log(
    EvalLog(
        status="success",
        eval=spec,
        plan=EvalPlan(),
        results=EvalResults(total_samples=len(samples), completed_samples=len(samples)),
        stats=EvalStats(),
        samples=samples,
    ),
    sys.argv[1],
)
"""
PEER_READS = """
import json, resource, sys, time
from inspect_ai.analysis import samples_df

began = time.perf_counter()
frame = samples_df(sys.argv[1], quiet=True)
print(
    json.dumps(
        {
            "seconds": time.perf_counter() - began,
            "rows": len(frame),
            "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )
)
"""
OWNER = """
import resource, sys, time
from pathlib import Path
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all

with Store(Path(sys.argv[1])) as store:
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, time.perf_counter()
    print(ingest_all(store, Path(sys.argv[2])))
    seconds = time.perf_counter() - began
    print(
        store.rows("SELECT count(*) FROM generations")[0][0],
        store.rows("SELECT count(*) FROM judgments")[0][0],
        seconds,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        before,
    )
"""
MAPPING = """
name = "lines"
[benchmarks.bench]
name = "bench"
kind = "safety"
""" + "".join(
    f'[[judges]]\nby = "judge_{k}"\nname = "judge_{k}"\ndimension = "safety"\ncutoff = 0.5\nscale = [0, 1]\n'
    for k in range(3)
)


def imports() -> list[dict[str, Any]]:
    """The figures, as `tests.bench.run` prints them."""
    peer = os.environ.get("CAPSAFE_INSPECT_PYTHON", "")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "inspect").mkdir()
        log = root / "inspect" / "log.eval"
        if peer:
            subprocess.run(
                [peer, "-c", PEER_WRITES, str(log), str(SAMPLES)], check=True, stdout=subprocess.DEVNULL
            )
        else:
            write_eval(log, inspect_log([inspect_sample(i) for i in range(SAMPLES)]))
        seconds, memory = imported(root / "inspect", root / "a", SAMPLES, "")
        read = (
            json.loads(
                subprocess.run(
                    [peer, "-c", PEER_READS, str(log)], check=True, capture_output=True, text=True
                ).stdout.splitlines()[-1]
            )
            if peer
            else None
        )
        if read is None:
            print("Inspect's own reader was not measured: CAPSAFE_INSPECT_PYTHON names no interpreter.")
        name = f"{SAMPLES:,} Inspect samples into the store"
        results = [
            _result(name, seconds, "s", "samples_df", read and read["seconds"]),
            _result(
                f"{name}, peak memory of the larger process", memory, "MB", "samples_df", read and read["mb"]
            ),
        ]
        (root / "lines").mkdir()
        with (root / "lines" / "rows.jsonl").open("w") as stream:
            for i in range(LINES):
                row = {
                    "model": f"model-{i // 1000}",
                    "task": "bench",
                    "id": i % 1000,
                    "prompt": f"question {i % 1000} " * 8,
                    "response": f"answer {i} " * 20,
                }
                stream.write(
                    json.dumps({**row, **{f"judge_{k}": ((i * (k + 3)) % 10) / 10 for k in range(3)}}) + "\n"
                )
        seconds, memory = imported(root / "lines", root / "b", LINES, MAPPING)
        name = f"{LINES:,} JSON lines with three judgments each into the store"
        return [
            *results,
            _result(name, seconds, "s"),
            _result(f"{name}, peak memory of the larger process", memory, "MB"),
        ]


def _result(
    name: str, value: float, unit: str, peer: str | None = None, other: float | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "peer": peer if other else None,
        "peer_value": other and round(other, 2),
        "ratio": other and round(value / other, 2),
    }


def imported(source: Path, home: Path, outputs: int, mapping: str) -> tuple[float, float]:
    """Seconds and MB of an import that was looked at before."""
    jobs = home / "jobs"
    job = survey_job(jobs, [source], mapping, "bench")
    began = time.perf_counter()
    assert run_graph([job.manifest], jobs, lambda _: None)
    print(f"looking at {source.name}: {time.perf_counter() - began:.1f} s")
    survey = read_survey(open_job(job.folder))
    assert survey is not None
    job, _ = plan_import(jobs, survey, survey.accepted(True))
    began = time.perf_counter()
    _, _, used = os.wait4(start_worker(job).pid, 0)
    worker, parsed = time.perf_counter() - began, used.ru_maxrss / 1024
    done = subprocess.run(
        [sys.executable, "-c", OWNER, str(home / "store.duckdb"), str(jobs)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    generations, judgments, reading, memory, before = map(float, done.stdout.splitlines()[-1].split())
    assert generations == outputs, done.stdout
    print(
        f"importing {source.name}: worker {worker:.1f} s and {parsed:.0f} MB, owner {reading:.1f} s and "
        f"{memory:.0f} MB ({before:.0f} before); {judgments:.0f} judgments"
    )
    return worker + reading, max(memory, parsed)


if __name__ == "__main__":
    for result in imports():
        print(result)
