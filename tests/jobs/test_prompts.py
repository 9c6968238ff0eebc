"""Other system prompts: every checkpoint answers with each of them too."""

from __future__ import annotations

import pytest

from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder.work import GenerateWork, JudgeWork
from capsafe_core.jobs.plan import plan_study
from capsafe_core.study import parse_study
from tests.synthetic import STUDY

SAFE = "Decline to help with harm."


def with_prompts(*prompts: str) -> str:
    shown = ", ".join(f'"{prompt}"' for prompt in prompts)
    table = "[sampling]\n"
    text = STUDY if table in STUDY else f"{STUDY}\n{table}"
    return text.replace(table, f"{table}other_system_prompts = [{shown}]\n", 1)


def test_every_checkpoint_answers_with_each_and_all_is_judged() -> None:
    plain = [m for m in plan_study(parse_study(STUDY)) if m.kind == "generate"]
    jobs = plan_study(parse_study(with_prompts(SAFE, "Be brief.")))
    asked = [m for m in jobs if m.kind == "generate"]
    assert {m.job_id for m in plain} < {m.job_id for m in asked}, "theirs is the same work"
    by_prompt = {
        prompt: [m for m in asked if m.asks(GenerateWork).sampling.system_prompt == prompt]
        for prompt in ("", SAFE, "Be brief.")
    }
    for found in by_prompt.values():
        assert [m.asks(GenerateWork).checkpoint for m in found] == [
            m.asks(GenerateWork).checkpoint for m in plain
        ]
    ids = {m.job_id for m in asked}
    assert len(ids) == 3 * len(plain)
    assert all(set(m.asks(JudgeWork).generations) == ids for m in jobs if m.kind == "judge")
    trained = [m.job_id for m in jobs if m.kind == "finetune"]
    assert trained == [m.job_id for m in plan_study(parse_study(STUDY)) if m.kind == "finetune"]


@pytest.mark.parametrize("prompts", [("",), (SAFE, SAFE)])
def test_the_same_prompt_twice_is_a_sentence(prompts: tuple[str, ...]) -> None:
    with pytest.raises(CapsafeError, match="the same system prompt stands there twice"):
        parse_study(with_prompts(*prompts))
