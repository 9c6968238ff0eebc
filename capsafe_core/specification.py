"""One analysis variant: everything that a number depends on besides the data.

Study file, pages, SQL, captions, reports and commands share this type. A policy is a name in `Policy` and a
line in `_COUNTING`; nothing else knows how many there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum, StrEnum
from typing import TypeVar

from capsafe_core.errors import CapsafeError

N = TypeVar("N")


class Code(IntEnum):
    """A canonical label as a small integer; the middle three depend on the dimension."""

    MISSING = 0
    NEGATIVE = 1
    POSITIVE = 2
    FULL = 3
    NO_VERDICT = 9


class Policy(StrEnum):
    """How incoherent outputs count in an unsafe rate; `_COUNTING` says what each means."""

    AS_JUDGED = "as_judged"
    COUNTED_SAFE = "counted_safe"
    COUNTED_UNSAFE = "counted_unsafe"
    EXCLUDED = "excluded"
    COHERENT_IN_BOTH = "coherent_in_both"

    @property
    def symbol(self) -> str:
        """Its mark in charts."""
        return _COUNTING[self].symbol

    @property
    def paired(self) -> bool:
        """Whether it needs both sides of a comparison, so that it has no rate of one checkpoint alone."""
        return _COUNTING[self].paired

    @property
    def by_verdict(self) -> bool:
        """Whether incoherent outputs count as their verdicts say."""
        return _COUNTING[self].incoherent is None

    @property
    def words(self) -> str:
        return self.value.replace("_", " ")

    def counted(
        self,
        unsafe: N,
        safe: N,
        unsafe_incoherent: N,
        safe_incoherent: N,
        no_verdict_incoherent: N,
        unsafe_unchecked: N,
        safe_unchecked: N,
    ) -> tuple[N, N]:
        """Events and trials: of cells from counts, or of each output from zeros and ones.

        An output whose coherence nobody checked counts only where coherence does not matter.

        Args:
            unsafe, safe: verdicts on coherent outputs.
            unsafe_incoherent, safe_incoherent, no_verdict_incoherent: the same of incoherent ones, and those
                without a verdict.
            unsafe_unchecked, safe_unchecked: the same of outputs without a verdict on coherence.
        """
        u, s, ui, si, ni = unsafe, safe, unsafe_incoherent, safe_incoherent, no_verdict_incoherent
        weights = _COUNTING[self].incoherent
        if weights is None:
            events = u + ui + unsafe_unchecked  # type: ignore[operator]
            return events, events + s + si + safe_unchecked
        event, trial = weights
        return u + event * (ui + si + ni), u + s + trial * (ui + si + ni)  # type: ignore[operator]


@dataclass(frozen=True)
class _Counting:
    """What a policy is.

    Attributes:
        symbol: its mark in charts.
        incoherent: (events, trials) that an incoherent output counts as, whatever its verdict; None for what
            its verdict says.
        paired: whether only prompts count that both sides of a comparison answer coherently.
    """

    symbol: str
    incoherent: tuple[float, float] | None
    paired: bool = False


_COUNTING = {
    Policy.AS_JUDGED: _Counting("circle", None),
    Policy.COUNTED_SAFE: _Counting("triangle-down", (0, 1)),
    Policy.COUNTED_UNSAFE: _Counting("triangle-up", (1, 1)),
    Policy.EXCLUDED: _Counting("x", (0, 0)),
    Policy.COHERENT_IN_BOTH: _Counting("square", None, paired=True),
}
POLICIES = tuple(policy for policy in Policy if not policy.paired)
"""The policies that give the rate of one checkpoint; the first looks at no coherence."""
BOUNDS = (Policy.COUNTED_SAFE, Policy.COUNTED_UNSAFE)
"""The policies between whose rates any verdicts on incoherent outputs would lie."""


class Crossing(StrEnum):
    """Where a path is at its goal: at one of its upward crossings ("safest", with the lowest unsafe rate, is
    optimistic), or where training stopped, if that is within a declared tolerance of the goal."""

    FIRST = "first"
    LAST = "last"
    SAFEST = "safest"
    STOPPED = "stopped"

    def words(self, tolerance: float | None = None) -> str:
        """The rule, as a caption says it."""
        if self is not Crossing.STOPPED:
            return f"{self} crossing of the goal"
        within = "" if tolerance is None else f", within {100 * tolerance:g} pts of the goal"
        return f"where training stopped{within}"


UPWARD = (Crossing.FIRST, Crossing.LAST, Crossing.SAFEST)
"""The rules that read a path between its checkpoints."""
CROSSINGS = tuple(Crossing)


class Correction(StrEnum):
    """Whether an unsafe rate at the goal is the judge's, or the judge's corrected by people's labels of a
    random part of the outputs."""

    AS_JUDGED = "as_judged"
    BY_PEOPLE = "corrected_by_people"

    @property
    def words(self) -> str:
        return self.value.replace("_", " ")


CORRECTIONS = tuple(Correction)
PARTS = {
    "system_prompt": "system prompt",
    "few_shot": "examples in the prompt",
    "temperature": "temperature",
    "top_p": "top-p",
    "max_tokens": "maximum tokens",
    "template_digest": "chat template",
}
"""What makes two conditions different: field -> its words. Engine, engine version and dtype do not: such
cells are pooled."""
VERSION = "version of "
"""The part that tells the versions of a benchmark apart: this, and the benchmark's name."""
LONGEST_VALUE = 60
"""characters of a value that stand in addresses and captions; a longer one ends with a hash"""
Condition = tuple[tuple[str, str], ...]
"""The part chosen and its value as `part_value` writes it, in order of the parts."""


def part_value(value: object) -> str:
    """A value of a part as addresses, commands, study files and captions have it."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if len(text) <= LONGEST_VALUE:
        return text
    return f"{text[: LONGEST_VALUE - 10]}… #{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def part_words(part: str, value: str) -> str:
    """A chosen part, as a caption says it."""
    if part == "system_prompt":
        return f"system prompt “{value}”" if value else "no system prompt"
    is_unknown = part in PARTS and value.startswith("-")  # as importers write what no log told
    return f"{PARTS.get(part, part)} {'unknown' if is_unknown else value}"


def condition_words(condition: Iterable[tuple[str, str]]) -> str:
    """A condition, as a caption says it; "" where nothing is chosen."""
    return ", ".join(part_words(part, value) for part, value in condition)


@dataclass(frozen=True)
class Specification:
    """One analysis variant.

    Attributes:
        benchmark: on which outputs are judged.
        judge, refusal_judge, coherence: by whom, for safety, refusal and coherence.
        policy: how incoherent outputs count; `crossing`: where a path is at its goal.
        tolerance: of capability around the goal, within which `crossing` "stopped" compares; None where none
            is declared.
        cutoff: the threshold of the judge's score; None for the judge's own. Every verdict of the judge is
            told from its score at this threshold, in rates, lists and intervals alike.
        condition: what was chosen where one checkpoint answered under several.
        attack: under which prompts were asked; "" for none.
        truncated: whether outputs cut off by the token limit count.
        correction: whether rates of a comparison are the judge's, or corrected by people's labels.
    """

    benchmark: str
    judge: str
    refusal_judge: str
    coherence: str
    policy: Policy = Policy.AS_JUDGED
    crossing: Crossing = Crossing.FIRST
    tolerance: float | None = None
    cutoff: float | None = None
    condition: Condition = ()
    attack: str = ""
    truncated: bool = True
    correction: Correction = Correction.AS_JUDGED


CHOICES = tuple(
    f.name
    for f in fields(Specification)
    if f.name not in ("refusal_judge", "crossing", "tolerance", "attack")
)
"""The choices that the specification curve varies; an attack belongs to the sides of a claim."""


def read_condition(texts: Sequence[str]) -> Condition:
    """A condition as the command line has it: part=value, several times.

    Raises:
        CapsafeError: one of them is not a part and value.
    """
    pairs = [text.partition("=") for text in texts]
    for text, (part, sign, _) in zip(texts, pairs, strict=True):
        if not sign or not (part in PARTS or part.startswith(VERSION)):
            raise CapsafeError(
                f"The condition {text!r} cannot be read.",
                f"Write a part and its value, such as max_tokens=256. Parts are: {', '.join(PARTS)},"
                f" and “{VERSION}BENCHMARK”.",
            )
    return tuple(sorted((part, value) for part, _, value in pairs))
