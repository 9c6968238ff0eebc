"""The studies that come along to be run elsewhere: they can be planned, and name only what exists."""

from __future__ import annotations

from collections import Counter

from capsafe_core import catalogue
from capsafe_core.jobs.folder.work import GenerateWork, MitigateWork
from capsafe_core.jobs.permission import uses_of
from capsafe_core.jobs.plan import plan_study
from capsafe_core.places import ROOT
from capsafe_core.study import load_study

PAPER = ROOT / "data" / "studies" / "paper.toml"
SMALL = ROOT / "data" / "studies" / "paper-small.toml"


def test_the_papers_shape_is_a_plan_of_known_parts() -> None:
    study, text = load_study(PAPER)
    jobs = plan_study(study)
    kinds = Counter(job.kind for job in jobs)
    runs = len(study.starts) * len(study.datasets) * 5
    assert (len(study.starts), len(study.datasets)) == (4, 5)
    assert kinds["finetune"] == runs
    assert kinds["mitigate"] == 2 * runs
    assert kinds["judge"] == len(study.judges) == 7
    assert {judge.name for judge in study.judges} <= set(catalogue.judges())
    bases = {job.asks(MitigateWork).base.model for job in jobs if job.kind == "mitigate"}
    assert bases == {start.base for start in study.starts}
    steps = {
        adapter.step
        for job in jobs
        if job.kind == "generate"
        for source in job.asks(GenerateWork).all_checkpoints
        for adapter in source.adapters
    }
    assert steps == {25, 50, 100, 200, 400, 250, 500, 750}
    capability = {b.name for b in study.benchmarks if b.is_capability}
    assert capability == {d.benchmark for d in study.datasets if d.benchmark}
    assert set(study.goals) == {d.name for d in study.datasets if d.benchmark}
    shown = " ".join(uses_of(jobs).sentences)
    assert "google/boolq (a data set of the hub)" in shown
    assert "meta-llama/Llama-3.1-8B" in shown
    assert "is not the paper's code" in " ".join(text.split())


def test_the_small_one_has_the_papers_shape_and_asks_every_checkpoint_everything() -> None:
    study, text = load_study(SMALL)
    jobs = plan_study(study)
    kinds = Counter(job.kind for job in jobs)
    trained = len(study.starts) * len(study.datasets[1:])
    family = [r for r in study.recipes if r.mitigated == "aligned-sums"]
    assert (len(study.starts), len(study.datasets[1:]), len(study.judges)) == (2, 5, 6)
    assert len({r.mitigation for r in family}) == 6
    assert {r.mitigation for r in study.recipes if r.of} == {"safelora", "scale", "resta"}
    assert sum(r.is_trained and not r.mitigates for r in study.recipes) == trained + 1
    assert kinds["mitigate"] == 4 + 2 * 3
    asked = [job.asks(GenerateWork) for job in jobs if job.kind == "generate"]
    assert {tuple(b["name"] for b in work.benchmarks) for work in asked} == {
        tuple(b.name for b in study.benchmarks)
    }
    assert "another family cannot be had" in " ".join(text.replace("#", " ").split())


def test_a_study_without_a_profile_asks_what_its_data_sets_teach() -> None:
    study, _ = load_study(SMALL)
    jobs = plan_study(study.model_copy(update={"profile": False}))
    asked = {
        job.asks(GenerateWork).checkpoint: {b["name"] for b in job.asks(GenerateWork).benchmarks}
        for job in jobs
        if job.kind == "generate"
    }
    capability = {b.name for b in study.benchmarks if b.is_capability}
    assert {len(names & capability) for names in asked.values()} == {1, 4}
