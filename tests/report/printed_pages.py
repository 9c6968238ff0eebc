"""Pages of a PDF as a reader sees them: where its words stand, and how much of a page is printed on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pypdfium2
import pytest

OFFICE = shutil.which("soffice")
needs_office = pytest.mark.skipif(
    OFFICE is None, reason="LibreOffice Impress is not installed here, so slides are not rendered"
)


class Line(NamedTuple):
    """Words on a page, and the shares of its width and height between which they stand."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


class Page(NamedTuple):
    """One page: its lines, its whole text, and the share of its surface that is not white."""

    lines: list[Line]
    text: str
    inked: float


def pages_of(pdf: bytes) -> list[Page]:
    """The pages of a PDF."""
    document = pypdfium2.PdfDocument(pdf)
    found = []
    for page in document:
        width, height = page.get_size()
        text = page.get_textpage()
        boxes = [text.get_rect(i) for i in range(text.count_rects())]
        lines = [
            Line(
                text.get_text_bounded(*box),
                box[0] / width,
                1 - box[3] / height,
                box[2] / width,
                1 - box[1] / height,
            )
            for box in boxes
        ]
        inked = float((np.asarray(page.render(scale=0.5).to_pil().convert("L")) < 250).mean())
        found.append(Page(lines, " ".join(text.get_text_range().split()), inked))
    return found


def rendered(decks: Sequence[bytes], scratch: Path) -> list[list[Page]]:
    """The slides of decks as LibreOffice shows them."""
    assert OFFICE
    paths = [scratch / f"deck-{i}.pptx" for i in range(len(decks))]
    for path, deck in zip(paths, decks, strict=True):
        path.write_bytes(deck)
    profile = f"-env:UserInstallation={(scratch / 'profile').as_uri()}"
    command = [OFFICE, profile, "--headless", "--convert-to", "pdf", "--outdir", str(scratch)]
    subprocess.run([*command, *map(str, paths)], check=True, capture_output=True, timeout=300)
    return [pages_of(path.with_suffix(".pdf").read_bytes()) for path in paths]
