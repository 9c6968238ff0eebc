"""For a training script of one's own: each checkpoint is answered and judged when it is saved.

    trainer.add_callback(CapsafeCallback("study.toml", stop_at_goal=True))

The study's recipe names where the script saves, as `checkpoints`. Everything is asked of the `capsafe`
command, so capsafe may live in another environment than the script.
"""

from __future__ import annotations

import json
import logging
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

LOG = logging.getLogger(__name__)


class CapsafeCallback(TrainerCallback):  # type: ignore[misc]
    """Runs a study at every checkpoint that is saved, and waits for it: both need the machine's memory.

    A study that cannot be run is a warning; the training goes on.

    Args:
        study: the study file.
        stop_at_goal: whether to end the training at the first checkpoint that reaches the capability goal.
        recipe: which one of the study this training is; its only one with `checkpoints` where left out.
        command: how `capsafe` is called here.

    Raises:
        ValueError: the study has no such recipe, or no goal to stop at.
    """

    def __init__(
        self,
        study: str | Path,
        stop_at_goal: bool = False,
        recipe: str = "",
        command: Sequence[str] = ("capsafe",),
    ) -> None:
        self._study, self._command = Path(study).absolute(), tuple(command)
        declared = tomllib.loads(self._study.read_text(encoding="utf-8"))
        own = [one for one in declared.get("recipes", []) if one.get("checkpoints")]
        mine = [one for one in own if recipe in ("", one["name"])]
        if len(mine) != 1:
            raise ValueError(f"{study} has {len(mine)} recipes with checkpoints that this training could be")
        self._name, self._recipe = declared["name"], mine[0]["name"]
        self._goal = declared.get("goals", {}).get(mine[0]["dataset"]) if stop_at_goal else None
        if stop_at_goal and self._goal is None:
            raise ValueError(f"{study} has no goal on {mine[0]['dataset']}")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Run the study; end the training where the checkpoint that was just saved reaches the goal."""
        if not state.is_world_process_zero:
            return control
        if self._asked("run", str(self._study)) is not None and self._goal is not None:
            capability = self._capability(args.seed, state.global_step)
            LOG.info("capsafe: capability %s at step %d, goal %s", capability, state.global_step, self._goal)
            if capability is not None and capability >= self._goal:
                control.should_training_stop = True
        return control

    def _capability(self, seed: int, step: int) -> float | None:
        """What the checkpoint of a step came to; of this seed where the study tells seeds apart."""
        table = json.loads(self._asked("paths", "--study", self._name, "--json") or "[]")
        rows = [row for row in table if row["recipe"] == self._recipe and row["step"] == step]
        own = [row for row in rows if row["seed"] == seed] or rows
        found = own[0]["capability"] if len(own) == 1 else None
        if found is None:
            LOG.warning("capsafe: step %d is not on a path of %s, or not measured", step, self._recipe)
        return None if found is None else float(found)

    def _asked(self, *words: str) -> str | None:
        """What the command printed; None, and a warning, where it failed."""
        try:
            done = subprocess.run([*self._command, *words], capture_output=True, text=True, check=False)
        except OSError as error:
            LOG.warning("capsafe cannot be started: %s", error)
            return None
        if done.returncode:
            LOG.warning("capsafe %s: %s", " ".join(words), (done.stderr or done.stdout).strip())
            return None
        return done.stdout
