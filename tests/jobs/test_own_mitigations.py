"""Mitigations after training, of checkpoints that somebody else trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import list_jobs
from capsafe_core.jobs.folder.work import Adapter, CheckpointSource, GenerateWork, MitigateWork
from capsafe_core.jobs.permission import uses_of
from capsafe_core.jobs.plan import plan_study
from capsafe_core.settings import Settings
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.study import parse_study
from tests.commands import command
from tests.jobs.trained import STUDY, TRAIN, checkpoint, in_engine

MITIGATED = """
[[recipes]]
name = "sft-half"
of = "sft"
start = "base"
dataset = "notes"
mitigation = "scale"
strengths = [0.5]
[[recipes]]
name = "sft-safelora"
of = "sft"
start = "base"
dataset = "notes"
mitigation = "safelora"
strengths = [0.3, 0.8]
[[benchmarks]]
"""


def mitigating(folder: Path, more: str = "steps = [2, 4]", base: str = "/models/base") -> str:
    """A study that mitigates what somebody else trained."""
    text = STUDY.format(model="/models/chat", pattern=folder / "sft-s{seed}" / "checkpoint-{step}", more=more)
    text = text.replace('model = "/models/chat"', f'model = "/models/chat"\nbase = "{base}"')
    return text.replace("[[benchmarks]]\n", MITIGATED, 1)


def test_mitigations_are_made_of_adapters_that_somebody_else_trained(tmp_path: Path) -> None:
    for seed in (0, 1):
        for step in (2, 4):
            checkpoint(tmp_path / f"sft-s{seed}" / f"checkpoint-{step}", adapter=True)
    jobs = {job.job_id: job for job in plan_study(parse_study(mitigating(tmp_path)))}
    made = {
        job.name.rpartition("-s")[0] + job.name[-1]: job for job in jobs.values() if job.kind == "mitigate"
    }
    expected = {f"own-sft-{method}{seed}" for method in ("half", "safelora") for seed in (0, 1)}
    assert set(made) == expected
    work = made["own-sft-safelora1"].asks(MitigateWork)
    assert work.tuned == Adapter(path=str(tmp_path / "sft-s1" / "checkpoint-4"))
    assert work.base == CheckpointSource("/models/base", ())
    asked = [
        adapter
        for job in jobs.values()
        if job.kind == "generate"
        for source in job.asks(GenerateWork).all_checkpoints
        for adapter in source.adapters
        if adapter.job
    ]
    assert {adapter.job for adapter in asked} == {job.job_id for job in made.values()}
    assert sorted({adapter.step for adapter in asked}) == [200, 500, 700]


def test_what_a_mitigation_of_foreign_checkpoints_lacks_is_a_sentence(tmp_path: Path) -> None:
    checkpoint(tmp_path / "sft-s0" / "checkpoint-2", adapter=True)
    with pytest.raises(CapsafeError, match="names its steps"):
        parse_study(mitigating(tmp_path, ""))
    with pytest.raises(CapsafeError, match="name the model before alignment as `base`"):
        parse_study(mitigating(tmp_path).replace('base = "/models/base"', ""))
    with pytest.raises(CapsafeError, match="needs a start that an adapter aligned; with a `base` alone"):
        parse_study(mitigating(tmp_path).replace('"safelora"', '"ties"'))
    awaited = plan_study(parse_study(mitigating(tmp_path)))
    assert not [job for job in awaited if job.kind == "mitigate"], "its last step has not come"
    checkpoint(tmp_path / "sft-s0" / "checkpoint-4")
    with pytest.raises(CapsafeError, match="holds whole weights, and mitigations after training work on"):
        plan_study(parse_study(mitigating(tmp_path)))


# An adapter over the tiny start, and the model that the start was before it was aligned.
TRAINED = """
import sys, torch
from pathlib import Path
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

root = Path(sys.argv[1])
torch.manual_seed(3)
model = AutoModelForCausalLM.from_pretrained(root / "base")
config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
get_peft_model(model, config).save_pretrained(root / "sft-s0" / "checkpoint-4")
before = AutoModelForCausalLM.from_pretrained(root / "base")
for weights in before.parameters():
    weights.data += 0.1 * torch.randn_like(weights)
before.save_pretrained(root / "before")
"""


@pytest.mark.engine
def test_someone_elses_adapter_is_mitigated_and_answers(engine_python: Path, tmp_path: Path) -> None:
    root, home, study = tmp_path / "runs", tmp_path / "home", tmp_path / "study.toml"
    in_engine(engine_python, TRAIN, str(root), "start")
    in_engine(engine_python, TRAINED, str(root))
    text = mitigating(root, "steps = [4]", str(root / "before"))
    study.write_text(text.replace("/models/chat", str(root / "base")))
    done = command(home, "run", str(study))
    assert done.returncode == 0, done.stderr
    with Store(None) as store:
        ingest_all(store, Settings(home=home).jobs_path)
        answered = store.rows(
            "SELECT p.recipe, p.step, count(DISTINCT g.prompt_id), any_value(p.checkpoint_id) "
            "FROM path_points AS p JOIN cells AS c USING (checkpoint_id) "
            "JOIN live_generations AS g USING (cell_id) GROUP BY ALL ORDER BY ALL"
        )
    assert [row[:3] for row in answered] == [
        *(("sft", step, 3) for step in (0, 4)),
        *(("sft-half", step, 3) for step in (0, 500, 1000)),
        *(("sft-safelora", step, 3) for step in (0, 200, 700, 1000)),
    ]
    names = {(recipe, step): checkpoint for recipe, step, _, checkpoint in answered}
    assert names["sft", 4] == names["sft-half", 1000] == names["sft-safelora", 1000]
    assert names["sft", 0] == names["sft-half", 0]
    assert len(set(names.values())) == 5
    jobs = [job.manifest for job in list_jobs(Settings(home=home).jobs_path)]
    assert str(root / "before") in uses_of(jobs).models
