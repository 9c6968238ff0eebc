"""The generate job: one checkpoint answers benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from capsafe_core.benchmarks import Benchmark, load_benchmark
from capsafe_core.engines import Completion, Engine, Request, Sampling, Weights, batch_plan, models_folder, open_engine, resolve_weights
from capsafe_core.jobs.folder import Part, open_job
from capsafe_core.records import Condition, Generation, PathPoint


def checkpoint_weights(checkpoint: dict[str, Any], job_folder: Path) -> Weights:
    """The weights a manifest names: {"model": ..., "adapters": [{"job": ..., "step": ...} or {"path": ...}]}.

    Raises:
        CapsafeError: the model or an adapter is not there.
    """
    adapters = tuple(Path(a["path"]) if "path" in a else job_folder.parent / a["job"] / "checkpoints" / f"step-{a['step']:06d}" for a in checkpoint["adapters"])
    return resolve_weights(checkpoint["model"], models_folder(job_folder), adapters)


def work(part: Part) -> None:
    """Generate every answer that is not there yet."""
    wanted = part.job.manifest.work
    benchmarks = [load_benchmark(b) for b in wanted["benchmarks"]]
    if _never_trained(wanted["checkpoint"], part.job.folder):
        return
    weights = checkpoint_weights(wanted["checkpoint"], part.job.folder)
    checkpoint = weights.checkpoint
    samples = wanted["sampling"]["samples"]
    mine = part.index, part.job.manifest.parts
    facts = 1 + ("path" in wanted) + sum(1 + len(b.prompts) for b in benchmarks)
    part.total = len(benchmarks) + facts + sum(len(_requests(b, samples)[mine[0] :: mine[1]]) for b in benchmarks)
    if "facts" not in part.done_units:
        point = [PathPoint(**wanted["path"], checkpoint_id=checkpoint.id)] if "path" in wanted else []
        part.write("facts", [checkpoint, *point, *(b.record for b in benchmarks), *(p for b in benchmarks for p in b.prompts)])
    engine = open_engine(wanted["engine"], weights)
    for benchmark, settings in zip(benchmarks, wanted["benchmarks"], strict=True):
        sampling = Sampling(**{k: wanted["sampling"][k] for k in ("temperature", "top_p", "seed")}, max_tokens=settings.get("max_tokens") or wanted["sampling"]["max_tokens"])
        condition = _condition(engine, sampling, wanted["sampling"]["system_prompt"])
        if f"{benchmark.record.name}/condition" not in part.done_units:
            part.write(f"{benchmark.record.name}/condition", [condition])
        requests = _requests(benchmark, samples, condition.system_prompt)[mine[0] :: mine[1]]
        prompts = {p.item: p for p in benchmark.prompts}
        for name, batch in batch_plan(engine, requests):
            if part.should_stop:
                return
            unit = f"{benchmark.record.name}/{name}"
            if unit in part.done_units:
                continue
            answers = engine.generate(batch, sampling)
            cell = (checkpoint.id, benchmark.record.id, condition.id)
            part.write(unit, [_generation(a, cell, prompts[a.key.rsplit("#", 1)[0]].id, sampling.seed) for a in answers], sum(a.tokens for a in answers))


def _never_trained(checkpoint: dict[str, Any], job_folder: Path) -> bool:
    """Whether a checkpoint is one that its fine-tuning, done since it reached the goal, has not got."""
    for adapter in checkpoint["adapters"]:
        if "job" in adapter:
            folder = job_folder.parent / adapter["job"]
            if not (folder / "checkpoints" / f"step-{adapter['step']:06d}").exists() and open_job(folder).state == "done" and open_job(folder).manifest.work["stop_at"] is not None:
                return True
    return False


def _requests(benchmark: Benchmark, samples: int, system_prompt: str = "") -> list[Request]:
    system = ({"role": "system", "content": system_prompt},) if system_prompt else ()
    return [Request(f"{p.item}#{s}", (*system, *p.messages)) for p in benchmark.prompts for s in range(samples)]


def _condition(engine: Engine, sampling: Sampling, system_prompt: str) -> Condition:
    return Condition(system_prompt, engine.template_digest, 0, sampling.temperature, sampling.top_p, sampling.max_tokens, engine.name, engine.version, engine.dtype)


def _generation(answer: Completion, cell: tuple[str, str, str], prompt_id: str, seed: int) -> Generation:
    checkpoint_id, benchmark_id, condition_id = cell
    sample = int(answer.key.rsplit("#", 1)[1])
    return Generation(checkpoint_id, benchmark_id, condition_id, prompt_id, sample, seed, answer.text, answer.finish_reason, answer.tokens)
