"""What a model may answer to tasks whose own check runs the answer as a program.

Some tasks of reasoning-gym read an answer with Python's `eval`, or with sympy's `parse_expr`, which is `eval`
too. Any text of any model would be a program there. So only data reaches the one, and formulas of few names
the other; whatever else a model writes is an answer that cannot be read.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Callable
from typing import Any

from capsafe_core.errors import CapsafeError

LONGEST = 10_000
"""characters of such an answer"""
LARGEST_POWER = 1_000_000
"""of the exponents of numbers in a formula, multiplied"""
NAMES = frozenset(
    ["pi", "sin", "cos", "tan", "exp", "log", "ln", "sqrt", "asin", "acos", "atan", "erf", "Abs", "Integral"]
)
"""what a formula may hold besides single letters"""
_PLAIN = re.compile(r"[\w\s.,;:\[\]'\"-]*", re.ASCII)
_FORMULA = re.compile(r"[A-Za-z0-9.+*/^(),=\s-]*", re.ASCII)
_ATTRIBUTE = re.compile(r"\.(?![0-9])|[A-Za-z)]\.")
_EXPONENT = re.compile(
    r"\s*(?:[-+]?(\d{1,2})|[A-Za-z]+|\(\s*[-+]?(\d{1,2})(?:\s*/\s*\d{1,2})?\s*\))(?![\w.(])(?!\s*(?:\*\*|\^))"
)


def reads_safely(dataset: Any) -> Callable[[str], bool]:
    """Whether a task's own check may be shown an answer.

    Args:
        dataset: of reasoning-gym; one of several tasks is as strict as the strictest.

    Raises:
        CapsafeError: what the check does cannot be read.
    """
    try:
        sources = [inspect.getsource(module) for module in _modules(dataset)]
    except (OSError, TypeError) as error:
        raise CapsafeError(
            "What a task of reasoning-gym does with an answer cannot be told without its source.",
            "Install reasoning-gym with its .py files.",
        ) from error
    if any("sympy" in source and re.search(r"\b(?:parse_expr|sympify)\(", source) for source in sources):
        return is_formula
    if any(re.search(r"\beval\(", source) for source in sources):
        return is_data
    return lambda _: True


def _modules(dataset: Any) -> set[Any]:
    """The modules of reasoning-gym in which a task and its parts are written."""
    parts = getattr(dataset, "datasets", None)
    found = {
        sys.modules[cls.__module__]
        for cls in type(dataset).__mro__
        if cls.__module__.startswith("reasoning_gym.")
    }
    return found.union(*map(_modules, parts.values() if isinstance(parts, dict) else ()))


def is_data(text: str) -> bool:
    """Whether `eval` would read a text without running anything: a value, or words without brackets to call
    or sign to compute with."""
    if len(text) > LONGEST:
        return False
    if _PLAIN.fullmatch(text):
        return True
    for read in (ast.literal_eval, json.loads):
        try:
            read(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        return True
    return False


def is_formula(text: str) -> bool:
    """Whether a text is numbers, single letters and functions of NAMES, whose powers stay small."""
    if len(text) > LONGEST or not _FORMULA.fullmatch(text) or _ATTRIBUTE.search(text):
        return False
    names = re.findall(r"[A-Za-z]+", text)
    return all(len(name) == 1 or name in NAMES for name in names) and _are_small(text)


def _are_small(text: str) -> bool:
    """Whether no power of a number in a formula takes long: 9**9**9 has 370 million digits."""
    product = 1
    for power in re.finditer(r"\*\*|\^", text):
        if text[: power.start()].rstrip()[-1:].isalpha():
            continue
        exponent = _EXPONENT.match(text, power.end())
        if exponent is None:
            return False
        product *= max(1, int(exponent[1] or exponent[2] or 1))
        if product > LARGEST_POWER:
            return False
    return True
