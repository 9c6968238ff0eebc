"""Numbers as people write them into tables: 0,25 and 75 %."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"(?P<number>[-+]?\d+(?:[.,]\d+)?)\s*(?P<percent>%?)")
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")


def written_number(text: str, top: float) -> float | None:
    """The number in a text, with a decimal comma or as a percentage; None where there is none, or where a
    comma may separate thousands: 1,234.

    Args:
        top: the end of the scale, of which a percentage is a share.
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None or (_THOUSANDS.fullmatch(found["number"]) and top > 1):
        return None
    number = float(found["number"].replace(",", "."))
    return number / 100 * top if found["percent"] else number
