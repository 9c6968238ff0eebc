"""What judges, scorers and people said in the logs: how often, which values, and between which ends."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

MOST_VALUES = 40
"""different values kept of a judge; of numbers the ends are kept whatever their number"""


@dataclass
class Heard:
    """What one judge, scorer or annotator said on one benchmark."""

    by: str
    benchmark: str
    tool: str
    kind: str
    person: bool = False
    higher_is_better: bool | None = None
    """what the file says of its direction"""
    count: int = 0
    unparsed: int = 0
    numbers: bool = True
    """whether every value is a number"""
    low: float = float("inf")
    high: float = float("-inf")
    values: Counter[str] = field(default_factory=Counter)
    more: bool = False
    """whether there are values that are not among `values`"""

    def add(self, value: str | float | bool | None, status: str) -> None:
        self.count += 1
        if status != "ok" or value is None:
            self.unparsed += 1
            return
        if isinstance(value, str):
            self.numbers = False
        else:
            self.low, self.high = min(self.low, float(value)), max(self.high, float(value))
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        if text in self.values or len(self.values) < MOST_VALUES:
            self.values[text] += 1
        else:
            self.more = True

    def joined(self, other: Heard) -> Heard:
        """What both said together: the scale of one name is the one seen in all files."""
        return replace(
            self,
            count=self.count + other.count,
            unparsed=self.unparsed + other.unparsed,
            numbers=self.numbers and other.numbers,
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            values=self.values + other.values,
            more=self.more or other.more,
        )

    def to_dict(self) -> dict[str, Any]:
        some = self.numbers and self.count > self.unparsed
        return {
            "by": self.by,
            "benchmark": self.benchmark,
            "tool": self.tool,
            "kind": self.kind,
            "person": self.person,
            "count": self.count,
            "unparsed": self.unparsed,
            "numbers": some,
            "low": self.low if some else None,
            "high": self.high if some else None,
            "values": dict(self.values.most_common()),
            "more": self.more,
        }
