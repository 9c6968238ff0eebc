"""A process that renders chat templates: a model brings its template, and a template is a program.

    python -m capsafe_core.engines.rendering

One task a line on stdin, one answer a line on stdout. It runs in transformers' sandbox, without the keys of
the worker's
environment, within bounds of memory, and the kernel ends it where a template takes too long, whatever it is
at.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.places import IMPORTS, ROOT

SECONDS = 10.0
"""for one text"""
MEMORY = 512 << 20
"""bytes beyond what the process has when it begins"""
LARGEST = 8 << 20
"""characters of a text"""
KEPT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "TMPDIR")
"""variables of the environment that it sees"""


class Renderer:
    """Renders one template; the process is started with the first text and again where one ended it."""

    def __init__(self, template: str, special: str) -> None:
        self._head = {"template": template, "special": json.loads(special)}
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def render(self, messages: list[Any], more: dict[str, Any]) -> str:
        """The text of a conversation.

        Raises:
            CapsafeError: the template takes too long, writes too much, or does not take these messages.
        """
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps({**self._head, "messages": messages, "more": more}) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except BrokenPipeError:
                line = ""
            if not line.endswith("\n"):
                raise self._ended(process)
        answer = json.loads(line)
        if "problem" in answer:
            raise CapsafeError(
                f"The model's chat template does not take these messages: {answer['problem']}.",
                "Check the model; many judges need their own weights, whose template knows their form.",
            )
        return str(answer["text"])

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            environment = {name: os.environ[name] for name in KEPT if name in os.environ}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "capsafe_core.engines.rendering"],
                cwd=ROOT,
                env={**environment, "PYTHONPATH": str(IMPORTS), "HF_HUB_OFFLINE": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
        return self._process

    def _ended(self, process: subprocess.Popen[str]) -> CapsafeError:
        code = process.wait()
        self._process = None
        if code == -signal.SIGALRM:
            return CapsafeError(
                f"The model's chat template takes longer than {SECONDS:g} seconds for one text.",
                "Do not trust this model; no honest template does.",
            )
        return CapsafeError(
            f"What renders the model's chat template ended ({code}).",
            "The log has the details; check that transformers is whole.",
        )


@cache
def renderer(template: str, special: str) -> Renderer:
    """The renderer of a template with the model's special tokens (as JSON)."""
    return Renderer(template, special)


def _answer(task: dict[str, Any]) -> dict[str, str]:
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        found: Any = render_jinja_template(
            conversations=[task["messages"]],
            chat_template=task["template"],
            add_generation_prompt=True,
            **{**task["special"], **task["more"]},
        )
        text = found[0][0]
    except MemoryError:
        return {"problem": f"it needs more than {MEMORY >> 20} MB"}
    except Exception as error:  # whatever a template raises
        return {"problem": f"{type(error).__name__}: {str(error)[:500]}"}
    return {"text": text} if len(text) <= LARGEST else {"problem": f"it writes {len(text):,} characters"}


def main() -> None:
    """Answer tasks until stdin ends."""
    import transformers.utils.chat_template_utils  # noqa: F401  (before memory is bounded)

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        answer = json.dumps(_answer(json.loads(line)))
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
