"""A run from the form to the last verdict, on the page."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.jobs import machine
from capsafe_core.records import Generation
from capsafe_core.settings import ROOT, Settings
from capsafe_core.workspace.owner import close_owner
from tests.jobs.runs import written
from tests.server import Seen


@pytest.fixture
def runs_page(workspace: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    monkeypatch.setenv("CAPSAFE_ENGINE_PYTHON", sys.executable)
    monkeypatch.setenv("CAPSAFE_HOME", str(workspace.home))
    try:
        page = AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=60)
        page.run()
        yield page.switch_page(str(ROOT / "pages" / "runs.py")).run()
    finally:
        close_owner()


def one(widgets: object, label: str):  # type: ignore[no-untyped-def]
    return next(w for w in widgets if w.label.startswith(label))  # type: ignore[attr-defined]


def wait_for(page: AppTest, text: str) -> None:
    deadline = time.time() + 60

    def shown() -> str:
        return " ".join(t.value for t in (*page.text, *page.markdown))

    while text not in shown() and time.time() < deadline:
        time.sleep(1)
        page.run()
    assert text in shown()


def test_a_run_is_measured_started_and_followed_on_the_page(
    runs_page: AppTest, workspace: Settings, server: Seen
) -> None:
    page = runs_page
    one(page.selectbox, "Engine").select("openai").run()
    one(page.text_input, "Address").set_value(server.base_url).run()
    one(page.number_input, "Samples").set_value(2).run()
    one(page.number_input, "Temperature").set_value(0.5).run()
    one(page.button, "Estimate time").click().run()
    wait_for(page, "24 prompts, 48 generations")
    one(page.button, "Start").click().run()
    assert not page.exception
    assert "is queued" in page.success[0].value
    wait_for(page, "6 done")
    generations = written(workspace.jobs_path, Generation)
    assert len(generations) == 48
    wait_for(page, "all 2 pairs of a checkpoint and a judge are complete")
    page.query_params["open"] = "judge"
    page.run()
    page.selectbox(key="further-judge").select("prefix-autodan").run()
    assert any("Incoherent text" in t.value for t in page.text)
    one(page.button, "Judge").click().run()
    wait_for(page, "8 done")
    wait_for(page, "all 3 pairs")


def test_the_page_says_what_is_wrong_with_a_run(runs_page: AppTest, server: Seen) -> None:
    page = runs_page
    page.multiselect[1].set_value([]).run()
    one(page.selectbox, "Engine").select("openai").run()
    one(page.text_input, "Address").set_value(server.base_url).run()
    assert not page.exception
    assert any("No judge is chosen" in w.value for w in page.warning)
    assert one(page.button, "Start").disabled
    page.multiselect[1].set_value(["prefix-zou"]).run()
    one(page.selectbox, "Capability").select("").run()
    page.multiselect[0].set_value([]).run()
    assert any("No benchmark is chosen" in w.value for w in page.warning)


def test_a_training_has_options_and_what_the_machine_lacks_is_said_before_it_starts(
    runs_page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = runs_page
    monkeypatch.setattr(machine, "_DRIVER", Path("/nowhere"))
    next(g for g in page.button_group if g.label == "Fine-tuning").set_value("here").run()
    one(page.text_input, "Training data").set_value("reasoning_gym:chain_sum").run()
    assert 'method = "lora"' in page.code[0].value
    assert "rank = 16" in page.code[0].value
    one(page.selectbox, "Engine").select("vllm").run()
    assert one(page.selectbox, "Train on").value == "cuda", "where vLLM runs"
    one(page.selectbox, "Engine").select("transformers").run()
    assert one(page.selectbox, "Train on").value == "cpu"
    one(page.selectbox, "Method").select("full").run()
    assert "learning_rate = 2e-05" in page.code[0].value
    one(page.selectbox, "Method").select("qlora").run()
    assert any("QLoRA needs a GPU" in w.value for w in page.warning)
    one(page.selectbox, "Train on").select("cuda").run()
    assert not page.exception
    assert any("none is visible here" in w.value for w in page.warning)
