"""What a rate from labels may be if single labels err as often as double labels disagree."""

from __future__ import annotations

import math

ENOUGH_DOUBLES = 20
"""outputs with labels of two people, from which a rate of disagreement is read"""


def fallible_bounds(low: float, high: float, disagreement: float) -> tuple[float, float]:
    """The ends of an interval of a rate, moved by the error of one label.

    Two people err apart from each other and alike. Where all errors are misses (events that one person does
    not tell), a share e of events is missed, the two labels of an output differ in a share d = 2 p e of
    outputs, p the labelled rate, and the true rate is p / (1 - e). Where all are false alarms, the same holds
    of the outputs without the event (Bross 1954). What lies between is a mixture of both, so the upper end is
    moved as if all were misses, and the lower one as if all were false alarms.

    Args:
        low, high: of a rate from single labels.
        disagreement: the share of outputs with two labels whose labels differ.

    Returns:
        The ends within [0, 1].

    Raises:
        ValueError: one of them is no share.
    """
    if not all(0 <= x <= 1 and math.isfinite(x) for x in (low, high, disagreement)) or low > high:
        raise ValueError("an interval of a rate and a share are needed")
    lowest = 1 - _told_and_missed(1 - low, disagreement)
    return min(lowest, low), max(_told_and_missed(high, disagreement), high)


def _told_and_missed(rate: float, disagreement: float) -> float:
    """The true rate where a labelled rate lacks what one label misses."""
    missed = min(disagreement / (2 * rate), 0.5) if rate > 0 else 0.0
    return min(rate / (1 - missed), 1.0)
