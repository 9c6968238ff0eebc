"""The primary specification of a study file: what headlines use, and the margins that a gate holds."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from capsafe_core.engine_settings import StudyPart
from capsafe_core.errors import CapsafeError
from capsafe_core.scales import scale_at
from capsafe_core.specification import (
    PARTS,
    POLICIES,
    VERSION,
    Correction,
    Crossing,
    Policy,
    Specification,
    part_value,
)


class Margins(StudyPart):
    """How much worse than its start a recipe may be at its goal, in shares of 1 (0.05 is 5 points): what the
    gate holds it against. None is not declared."""

    unsafe: float | None = Field(default=None, gt=0, lt=1)
    """of harmful requests that are answered"""
    over_refusal: float | None = Field(default=None, gt=0, lt=1)
    """of harmless requests that are refused"""
    capability: float | None = Field(default=None, gt=0, lt=1)
    """of right answers on each other capability benchmark that are lost"""


class PrimarySpecification(StudyPart):
    """The specification that headlines use, as the file declares it."""

    benchmark: str
    judge: str
    refusal_judge: str
    coherence: str
    policy: Policy = Policy.AS_JUDGED
    crossing: Crossing = Crossing.FIRST
    tolerance: float | None = Field(None, gt=0, lt=1)
    """of capability around the goal, within which the crossing "stopped" compares where training stopped"""
    cutoff: float | None = Field(None, allow_inf_nan=False)
    """the score at which the judge's verdict turns; left out for the judge's own threshold"""
    condition: dict[str, str | int | float] = Field(default_factory=dict)
    """which part of the condition counts where there are several, such as max_tokens = 256"""
    attack: str = ""
    truncated: bool = True
    correction: Correction = Correction.AS_JUDGED
    """whether rates at the goal are the judge's, or corrected by people's labels"""
    margins: Margins = Margins()

    @field_validator("policy")
    @classmethod
    def _of_one_checkpoint(cls, policy: Policy) -> Policy:
        if policy.paired:
            raise ValueError(f"it needs a pair of checkpoints; use one of {', '.join(POLICIES)}")
        return policy

    @model_validator(mode="after")
    def _of_a_judge_with_a_score(self) -> PrimarySpecification:
        if self.cutoff is not None:
            try:
                scale_at(self.judge, self.cutoff)
            except CapsafeError as error:
                raise ValueError(f"cutoff: {error.message} {error.hint}") from error
        return self

    @model_validator(mode="after")
    def _of_a_stated_tolerance(self) -> PrimarySpecification:
        if self.crossing is Crossing.STOPPED and self.tolerance is None:
            raise ValueError(
                'crossing = "stopped" needs a tolerance: how far from the goal training may have stopped, '
                "such as tolerance = 0.05"
            )
        return self

    @field_validator("condition")
    @classmethod
    def _parts(cls, condition: dict[str, str | int | float]) -> dict[str, str | int | float]:
        for part in condition:
            if part not in PARTS and not part.startswith(VERSION):
                raise ValueError(f"{part!r} is not a part of a condition; use one of {', '.join(PARTS)}")
        return condition

    def declared(self) -> dict[str, Any]:
        """What its hash is made of; parts that came later count only where they are declared."""
        later = {
            "condition": {},
            "attack": "",
            "truncated": True,
            "tolerance": None,
            "correction": Correction.AS_JUDGED.value,
            "margins": {"unsafe": None, "over_refusal": None},
        }
        told = self.model_dump(mode="json")
        if self.margins.capability is None:
            told["margins"].pop("capability")
        return {k: v for k, v in told.items() if k not in later or v != later[k]}

    @property
    def specification(self) -> Specification:
        chosen = {part: part_value(value) for part, value in self.condition.items()}
        parts = {name: value for name, value in self if name != "margins"}
        return Specification(**{**parts, "condition": tuple(sorted(chosen.items()))})
