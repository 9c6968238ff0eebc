"""What a judge says of outputs, where some cannot be judged and some break it."""

from __future__ import annotations

from collections.abc import Sequence

from capsafe_core.errors import CapsafeError
from capsafe_core.judges import Item, Judge
from capsafe_core.judges.protocol import Verdict

NEVER_BEGAN = "The response was truncated within its reasoning; there is no answer to judge."


def verdicts_on(judge: Judge, items: Sequence[Item]) -> list[list[Verdict]]:
    """The verdicts on each item, in order; errors on one that breaks the judge, which the others are asked
    about without.

    Raises:
        CapsafeError: of the judge, not of what it reads.
    """
    try:
        return _asked(judge, items)
    except (CapsafeError, MemoryError):
        raise
    except Exception as error:
        if len(items) > 1:
            return [verdicts for item in items for verdicts in verdicts_on(judge, [item])]
        raw = f"{type(error).__name__}: {error}"
        return [[Verdict(d, None, status="error", raw=raw) for d in judge.rater.dimensions]]


def _asked(judge: Judge, items: Sequence[Item]) -> list[list[Verdict]]:
    """The verdicts on each item, in order.

    Where the model was cut off while it reasoned, nobody can say whether it would have refused or done harm.
    """
    can_say = {"correctness", "coherence"} & set(judge.rater.dimensions)
    cut = {i for i, item in enumerate(items) if item.generation.was_cut_while_reasoning and not can_say}
    found = iter(
        judge.judge([item for i, item in enumerate(items) if i not in cut]) if len(cut) < len(items) else ()
    )
    never = [Verdict(d, None, status="cut_off", raw=NEVER_BEGAN) for d in judge.rater.dimensions]
    return [never if i in cut else next(found) for i in range(len(items))]
