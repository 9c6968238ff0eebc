"""Numbers with their nouns, as a push and a pull say them."""

from __future__ import annotations


def amount(number: int, noun: str) -> str:
    """1 job, 1,200 jobs."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
