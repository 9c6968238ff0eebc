"""Chat templates of foreign models end, and only a process of their own renders them."""

from __future__ import annotations

import ast
import json
import os
import subprocess

import pytest

from capsafe_core.settings import ROOT, Settings


@pytest.mark.engine
def test_a_template_without_end_is_a_sentence() -> None:
    python = Settings().worker_python
    if python.parent.parent.name != ".venv-engine":
        pytest.skip("the engine's environment is not installed: make engine")
    done = subprocess.run(
        [str(python), "-m", "tests.rendered"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout) if done.stdout else pytest.fail(done.stderr)
    assert found.pop("honest") == "<s>user: hello\nassistant:"
    assert "takes longer than 10 seconds" in found.pop("nested loops")
    assert (
        "takes longer than 10 seconds" in (said := found.pop("a number without end"))
        or "more than 512 MB" in said
    )
    for name, said in found.items():
        assert said.startswith("The model's chat template does not take these messages:"), (name, said)


def test_no_other_module_renders_a_models_template() -> None:
    for path in (ROOT / "capsafe_core").rglob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        names = {func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls}
        assert not names & {"apply_chat_template", "render_jinja_template"} or path.name == "rendering.py", (
            path
        )
