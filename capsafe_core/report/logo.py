"""The picture of whoever reports."""

from __future__ import annotations

import base64
import io

from PIL import Image

from capsafe_core.errors import CapsafeError

LARGEST = 4 << 20
"""bytes of a file that is read"""
PIXELS = 25_000_000
SIZE = (800, 240)
"""pixels that are kept, at most"""


def read_logo(data: bytes) -> str:
    """A picture as a data address: drawn again as a PNG, so that nothing but its pixels stays of the file.

    Raises:
        CapsafeError: it is not a PNG or JPEG, or is too large.
    """
    refusal = CapsafeError("The logo is not a PNG or JPEG picture that can be used.", "Choose a small PNG.")
    if len(data) > LARGEST:
        raise refusal
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
            if picture.width * picture.height > PIXELS:
                raise refusal
            kept = picture.convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise refusal from error
    kept.thumbnail(SIZE)
    plain = Image.new("RGBA", kept.size)
    plain.paste(kept)
    stream = io.BytesIO()
    plain.save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def logo_bytes(address: str) -> bytes:
    """The PNG of a data address that `read_logo` made."""
    return base64.b64decode(address.partition(",")[2])
