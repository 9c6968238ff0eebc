"""What may enter from outside: JSON read within limits, and what the fields of a dataclass or a struct may
hold.

Shard lines, manifests, status files, heads and what a browser sends all pass here, so that whatever got in
can be stored, computed with and shown. A field's annotation is its rule: `int` is 32 bits, `float` is finite,
a text may be an id or one of a few words, and nested values are plain JSON of bounded depth. `msgspec` reads
the same annotations, many times faster; it knows neither `Like`, `Holding` nor the depth of free values, and
it says less where it refuses.
In a struct, numbers are therefore `Int`, `Long` or `Number`: a bare `int` would be of any length there.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import reprlib
import time
import tomllib
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from msgspec import Meta, Struct, structs

DEEPEST = 40
"""levels of nesting of a value whose form is free"""
LATEST = 253_402_300_799
"""the last second of the year 9999, since 1970: later times cannot be shown"""
EARLIEST = 946_684_800
"""the first second of the year 2000: nobody answered a language model's outputs before"""
AHEAD = 86_400.0
"""seconds by which a clock elsewhere may be ahead of this one"""
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 60


def Within(low: float, high: float) -> Meta:
    """A number's bounds, both included."""
    return Meta(ge=low, le=high)


@dataclass(frozen=True)
class OneOf:
    """The words that a text is one of."""

    words: Collection[str]


@dataclass(frozen=True)
class Like:
    """What a text looks like."""

    pattern: re.Pattern[str]
    name: str


@dataclass(frozen=True)
class Holding:
    """What a mapping holds at least: keys and the annotation of each."""

    keys: Mapping[str, Any]


_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX = bytes.maketrans(b"0123456789abcdef", b"0" * 16)
_ZEROS = b"00000000-0000-0000-0000-000000000000"
_INT = Within(-(1 << 31), (1 << 31) - 1)
_LONG = Within(-(1 << 63), (1 << 63) - 1)
LONGEST_NAME = 1000
"""characters of a name: it stands in labels, legends and sentences"""
Name = Annotated[str, Meta(max_length=LONGEST_NAME)]
Id = Annotated[str, Meta(min_length=len(_ZEROS), max_length=len(_ZEROS)), Like(_UUID, "an id (a UUID)")]
Int = Annotated[int, _INT]
Long = Annotated[int, _LONG]
Count = Annotated[int, Within(0, (1 << 63) - 1)]
Number = Annotated[int, _LONG] | float
"""finite; one that was written without a point stays without it"""
Seconds = Annotated[int, Within(0, LATEST)] | Annotated[float, Within(0, LATEST)]
"""a time since 1970, or a duration"""
Share = Annotated[int, Within(0, 1)] | Annotated[float, Within(0, 1)]


def are_ids(texts: Iterable[str]) -> bool:
    """Whether texts of an id's length are ids: as `Id` says, in a tenth of the time of its pattern."""
    joined = "".join(texts).encode("utf-8", "surrogatepass")
    return joined.translate(_HEX) == _ZEROS * (len(joined) // len(_ZEROS))


def shown(value: Any) -> str:
    """A value for a sentence: short, on one line and in ASCII, whatever it holds."""
    return ascii(_SHOWN.repr(value))[1:-1].replace("\\\\", "\\")


def is_to_come(seconds: float) -> bool:
    """Whether a time that somebody else wrote has not come yet: what is dated so would be the newest for
    ever."""
    return seconds > time.time() + AHEAD


def parse_json(raw: str | bytes) -> Any:
    """A JSON text as values.

    Raises:
        ValueError: it is none, not UTF-8, nested too deeply, or holds a number of thousands of digits.
    """
    try:
        return json.loads(raw)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_toml(text: str) -> dict[str, Any]:
    """A TOML text as values.

    Raises:
        ValueError: it is none, nested too deeply, or holds a number of thousands of digits.
    """
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level: list[Any] = [values]
    for _ in range(DEEPEST):
        level = [one for value in level for one in _inside(value)]
    if level:
        raise ValueError("it is nested too deeply")
    return values


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def is_plain(value: Any, depth: int = DEEPEST) -> bool:
    """Whether a value is JSON of bounded depth with finite numbers of at most 64 bits."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-(1 << 63) <= value < 1 << 63)
    if kind is float:
        return math.isfinite(value)
    if depth == 0:
        return False
    if kind is dict:
        return all(type(k) is str for k in value) and all(is_plain(v, depth - 1) for v in value.values())
    return (kind is list or kind is tuple) and all(is_plain(v, depth - 1) for v in value)


def well_formed(value: Any) -> Any:
    """A value in whose texts half a character, as a browser or a tokenizer may cut it, is a question mark."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {well_formed(k): well_formed(v) for k, v in value.items()}
    return type(value)(map(well_formed, value)) if isinstance(value, list | tuple) else value


Test = Callable[[Any], Any]
"""true where a value may stand; raises TypeError for some of other types"""


def rule(annotation: Any) -> tuple[Test, str]:
    """Whether a value is what an annotation asks for, and that in words: "a finite number"."""
    limits: tuple[Any, ...] = ()
    if get_origin(annotation) is Annotated:
        annotation, *rest = get_args(annotation)
        limits = tuple(rest)
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return _union(inner, limits)
    if origin is Literal:
        return _scalar(str, OneOf(inner))
    if origin is tuple:
        return _tuple(inner, next((x.min_length or 0 for x in limits if isinstance(x, Meta)), 0))
    if annotation is Any:
        return is_plain, "plain JSON"
    if origin is dict:
        return _mapping(inner[1], next((x for x in limits if isinstance(x, Holding)), Holding({})))
    return _scalar(annotation, limits[-1] if limits else None)


def _union(members: tuple[Any, ...], limits: tuple[Any, ...]) -> tuple[Test, str]:
    kinds = [kind for kind in members if kind is not types.NoneType]
    # whole numbers and others: the rule for the others takes whole ones too
    kind = kinds[0] if len(kinds) == 1 else next(k for k in kinds if k is float or float in get_args(k))
    holds, words = rule(Annotated[kind, *limits] if limits else kind)
    if len(kinds) == len(members):
        return holds, words
    return (lambda v: v is None or holds(v)), f"{words} or nothing"


def _tuple(inner: tuple[Any, ...], least: int) -> tuple[Test, str]:
    if inner[-1] is not Ellipsis:
        places = [rule(place) for place in inner]
        return (
            lambda v: (
                isinstance(v, list | tuple)
                and len(v) == len(places)
                and all(h(x) for (h, _), x in zip(places, v, strict=True))
            )
        ), f"a list of {', '.join(w for _, w in places)}"
    each, words = rule(inner[0])
    return (
        lambda v: (type(v) is tuple or type(v) is list) and len(v) >= least and all(map(each, v))
    ), f"a list, each item {words}"


def _mapping(values: Any, holding: Holding) -> tuple[Test, str]:
    tests = {key: rule(kind)[0] for key, kind in holding.keys.items()}
    each = rule(values)[0]
    words = "a mapping" + (
        f" with {', '.join(tests)}" if tests else " of plain JSON" if values is Any else ""
    )

    def holds(value: Any) -> bool:
        if type(value) is not dict or not all(type(k) is str for k in value):
            return False
        return all(k in value and test(value[k]) for k, test in tests.items()) and all(
            map(each, value.values())
        )

    return holds, words


def _scalar(kind: Any, limit: Any) -> tuple[Test, str]:
    if kind is bool:
        return (lambda v: type(v) is bool), "true or false"
    if kind is int:
        low, high = (limit.ge, limit.le) if limit else (-(1 << 31), (1 << 31) - 1)
        return (lambda v: type(v) is int and low <= v <= high), f"a whole number from {low} to {high}"
    if kind is float:
        low, high = (limit.ge, limit.le) if limit else (-math.inf, math.inf)

        def is_number(value: Any) -> bool:
            if type(value) is int and -(1 << 63) <= value < 1 << 63:
                return bool(low <= value <= high)
            return type(value) is float and math.isfinite(value) and low <= value <= high

        return is_number, f"a number from {low:.0f} to {high:.0f}" if limit else "a finite number"
    if isinstance(limit, Like):
        return limit.pattern.fullmatch, limit.name
    if isinstance(limit, OneOf):
        return frozenset(limit.words).__contains__, f"one of {', '.join(limit.words)}"
    if isinstance(limit, Meta) and limit.max_length is not None:
        most = limit.max_length
        return (lambda v: type(v) is str and len(v) <= most), f"a text of at most {most:,} characters"
    return (lambda v: type(v) is str), "text"


def beyond_types(annotation: Any) -> bool:
    """Whether an annotation asks for more than `msgspec` knows, ids apart: free values, and keys of a
    mapping."""
    if annotation is Any:
        return True
    if get_origin(annotation) is Annotated and any(isinstance(x, Holding) for x in get_args(annotation)):
        return True
    return get_origin(annotation) is not Literal and any(map(beyond_types, get_args(annotation)))


_TEXT = frozenset((str,))


def _required(kind: type[Any]) -> dict[str, bool]:
    """The fields of a dataclass or a struct, and whether each has to be there."""
    if issubclass(kind, Struct):
        return {field.name: field.required for field in structs.fields(kind)}
    missing = dataclasses.MISSING
    return {
        field.name: field.default is missing and field.default_factory is missing
        for field in dataclasses.fields(kind)
        if field.init
    }


class Shape:
    """What the fields of a dataclass or a struct may hold, as their annotations say.

    Attributes:
        hints: each field's annotation, in the order in which they are declared.
        required: fields without a default.
    """

    def __init__(self, kind: type[Any]) -> None:
        hints = typing.get_type_hints(kind, include_extras=True)
        required = _required(kind)
        self.hints = {name: hints[name] for name in required}
        self.fields = frozenset(required)
        self.required = frozenset(name for name, is_required in required.items() if is_required)
        self.tests = {name: rule(hint) for name, hint in self.hints.items()}
        self._plain = frozenset(name for name, hint in self.hints.items() if hint is str)

    def problem(self, values: Mapping[str, Any]) -> str:
        """What is wrong with the values of all fields; empty where nothing is."""
        return self.problem_of(values, self.fields)

    def problem_of(self, values: Mapping[str, Any], names: Iterable[str]) -> str:
        """What is wrong with the values of some fields; empty where nothing is."""
        for name in sorted(names):
            if not self.holds(name, [values[name]]):
                return f"{name} is {shown(values[name])}, not {self.tests[name][1]}"
        return ""

    def holds(self, name: str, column: list[Any]) -> bool:
        """Whether a field may hold every value of a column."""
        try:
            return (
                _TEXT.issuperset(map(type, column))
                if name in self._plain
                else all(map(self.tests[name][0], column))
            )
        except TypeError:
            return False

    def known(self, values: Any) -> dict[str, Any]:
        """Of parsed JSON, the fields that are there, lists as tuples; what a newer version added is left out.

        Raises:
            ValueError: it is not a mapping, lacks a field, or a field holds what it may not.
        """
        if type(values) is not dict:
            raise ValueError(f"it is {shown(values)}, not a mapping")
        kept = {k: tuple(v) if type(v) is list else v for k, v in values.items() if k in self.fields}
        if missing := self.required - kept.keys():
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        if problem := self.problem_of(kept, kept):
            raise ValueError(problem)
        return kept
