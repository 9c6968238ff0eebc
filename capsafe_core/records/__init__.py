"""The facts: what a shard line holds, and how each fact gets its id.

A record is a frozen struct of plain JSON values. Its id is made by whoever writes it, from what identifies
it, so the same fact written twice is the same fact.
"""

from capsafe_core.records.fact import ACTIONS, DIMENSIONS, KINDS, LABELS, STATUSES, UNKNOWN_KIND, Fact
from capsafe_core.records.ids import (
    FORMAT,
    canonical_json,
    digest_files,
    digest_text,
    generation_key,
    identify,
    judgment_key,
)
from capsafe_core.records.lines import (
    LONGEST_LINE,
    TYPES,
    Aside,
    Record,
    Rows,
    as_written,
    check_record,
    check_records,
    from_dict,
    parse_line,
    records_in,
    times_of,
    to_line,
)
from capsafe_core.records.outputs import (
    Attack,
    BenchmarkRecord,
    Checkpoint,
    Condition,
    Generation,
    PathPoint,
    Prompt,
    StudyRecord,
)
from capsafe_core.records.queues import GuidelinesRecord, Practice, QueueFrame, QueueItem, QueueRecord
from capsafe_core.records.remarks import REMARKS, Remark, SavedView
from capsafe_core.records.verdicts import Judgment, LabelEvent, Measurement, Rater, StressVerdict

__all__ = [
    "ACTIONS",
    "DIMENSIONS",
    "FORMAT",
    "KINDS",
    "LABELS",
    "LONGEST_LINE",
    "REMARKS",
    "STATUSES",
    "TYPES",
    "UNKNOWN_KIND",
    "Aside",
    "Attack",
    "BenchmarkRecord",
    "Checkpoint",
    "Condition",
    "Fact",
    "Generation",
    "GuidelinesRecord",
    "Judgment",
    "LabelEvent",
    "Measurement",
    "PathPoint",
    "Practice",
    "Prompt",
    "QueueFrame",
    "QueueItem",
    "QueueRecord",
    "Rater",
    "Record",
    "Remark",
    "Rows",
    "SavedView",
    "StressVerdict",
    "StudyRecord",
    "as_written",
    "canonical_json",
    "check_record",
    "check_records",
    "digest_files",
    "digest_text",
    "from_dict",
    "generation_key",
    "identify",
    "judgment_key",
    "parse_line",
    "records_in",
    "times_of",
    "to_line",
]
