"""The import job: logs into records, one commit for each file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from capsafe_core.errors import CapsafeError
from capsafe_core.importers.conflicts import answer_digest
from capsafe_core.importers.find import Source as LogSource
from capsafe_core.importers.find import read_source
from capsafe_core.importers.items import ItemNames, Items
from capsafe_core.importers.log import Problems
from capsafe_core.importers.records import Converter
from capsafe_core.jobs.folder import Part
from capsafe_core.jobs.folder.work import ImportWork, Source
from capsafe_core.jobs.importing import read_head, unit_of
from capsafe_core.mapping import parse_mapping
from capsafe_core.records import Generation, Record, Rows, digest_files

UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    RecursionError,
    OverflowError,
)
"""what reading a file that nobody's tool wrote may raise"""


def work(part: Part) -> None:
    """Import every file that is not imported yet; one that cannot be used is a listed failure, and nothing of
    it is kept."""
    asked = part.job.manifest.asks(ImportWork)
    mapping = parse_mapping(asked.mapping)
    head = read_head(part.job)
    if head is None:
        raise CapsafeError("The head.json of this import is gone.", "Import these logs again.")
    items: Items = {
        b: {item: (place, digest) for place, (item, digest) in enumerate(rows)}
        for b, rows in head["items"].items()
    }
    known = {content: [(g, c) for g, c in found] for content, found in head["known"].items()}
    answers = (
        {r.id: answer_digest(r.text) for r in part.job.part_records(part.index) if isinstance(r, Generation)}
        if part.done_units
        else {}
    )
    names: dict[str, ItemNames] = {}
    part.total = part.done + sum(s.outputs for s in asked.sources if unit_of(s) not in part.done_units)
    for source in asked.sources:
        if part.should_stop:
            return
        unit = unit_of(source)
        if unit in part.done_units:
            continue
        before = part.done
        try:
            outputs = _Counted()
            converter = Converter(
                mapping,
                items,
                known,
                head["recipes"],
                frozenset(head["starts"]),
                part.job.manifest.created,
                answers,
                head["withheld"],
                names,
            )
            part.write(
                unit,
                outputs.of(
                    _records(source, [Path(p) for p in head["paths"][unit]], mapping.columns, converter)
                ),
            )
            part.done = min(before + outputs.count, part.total)
        except CapsafeError as error:
            part.error(unit, str(error))
        except UNREADABLE as error:
            part.error(
                unit,
                f"{source.relative} is not as {source.tool} writes it ({type(error).__name__}: "
                f"{str(error)[:100]}).",
            )
    part.done = part.total


class _Counted:
    """Counts the outputs among records that go by."""

    def __init__(self) -> None:
        self.count = 0

    def of(self, records: Iterator[Record | Rows]) -> Iterator[Record | Rows]:
        for record in records:
            self.count += len(record.ids) if isinstance(record, Rows) and record.type == "generation" else 0
            yield record


def _records(
    source: Source, paths: list[Path], columns: dict[str, str], converter: Converter
) -> Iterator[Record | Rows]:
    """The records of one file.

    Raises:
        CapsafeError: it changed since it was surveyed, or cannot be used.
    """
    if not all(p.is_file() for p in paths) or digest_files(*paths) != source.digest:
        raise CapsafeError(
            f"{source.relative} is gone or has changed since it was looked at.", "Import it again."
        )
    for log in read_source(LogSource(source.tool, tuple(paths), source.relative), columns, Problems()):
        yield from converter.records(log, source.relative, source.digest)
