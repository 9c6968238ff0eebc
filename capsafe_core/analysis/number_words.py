"""Numbers as sentences and tables say them: one rounding, one way to write a share of few outputs."""

from __future__ import annotations

import pandas as pd

MANY = 100
"""From so many outputs on a share is told in per cent; of fewer, by the outputs themselves."""


def hundredths(rate: float, sign: str = "") -> str:
    """A rate times 100, with a decimal where it would else be rounded to nothing, a true minus, and no sign
    before a zero.

    Args:
        sign: "+" for a change.
    """
    value = 100 * rate
    if abs(value) < 0.05:
        return "0"
    return true_minus(f"{value:{sign}.0f}" if abs(value) >= 1 else f"{value:{sign}.1f}")


def true_minus(number: str) -> str:
    """A number in digits with U+2212 for its sign, as people read it; data keep the hyphen."""
    return number.replace("-", "−")


def pts(change: float, sign: str = "") -> str:
    """A difference of rates in percentage points: "+11 pts".

    Args:
        sign: "+" for a change.
    """
    return f"{hundredths(change, sign)} pts"


def percent(value: float, low: float | None = None, high: float | None = None, sign: str = "") -> str:
    """A rate in per cent with its interval; "—" where there is none."""
    if pd.isna(value):
        return "—"
    span = (
        ""
        if low is None or high is None or pd.isna(low) or pd.isna(high)
        else f" ({hundredths(low, sign)} to {hundredths(high, sign)})"
    )
    return f"{hundredths(value, sign)}{span}"


def interval_words(low: float, high: float) -> str:
    """An interval of a rate: "11–22%"."""
    return f"{hundredths(low)}–{hundredths(high)}%"


def rate_words(rate: float, low: float, high: float) -> str:
    """A rate with its interval: "18% (4 to 31%)"."""
    if pd.isna(rate):
        return "—"
    span = "" if pd.isna(low) or pd.isna(high) else f" ({hundredths(low)} to {hundredths(high)}%)"
    return f"{hundredths(rate)}%{span}"


def points_words(change: float, low: float, high: float) -> str:
    """A change in points with its interval: "+25 pts (−9 to +45)"."""
    if pd.isna(change):
        return "—"
    span = "" if pd.isna(low) or pd.isna(high) else f" ({hundredths(low, '+')} to {hundredths(high, '+')})"
    return f"{pts(change, '+')}{span}"


def p_words(p: float) -> str:
    """A p-value; "—" where there is none."""
    return "—" if pd.isna(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def share_words(rate: float, n: int) -> str:
    """A share of n outputs: "12% of 1,340", and of few "3 of 7"."""
    return f"{hundredths(rate)}% of {n:,}" if n >= MANY else f"{round(rate * n)} of {n}"


def share_of_chance(p: float) -> str:
    """A p-value as a share: "3%", "less than 1%"."""
    return "less than 1%" if p < 0.01 else f"{p:.0%}"


def differs(low: float, high: float) -> bool:
    """Whether two changes have opposite signs after rounding to a point."""
    return low <= -0.005 and high >= 0.005
