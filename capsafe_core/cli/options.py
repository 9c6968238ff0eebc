"""The selection as options of a command, declared once: a line an option.

A command takes the groups that it heeds and gets a `Selection` in their place:

    @commands.command()
    @selecting(SCOPE, SPECIFICATION)
    def cite(chosen: Selection) -> None: ...
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from capsafe_core.errors import CapsafeError
from capsafe_core.selection import Selection
from capsafe_core.specification import Correction, Policy, read_condition

P = ParamSpec("P")


@dataclass(frozen=True)
class Option:
    """An option that sets a field of the selection.

    Attributes:
        field: of Selection.
        words: what `--help` says.
        takes: the type of its value on the command line.
        default: where it is not given.
        read: its value -> the field's.
    """

    field: str
    words: str
    takes: Any = str
    default: Any = ""
    read: Callable[[Any], Any] = lambda value: value


def many(field: str, words: str, read: Callable[[Sequence[str]], Any] = tuple) -> Option:
    """An option that may be given several times."""
    return Option(field, words, list[str] | None, None, lambda values: read(values or ()))


def read_goals(texts: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Goals as the command line has them.

    Raises:
        CapsafeError: one of them is not a data set and a share.
    """
    out = []
    for text in texts:
        name, _, value = text.partition("=")
        try:
            goal = float(value)
        except ValueError:
            goal = -1.0
        if not name or not 0 <= goal <= 1:
            raise CapsafeError(
                f"The goal {text!r} cannot be read.",
                "Write a data set and a share of right answers, such as --goal sums=0.6.",
            )
        out.append((name, goal))
    return tuple(out)


SCOPE = {
    "study": Option("study", "name of the study, where the workspace has several"),
    "benchmark": many("benchmarks", "only this benchmark; may be repeated"),
}
ANSWERS = {
    "condition": many(
        "condition",
        "which responses count where a checkpoint answered under several conditions, as max_tokens=256",
        read_condition,
    ),
    "attack": Option("attack", "under which attack prompts were asked"),
}
SPECIFICATION = ANSWERS | {
    "judge": many("judges", "only this judge; may be repeated"),
    "threshold": Option(
        "cutoff",
        "from which score of the judge an output is unsafe; the judge's own if left out",
        float | None,
        None,
    ),
    "policy": Option(
        "policy", f"how incoherent outputs count: {', '.join(p for p in Policy if not p.paired)}"
    ),
    "goal": many("goals", "another capability goal, as sums=0.6; one for each data set", read_goals),
    "crossing": Option("crossing", "which crossing of the goal counts: first, last or safest; or stopped"),
    "correction": Option(
        "correction", f"whether people's labels correct rates at the goal: {', '.join(Correction)}"
    ),
}
FILTER = {
    "recipe": many("recipes", "only this recipe; may be repeated"),
    "checkpoint": many("checkpoints", "only this checkpoint; may be repeated"),
    "outcome": many("outcomes", "only outputs with this outcome: incoherent, unsafe, refusal or safe"),
    "search": Option("search", "only responses that contain this"),
    "marks": Option("marks", "only outputs that somebody starred or commented on: starred or commented"),
    "truncated": Option("truncated", "keep outputs that hit the token limit", bool, True),
}
CLAIM = {
    "claim": Option("claim", "what `conclusions` tests, as `capsafe claims` lists it"),
}
VARIANTS = {
    "variant": many("variants", "only analysis variants of `conclusions` with this, as judge=prefix-zou"),
}


def selecting(
    *groups: dict[str, Option],
) -> Callable[[Callable[Concatenate[Selection, P], None]], Callable[..., None]]:
    """A command whose first parameter is a Selection, with the options of these groups in its place."""
    options = {name: option for group in groups for name, option in group.items()}

    def with_options(command: Callable[Concatenate[Selection, P], None]) -> Callable[..., None]:
        call: Callable[..., None] = command

        def whole(**values: Any) -> None:
            fields = {option.field: option.read(values.pop(name)) for name, option in options.items()}
            call(Selection(**fields), **values)

        _, *own = inspect.signature(command, eval_str=True).parameters.values()
        parameters = [*own, *(_parameter(name, option) for name, option in options.items())]
        whole.__name__, whole.__doc__ = command.__name__, command.__doc__
        whole.__annotations__ = {p.name: p.annotation for p in parameters}
        whole.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
        )
        return whole

    return with_options


def _parameter(name: str, option: Option) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=option.default,
        annotation=Annotated[option.takes, typer.Option(help=option.words)],
    )
