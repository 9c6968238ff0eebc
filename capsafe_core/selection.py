"""The filter that a screen, its URL, its SQL and its caption share."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

_MANY = ("benchmarks", "judges", "recipes", "checkpoints", "outcomes", "categories", "strata")


@dataclass(frozen=True)
class Selection:
    """What is being looked at. Empty means "no restriction".

    Attributes:
        study: name of the study.
        benchmarks, judges, recipes, categories: names.
        checkpoints, generation: ids.
        outcomes: incoherent, unsafe, refusal, safe.
        pattern: votes, "judge=unsafe,judge=safe"; "judge=" has no verdict, "judge=~other" the opposite of another judge's.
        search: text that the answer must contain.
        policy: how incoherent outputs count.
        crossing: which crossing of the goal counts.
        goal: data set -> capability goal where the user moved it from the study's.
        truncated: whether outputs cut off by the token limit are kept.
        claim: what the Conclusions page tests, "recipe:sums|start:aligned".
        before: "checkpoint:outcome", only prompts that this checkpoint answered so.
        strata: kinds of output (incoherent, refusal, truncated, other coherent).
    """

    study: str = ""
    benchmarks: tuple[str, ...] = ()
    judges: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    pattern: str = ""
    search: str = ""
    generation: str = ""
    prompt: str = ""
    policy: str = ""
    crossing: str = ""
    goals: tuple[tuple[str, float], ...] = ()
    truncated: bool = True
    claim: str = ""
    before: str = ""
    strata: tuple[str, ...] = ()

    def but(self, **changes: Any) -> Selection:
        """This selection with some parts changed."""
        return dataclasses.replace(self, **changes)

    def to_query(self) -> dict[str, str]:
        """URL parameters; parts at their default are left out."""
        out: dict[str, str] = {}
        for part in dataclasses.fields(self):
            value = getattr(self, part.name)
            if value == part.default:
                continue
            if part.name in _MANY:
                out[part.name] = "~".join(value)
            elif part.name == "goals":
                out["goals"] = "~".join(f"{name}:{goal:g}" for name, goal in value)
            elif part.name == "truncated":
                out["truncated"] = "no"
            else:
                out[part.name] = value
        return out

    @classmethod
    def from_query(cls, query: dict[str, str]) -> Selection:
        """The selection in URL parameters; what cannot be read is ignored, so an old link still opens."""
        values: dict[str, Any] = {}
        for part in dataclasses.fields(cls):
            text = query.get(part.name)
            if not text:
                continue
            if part.name in _MANY:
                values[part.name] = tuple(t for t in text.split("~") if t)
            elif part.name == "goals":
                values["goals"] = tuple(_goals(text))
            elif part.name == "truncated":
                values["truncated"] = text != "no"
            else:
                values[part.name] = text
        return cls(**values)

    @property
    def narrows(self) -> bool:
        """Whether it leaves out outputs of the benchmarks and recipes that it names."""
        return self.narrowed_to(Selection()) != self.narrowed_to(self)

    def narrowed_to(self, other: Selection) -> Selection:
        """This selection with the filters of another one within benchmarks and recipes."""
        return self.but(**{part: getattr(other, part) for part in ("checkpoints", "outcomes", "categories", "strata", "pattern", "search", "prompt", "before", "truncated")})

    def caption(self) -> str:
        """The restriction in words, for captions and footnotes."""
        parts = [f"study {self.study}"] if self.study else []
        for name in _MANY:
            values = getattr(self, name)
            if values:
                shown = [v[:8] for v in values] if name == "checkpoints" else list(values)
                parts.append(f"{name}: {', '.join(shown)}")
        if self.pattern:
            parts.append(f"votes: {self.pattern}")
        if self.before:
            checkpoint, _, outcome = self.before.partition(":")
            parts.append(f"prompts with the outcome {outcome} at checkpoint {checkpoint[:8]}")
        if self.search:
            parts.append(f"answers that contain “{self.search}”")
        if self.policy:
            parts.append(f"incoherent outputs {self.policy.replace('_', ' ')}")
        if self.crossing:
            parts.append(f"{self.crossing} crossing of the goal")
        parts += [f"goal {goal:.0%} on {name}" for name, goal in self.goals]
        if not self.truncated:
            parts.append("without outputs cut off by the token limit")
        return "; ".join(parts) or "everything"


def _goals(text: str) -> list[tuple[str, float]]:
    goals = []
    for item in text.split("~"):
        name, _, value = item.rpartition(":")
        try:
            goals.append((name, float(value)))
        except ValueError:
            continue
    return goals
