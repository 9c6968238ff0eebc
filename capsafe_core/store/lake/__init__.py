"""An archive that several people share: job folders in a DuckLake, its catalogue on PostgreSQL, its Parquet
files in a folder or on S3.

Rows are only ever added. Each is of an owner, under whose name somebody pushes:

    capsafe.shards   a shard as it was at a push: how many bytes, and their digest
    capsafe.lines    the lines of shards, each with the byte at which it starts
    capsafe.files    the other files of job folders, each version whole
    capsafe.about    the format of all this

DuckLake is an extension of DuckDB that its 2.x line does not have yet, so this runs where the extra `lake` is
installed, on the line that it pins.
"""

from capsafe_core.store.lake.address import Address, parse_address
from capsafe_core.store.lake.amounts import amount
from capsafe_core.store.lake.connection import Lake, create_lake, open_lake
from capsafe_core.store.lake.pull import Pulled, pull_jobs
from capsafe_core.store.lake.push import Pushed, owners_table, push_jobs

__all__ = [
    "Address",
    "Lake",
    "Pulled",
    "Pushed",
    "amount",
    "create_lake",
    "open_lake",
    "owners_table",
    "parse_address",
    "pull_jobs",
    "push_jobs",
]
