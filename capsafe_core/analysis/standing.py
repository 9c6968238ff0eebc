"""Where a run stands to its capability goal, and how screens say why it is not compared there."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Standing(StrEnum):
    """Where a run stands to its goal; only a run that reaches it is compared there."""

    REACHED = "reached"
    NOT_REACHED = "not reached"
    AT_START = "start at or above the goal"
    PLATEAU = "plateau"
    SHORT = "stopped short of the goal"
    BEYOND = "stopped beyond the goal"

    @property
    def may_reach(self) -> bool:
        """Whether some resamples may be at the goal."""
        return self in (Standing.REACHED, Standing.NOT_REACHED)

    @property
    def brief(self) -> str:
        """Why a run is not compared, in few words."""
        return "goal not reached" if self is Standing.NOT_REACHED else f"no match: {self}"

    def place(self, row: Mapping[str, Any]) -> str:
        """Where on its path a run is at its goal, as a cell of a table.

        Args:
            row: of `matched_table`.
        """
        return _PLACE[self].format(**row)

    def because(self, name: str, row: Mapping[str, Any]) -> str:
        """Why a run is not compared: a clause that can end a sentence or begin one.

        Args:
            name: of the run or its recipe.
            row: of `matched_table`, or `Run.facts`.
        """
        return _BECAUSE[self].format(name=name, within=100 * (row["tolerance"] or 0), **row)

    def advice(self, name: str, row: Mapping[str, Any]) -> str:
        """Why a run is not compared, and what can be done about it, in sentences."""
        return f"{self.because(name, row)}{_ADVICE.get(self, '')}."


_PLACE = {
    Standing.REACHED: "{step:.0f}",
    Standing.NOT_REACHED: "not reached (best {best:.0%})",
    Standing.AT_START: "no match: begins at {start_capability:.0%}",
    Standing.PLATEAU: "no match: plateau",
    Standing.SHORT: "no match: stopped at {last:.0%}",
    Standing.BEYOND: "no match: stopped at {last:.0%}",
}
_BECAUSE = {
    Standing.NOT_REACHED: "{name} reaches {best:.0%} at best, below its goal of {goal:.0%}",
    Standing.AT_START: "{name} begins at {start_capability:.0%}, at or above its goal of {goal:.0%}",
    Standing.PLATEAU: "{name} does not change measurably in capability",
    Standing.SHORT: "{name} stopped at {last:.0%}, which is not shown to be within {within:g} pts of its "
    "goal of {goal:.0%}",
    Standing.BEYOND: "{name} stopped at {last:.0%}, more than {within:g} pts above its goal of {goal:.0%}",
}
_ADVICE = {
    Standing.PLATEAU: ", so its checkpoints are not matched",
    Standing.AT_START: ", so there is nothing to compare at this goal; choose a higher one",
    Standing.SHORT: "; ask more capability items, declare a wider tolerance, or compare at a crossing",
    Standing.BEYOND: "; save checkpoints more often, declare a wider tolerance, or compare at a crossing",
}
