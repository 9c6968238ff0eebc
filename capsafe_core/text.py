"""Text of any origin, made safe to look at."""

from __future__ import annotations

import re

_INVISIBLE = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad\u061c\u180e\U000e0000-\U000e007f\x00-\x08\x0b-\x1f\x7f]")


def visible(text: str) -> str:
    """The text with bidirectional, zero-width and control characters written out as ⟨U+202E⟩."""
    return _INVISIBLE.sub(lambda match: f"⟨U+{ord(match.group()):04X}⟩", text)
