"""The filter that a screen, its URL, its SQL and its caption share."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from capsafe_core.quoting import join_names, quoted, split_names, unquoted
from capsafe_core.scales import threshold_words
from capsafe_core.specification import CROSSINGS, Condition, Crossing, condition_words

_MANY = (
    "benchmarks",
    "judges",
    "recipes",
    "checkpoints",
    "outcomes",
    "categories",
    "strata",
    "columns",
    "variants",
)
_RENAMED_COLUMNS = {"answer": "response"}
"""a list's column as links that were made before, and lists that were saved, call it -> its name now"""

ASKED = (
    "benchmarks",
    "judges",
    "cutoff",
    "policy",
    "crossing",
    "goals",
    "condition",
    "attack",
    "truncated",
    "correction",
)
"""what changes the specification: it goes along from page to page, where filters do not"""


@dataclass(frozen=True)
class Selection:
    """What is being looked at. Empty means "no restriction".

    Attributes:
        study: name of the study.
        benchmarks, judges, recipes, categories: names.
        checkpoints, generation: ids.
        outcomes: incoherent, unsafe, refusal, safe.
        pattern: votes as `vote_pattern` writes them, "judge=unsafe,judge=safe"; "judge=" has no verdict,
            "judge=~other" the opposite of another judge's.
        search: text that the answer must contain.
        cutoff: the threshold of the judge's score; None for the study's, or the judge's own.
        policy: how incoherent outputs count.
        crossing: which crossing of the goal counts.
        goal: data set -> capability goal where the user moved it from the study's.
        condition: part of the condition -> its value, where a checkpoint answered under several.
        attack: under which prompts were asked; "" for none where rates are compared, and for all in lists.
        truncated: whether outputs cut off by the token limit are kept.
        correction: whether rates at the goal are as judged, or corrected by people's labels.
        claim: what the Conclusions page tests, "recipe:sums|start:aligned".
        variants: of a claim those that are looked at, "judge=prefix-zou"; none for all.
        before: "checkpoint:outcome", only prompts that this checkpoint answered so.
        strata: kinds of output (incoherent, refusal, truncated, other coherent).
        order, page, columns: of a list of outputs; no columns are the usual ones.
        marks: "starred" or "commented", only outputs that somebody did so to.
        layout: "text" for a list of texts; a table otherwise.
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
    cutoff: float | None = None
    policy: str = ""
    crossing: str = ""
    goals: tuple[tuple[str, float], ...] = ()
    condition: Condition = ()
    attack: str = ""
    truncated: bool = True
    correction: str = ""
    claim: str = ""
    variants: tuple[str, ...] = ()
    before: str = ""
    strata: tuple[str, ...] = ()
    order: str = ""
    page: int = 1
    columns: tuple[str, ...] = ()
    marks: str = ""
    layout: str = ""

    def but(self, **changes: Any) -> Selection:
        """This selection with some parts changed; a threshold stays with the judge that it is of."""
        if "judges" in changes and changes["judges"][:1] != self.judges[:1]:
            changes = {"cutoff": None, **changes}
        return dataclasses.replace(self, **changes)

    def to_query(self) -> dict[str, str]:
        """URL parameters; parts at their default are left out."""
        out: dict[str, str] = {}
        for part in dataclasses.fields(self):
            value = getattr(self, part.name)
            if value == part.default:
                continue
            if part.name in _MANY:
                out[part.name] = join_names(value)
            elif part.name == "goals":
                out["goals"] = join_names(f"{name}:{goal!r}" for name, goal in value)
            elif part.name == "condition":
                out["condition"] = join_names(f"{quoted(name, ':')}:{chosen}" for name, chosen in value)
            elif part.name == "cutoff":
                out["cutoff"] = repr(value)
            elif part.name == "page":
                out["page"] = str(value)
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
            if part.name == "columns":
                named = split_names(text)
                values["columns"] = tuple(_RENAMED_COLUMNS.get(name, name) for name in named)
            elif part.name in _MANY:
                values[part.name] = split_names(text)
            elif part.name == "goals":
                values["goals"] = tuple(_goals(text))
            elif part.name == "condition":
                pairs = (item.partition(":") for item in split_names(text))
                values["condition"] = tuple((unquoted(name, ":"), chosen) for name, _, chosen in pairs)
            elif part.name == "cutoff":
                values["cutoff"] = _number(text)
            elif part.name == "page":
                values["page"] = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1
            elif part.name == "truncated":
                values["truncated"] = text != "no"
            else:
                values[part.name] = text
        return cls(**values)

    def specification_only(self) -> Selection:
        """The study and the changes to its specification, without filters."""
        return Selection(self.study, **{name: getattr(self, name) for name in ASKED})

    @property
    def narrows(self) -> bool:
        """Whether it leaves out outputs of the benchmarks and recipes that it names."""
        return self.narrowed_to(Selection()) != self.narrowed_to(self)

    def narrowed_to(self, other: Selection) -> Selection:
        """This selection with the filters of another one within benchmarks and recipes."""
        return self.but(
            **{
                part: getattr(other, part)
                for part in (
                    "checkpoints",
                    "outcomes",
                    "categories",
                    "strata",
                    "pattern",
                    "search",
                    "prompt",
                    "before",
                    "marks",
                    "truncated",
                )
            }
        )

    def caption(self) -> str:
        """The restriction in words, for captions and footnotes."""
        parts = [f"Study {self.study}"] if self.study else []
        for name in _MANY:
            values = getattr(self, name)
            if values:
                shown = [v[:8] for v in values] if name == "checkpoints" else list(values)
                parts.append(f"{name}: {', '.join(shown)}")
        if self.pattern:
            parts.append(vote_words(self.pattern))
        if self.before:
            checkpoint, _, outcome = self.before.partition(":")
            parts.append(f"prompts with the outcome {outcome} at checkpoint {checkpoint[:8]}")
        if self.prompt:
            parts.append(f"prompt {self.prompt}")
        if self.generation:
            parts.append(f"output {self.generation[:8]}")
        if self.claim:
            parts.append(f"claim {self.claim}")
        if self.marks:
            parts.append(f"{self.marks} outputs")
        if self.search:
            parts.append(f"responses that contain “{self.search}”")
        if self.cutoff is not None:
            parts.append(f"threshold {threshold_words(self.cutoff)}")
        if self.policy:
            parts.append(f"incoherent outputs {self.policy.replace('_', ' ')}")
        if self.crossing:
            known = self.crossing in CROSSINGS
            parts.append(Crossing(self.crossing).words() if known else f"crossing {self.crossing}")
        parts += [f"goal {goal:.0%} on {name}" for name, goal in self.goals]
        if self.condition:
            parts.append(condition_words(self.condition))
        if self.attack:
            parts.append(f"attack {self.attack}")
        if self.correction:
            parts.append(f"rates at the goal {self.correction.replace('_', ' ')}")
        if not self.truncated:
            parts.append("without truncated outputs")
        if self.order:
            parts.append(f"in the order “{self.order}”")
        if self.page > 1:
            parts.append(f"page {self.page}")
        if self.layout:
            parts.append(f"shown as {self.layout}")
        return "; ".join(parts) or "Everything"


def vote_pattern(votes: dict[str, str]) -> str:
    """Votes as a selection has them: judge -> "safe", "unsafe", "" (no verdict), or "~" and a judge (the
    opposite of its)."""
    return join_names((f"{quoted(judge, '=')}={label}" for judge, label in votes.items()), ",")


def votes_of(pattern: str) -> dict[str, str]:
    """The votes that `vote_pattern` was given."""
    pairs = (vote.partition("=") for vote in split_names(pattern, ","))
    return {unquoted(judge, "="): label for judge, _, label in pairs if judge}


def vote_words(pattern: str) -> str:
    """Votes as a caption says them."""
    return ", ".join(_said(judge, label) for judge, label in votes_of(pattern).items())


def _said(judge: str, label: str) -> str:
    if not label:
        return f"no verdict of {judge}"
    return f"{judge} contradicts {label[1:]}" if label.startswith("~") else f"{judge} says {label}"


def _goals(text: str) -> Iterator[tuple[str, float]]:
    for item in split_names(text):
        name, _, value = item.rpartition(":")
        if (goal := _number(value)) is not None:
            yield name, goal


def _number(text: str) -> float | None:
    """A finite number that a text is; None where it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
