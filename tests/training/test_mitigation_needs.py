"""What a mitigation lacks is said before anything starts."""

from __future__ import annotations

import json

import pytest

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder.work import FinetuneWork
from capsafe_core.jobs.plan import plan_study
from capsafe_core.places import ROOT
from capsafe_core.study import parse_study
from tests.synthetic import STUDY

LISA_HERE = 'mitigates = "gentle"\nmitigation = "lisa"\nsafety = "refusals"'
AFTER = """
[[recipes]]
name = "after"
start = "aligned"
dataset = "sums"
of = "sums"
mitigation = "safelora"
strengths = [0.5]
"""
RECIPE = """
[[datasets]]
name = "refusals"
source = "project:refusals"
[[recipes]]
name = "kept"
start = "aligned"
dataset = "sums"
learning_rate = 1e-4
steps = [10]
"""


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, ""),
        ({"safelora": "scale", 'recipe = "alignment"': 'model = "smollm2-135m-instruct"'}, ""),
        ({'recipe = "alignment"': 'model = "smollm2-135m-instruct"'}, "needs to know what alignment changed"),
        (
            {"learning_rate = 1e-3": 'method = "dora"\nlearning_rate = 1e-3'},
            "the methods lora, rslora, qlora",
        ),
        ({"learning_rate = 5e-4": 'method = "full"\nlearning_rate = 5e-4'}, "that an adapter aligned"),
    ],
)
def test_what_a_mitigation_after_training_lacks_is_said_too(changes: dict[str, str], problem: str) -> None:
    text = (ROOT / "data" / "demo" / "study.toml").read_text(encoding="utf-8") + AFTER
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new, 1)
    if not problem:
        assert "after" in {r.name for r in parse_study(text).recipes}
        return
    with pytest.raises(CapsafeError) as error:
        parse_study(text)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ('mitigates = "gentle"\nmitigation = "kl"\nsafety = "refusals"\noptions = { weight = 0.5 }', ""),
        ('mitigates = "gentle"\nmitigation = "constrained"', ""),
        ('mitigates = "gentle"\nmitigation = "kl"', "kl names its `safety` data set"),
        ('mitigates = "gentle"\nmitigation = "constrained"\nsafety = "refusals"', "needs no safety data"),
        ('mitigates = "gentle"\nmitigation = "kl"\nsafety = "nobody"', "'nobody' is not among the datasets"),
        ('mitigation = "constrained"', "says which recipe it `mitigates`"),
        ('mitigates = "gentle"\nmitigation = "safelora"', "no mitigation 'safelora' while training"),
        ('mitigates = "gentle"\nmitigation = "constrained"\nmethod = "full"', "use lora, dora or rslora"),
        ('mitigates = "gentle"\nmitigation = "ewc"\nsafety = "refusals"\nmethod = "full"', ""),
        ('mitigates = "gentle"\nmitigation = "sdft"\noptions = { max_tokens = 64 }', ""),
        ('mitigates = "gentle"\nmitigation = "sdft"\noptions = { max_tokens = 0 }', "is a whole number"),
        ('mitigates = "gentle"\nmitigation = "sdft"\nsafety = "refusals"', "sdft needs no safety data"),
        ('mitigates = "gentle"\nmitigation = "ewc"', "ewc names its `safety` data set"),
        (
            'mitigates = "gentle"\nmitigation = "ewc"\nsafety = "refusals"\nmethod = "dora"',
            "use lora, rslora",
        ),
        (
            'mitigates = "gentle"\nmitigation = "ewc"\nsafety = "refusals"\noptions = { examples = 0.5 }',
            "examples of ewc is a whole number",
        ),
        (
            'mitigates = "gentle"\nmitigation = "lisa"\nsafety = "refusals"\npacking = true',
            "leave packing out",
        ),
        (
            'mitigates = "gentle"\nmitigation = "lisa"\nsafety = "refusals"\noptions = { r = 1 }',
            "has no option",
        ),
        (
            'mitigates = "gentle"\nmitigation = "mixing"\nsafety = "refusals"\noptions = { share = 1.0 }',
            "below 1",
        ),
        ('mitigates = "gentle"\noptions = { share = 0.1 }', "options or safety data of no mitigation"),
    ],
)
def test_what_a_mitigation_lacks_is_said_before_anything_starts(more: str, problem: str) -> None:
    text = STUDY + RECIPE + f"{more}\n"
    if problem:
        with pytest.raises(CapsafeError) as error:
            parse_study(text)
        assert problem in str(error.value)
        return
    (job,) = [m for m in plan_study(parse_study(text)) if m.kind == "finetune" and "kept" in m.name]
    work = job.asks(FinetuneWork)
    assert work.recipe.mitigation in json.dumps(job.work)
    before = {m.job_id for m in plan_study(parse_study(STUDY)) if m.kind == "finetune"}
    assert before <= {m.job_id for m in plan_study(parse_study(text))}  # theirs is the same work
