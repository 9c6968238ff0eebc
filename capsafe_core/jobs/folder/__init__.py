"""The job folder: the contract between those who ask for work, those who do it and those who read it.

    manifest.json            what to do (kind, settings, parts, the jobs it comes after)
    part-000.shard.jsonl     records in committed blocks; the truth
    part-000.errors.jsonl    records that failed, one line each
    part-000.status.json     progress, replaced atomically
    part-000.log             what the worker printed
    part-000.lock            held by the worker
    part-000.damaged         what stood after the last closing line and was not an unfinished block
    retractions.jsonl        when all of it was taken out of every number, or put back
    stop                     exists when a graceful end is asked for

A block is the records of one unit of work (a batch) and a closing line {"type": "commit", "unit": ...,
"digest": ...}; engines that batch by themselves close several units at once, and "units" names them. The
digest is of the block's bytes.
Whatever stands after the last closing line is unfinished: the worker cuts it and repeats that unit,
and no reader reads past it. So a kill at any moment loses and doubles nothing.

What cannot be read is set aside with a sentence, and the rest is read: a folder, a line, a record.
"""

from capsafe_core.jobs.folder.blocks import COMMIT, Block, committed_blocks
from capsafe_core.jobs.folder.failures import LONGEST_MESSAGE, Failure, failures_in
from capsafe_core.jobs.folder.files import append_line, open_regular, read_lines, read_small, replace_file
from capsafe_core.jobs.folder.job import Job, create_job, folder_beside, list_jobs, open_job, read_jobs
from capsafe_core.jobs.folder.manifest import Manifest
from capsafe_core.jobs.folder.part import HEARTBEAT, Part
from capsafe_core.jobs.folder.retractions import (
    RETRACTIONS,
    Retraction,
    note_retraction,
    retractions_in,
    retractions_of,
    unread_retractions,
)
from capsafe_core.jobs.folder.shard import DAMAGED, Shard
from capsafe_core.jobs.folder.status import STATES, Status, read_status

__all__ = [
    "COMMIT",
    "DAMAGED",
    "HEARTBEAT",
    "LONGEST_MESSAGE",
    "RETRACTIONS",
    "STATES",
    "Block",
    "Failure",
    "Job",
    "Manifest",
    "Part",
    "Retraction",
    "Shard",
    "Status",
    "append_line",
    "committed_blocks",
    "create_job",
    "failures_in",
    "folder_beside",
    "list_jobs",
    "note_retraction",
    "open_job",
    "open_regular",
    "read_jobs",
    "read_lines",
    "read_small",
    "read_status",
    "replace_file",
    "retractions_in",
    "retractions_of",
    "unread_retractions",
]
