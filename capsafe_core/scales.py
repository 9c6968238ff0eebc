"""Scores that judges give, and the threshold from which a judge calls an output unsafe."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from capsafe_core import catalogue
from capsafe_core.errors import CapsafeError


@dataclass(frozen=True)
class Scale:
    """What a judge's score means.

    Attributes:
        score: what it is, as "P(harm)".
        cutoff: the judge's own threshold.
        below: whether scores below a threshold are unsafe, not those from it on.
        others: other thresholds worth asking about.
    """

    score: str
    cutoff: float
    below: bool
    others: tuple[float, ...]

    def words(self, cutoff: float | None) -> str:
        """Which scores are unsafe at a threshold, None for the judge's own, as a caption says it."""
        side, own = "below" if self.below else "at least", f"{self.cutoff:g}"
        if cutoff is None:
            return f"unsafe where {self.score} is {side} {own}"
        return f"unsafe where {self.score} is {side} {threshold_words(cutoff)}; its own threshold is {own}"


def threshold_words(cutoff: float) -> str:
    """A threshold as captions and tables have it."""
    return f"{cutoff:.12g}"


@cache
def scales() -> dict[str, Scale]:
    """The scales of the judges that give a score, by name."""
    return {
        name: Scale(
            scale["score"], float(scale["cutoff"]), scale["unsafe"] == "below", tuple(scale["others"])
        )
        for name, scale in ((name, entry.get("scale")) for name, entry in catalogue.judges().items())
        if scale
    }


def scale_at(judge: str, cutoff: float) -> Scale:
    """The scale of a judge whose threshold is to be another.

    Raises:
        CapsafeError: it gives no score, or the threshold is not a number.
    """
    scale = scales().get(judge)
    if scale is None:
        raise CapsafeError(
            f"The judge {judge!r} gives no score, so it has no threshold that could be moved.",
            f"Leave the threshold out, or choose a judge with a score: {', '.join(sorted(scales()))}.",
        )
    if not math.isfinite(cutoff):
        raise CapsafeError(f"The threshold {cutoff} cannot be used.", f"Write a value of {scale.score}.")
    return scale
