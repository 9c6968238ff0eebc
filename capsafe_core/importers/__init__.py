"""Other tools' files: found, read and turned into records.

A reader takes the files of one log and yields `Log`s; it never guesses what a number means. What the files
cannot know (which checkpoint, what a judge's number says) is a `mapping.Mapping`, and `importers.records`
applies it.
"""

from __future__ import annotations

from capsafe_core.importers.find import Source, find_sources, read_source
from capsafe_core.importers.log import Limits, Log, Problems, Row, Said

__all__ = ["Limits", "Log", "Problems", "Row", "Said", "Source", "find_sources", "read_source"]
