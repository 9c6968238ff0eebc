"""What commands print, read and write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import typer

from capsafe_core.errors import CapsafeError
from capsafe_core.store.export import each_text, guarded_csv
from capsafe_core.text import visible
from capsafe_core.writing import whole

PROBLEMS = 40
"""sentences about what was set aside that are printed"""


def say(text: object, err: bool = False, nl: bool = True) -> None:
    """The one place that prints: what would steer a terminal, or cannot be seen on one, is written out."""
    typer.echo(visible(str(text)), err=err, nl=nl)


def show_table(
    frame: pd.DataFrame, as_json: bool = False, as_csv: bool = False, as_latex: bool = False
) -> None:
    """A table as text, JSON records, CSV that no spreadsheet takes for formulas, or LaTeX."""
    if as_json:
        say(frame.to_json(orient="records", indent=1))
    elif as_csv:
        say(guarded_csv(frame).replace("\r\n", "\n"), nl=False)
    elif as_latex:
        say(latex_table(frame), nl=False)
    else:
        say(frame.to_string(index=False, max_colwidth=40) if len(frame) else "nothing")


def latex_table(frame: pd.DataFrame) -> str:
    """A table in LaTeX (booktabs) in which every text is text, and of one line."""
    lines = each_text(
        frame, lambda value: " ".join(visible(value).split()) if isinstance(value, str) else value
    )
    return str(lines.to_latex(index=False, float_format="%.3g", escape=True, na_rep="--"))


def tell(problems: Sequence[CapsafeError | str]) -> None:
    """What was set aside while the rest went on."""
    for problem in problems[:PROBLEMS]:
        say(str(problem), err=True)
    if len(problems) > PROBLEMS:
        say(f"and {len(problems) - PROBLEMS} more", err=True)


def read_text(path: Path) -> str:
    """The text of a file that the user names.

    Raises:
        CapsafeError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CapsafeError(f"{path} cannot be read: {error}.", "Give a UTF-8 text file.") from error


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that the user names.

    Raises:
        CapsafeError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CapsafeError(f"{path} cannot be read: {error}.", "Give another file.") from error


def write_file(path: Path, data: bytes) -> None:
    """Write a file that the user names.

    Raises:
        CapsafeError: it cannot be written.
    """
    with whole(path) as new:
        new.write_bytes(data)
