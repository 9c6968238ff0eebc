"""CSV of anybody: its encoding, what stands between its cells, its header and its rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from capsafe_core.errors import CapsafeError
from capsafe_core.importers.bounded import HEAD, LIMITS, head_of, plain_suffix, read_whole
from capsafe_core.importers.log import Problems

_SPOKEN = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas"}
BYTE_ORDER = (b"\xff\xfe", b"\xfe\xff")
"""marks with which UTF-16 begins"""
_RUN = re.compile(rb"[\x80-\xff]{4}")
"""letters outside ASCII in a row, as other scripts have them"""
_SEP = re.compile(r"\ufeff?\"?sep=.\"?\r?\n", re.IGNORECASE)
"""the line with which Excel says its separator"""


def text_of(data: bytes, name: str) -> tuple[str, str]:
    """A file's text, and its encoding where that is not UTF-8: by its mark, else as it is detected.

    Raises:
        CapsafeError: it is not a text in any encoding.
    """
    if data.startswith(BYTE_ORDER):
        with suppress(UnicodeDecodeError):
            return data.decode("utf-16"), "utf-16"
    try:
        return data.decode("utf-8-sig"), ""
    except UnicodeDecodeError as error:
        found = None if b"\0" in data else _detected(data)
        if found is None:
            raise CapsafeError(
                f"{name} is not UTF-8 text (byte {error.start}), and no other encoding fits.",
                "Save it as UTF-8.",
            ) from error
        return found


def _detected(data: bytes) -> tuple[str, str] | None:
    """By charset-normalizer; Windows' western code page where letters outside ASCII stand one by one, as in
    western languages: several code pages fit those equally well."""
    from charset_normalizer import from_bytes

    best = from_bytes(data[: 1 << 20]).best()
    names = [best.encoding] if best else []
    for encoding in [*names, "cp1252"] if _RUN.search(data) else ["cp1252", *names]:
        try:
            return data.decode(encoding), encoding
        except (UnicodeDecodeError, LookupError):
            continue
    return None


def delimiter_of(text: str, ending: str) -> str:
    """What stands between the cells of a table: a tab in .tsv and a comma in .csv, or what splits the first
    line where that does not."""
    usual = "\t" if ending == ".tsv" else ","
    line = text.lstrip("\ufeff").split("\n", 1)[0]

    def cells(delimiter: str) -> int:
        try:
            return len(next(csv.reader([line], delimiter=delimiter), []))
        except csv.Error:
            return 0

    counts = {d: cells(d) for d in (usual, ";", "\t", "|", ",")}
    best = max(counts, key=lambda d: counts[d])
    return usual if counts[usual] > 1 else best


def _without_sep(text: str) -> str:
    found = _SEP.match(text)
    return text[found.end() :] if found else text


def csv_header(path: Path) -> list[str]:
    """The names of a table's columns, by the file's beginning; empty where its first line is not a CSV.

    Raises:
        CapsafeError: it is not a text in any encoding.
        OSError: it cannot be read.
    """
    head = head_of(path, HEAD)
    # a head may end within a character
    whole = head if len(head) < HEAD or head[:2] in BYTE_ORDER else head[: head.rfind(b"\n") + 1]
    text = _without_sep(text_of(whole, path.name)[0])
    try:
        return next(
            csv.reader(text.splitlines()[:1], delimiter=delimiter_of(text, plain_suffix(path)[1])), []
        )
    except csv.Error:
        return []


def csv_rows(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV or TSV file, each with its number; a row with more or fewer cells than columns is a
    problem.

    Raises:
        CapsafeError: the file cannot be read, is not a text, or has no header.
    """
    csv.field_size_limit(LIMITS.line)
    text, encoding = text_of(read_whole(path), path.name)
    if "\0" in text:
        raise CapsafeError(
            f"{path.name} holds NUL bytes, which no text table does.", "It may be damaged; get it again."
        )
    text = _without_sep(text)
    ending = plain_suffix(path)[1]
    delimiter = delimiter_of(text, ending)
    if encoding:
        problems.note(
            f"{path.name} is not UTF-8 text; it was read as {encoding}. "
            "Where letters look wrong, save it as UTF-8."
        )
    if delimiter != ("\t" if ending == ".tsv" else ","):
        problems.note(f"The cells of {path.name} are separated by {_SPOKEN[delimiter]}.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = _csv_lines(reader, path, problems)
    header = next(rows, None)
    if not header or len(set(header)) < len(header) or sum(not name.strip() for name in header) > 1:
        raise CapsafeError(
            f"{path.name} has no header in which every column has a name of its own.",
            "Put the columns' names into the first line.",
        )
    for number, cells in enumerate(rows, 1):
        if cells and len(cells) != len(header):
            problems.add(
                f"Row {number} of {path.name} has {len(cells)} cells, and there are {len(header)} columns."
            )
        elif cells:
            if delimiter == "\t" and any("\t" in cell and "\n" in cell for cell in cells):
                problems.add(
                    f"Row {number} of {path.name} has a cell of several lines with tabs in it: where a "
                    "quotation mark begins a cell and does not end there, the rows below are lost in it."
                )
            yield number, dict(zip(header, cells, strict=True))


def _csv_lines(reader: Any, path: Path, problems: Problems) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        problems.add(f"{path.name} is not a CSV from line {reader.line_num} on: {error}.")
