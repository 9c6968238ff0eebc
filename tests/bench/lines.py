"""How long a shard line takes to become a record, beside plain JSON made into a dataclass that checks
nothing."""

from __future__ import annotations

import gzip
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

from capsafe_core.jobs.folder import committed_blocks
from capsafe_core.records import TYPES
from capsafe_core.settings import ROOT

RUNS = 9


def lines() -> list[dict[str, Any]]:
    """The figure: microseconds a line of the shipped study, the median of some runs, each beside its
    peer's."""
    kinds = {
        name: make_dataclass(name, [(f, Any, None) for f in kind.__struct_fields__], frozen=True)
        for name, kind in TYPES.items()
    }

    def ours(shard: Path) -> int:
        return sum(1 for block in committed_blocks(shard) for _ in block.records(_raise))

    def theirs(shard: Path) -> int:
        count = 0
        with shard.open("rb") as stream:
            for raw in stream:
                values = json.loads(raw)
                kind = kinds.get(values["type"])
                if kind:
                    kind(
                        **{
                            k: tuple(v) if type(v) is list else v
                            for k, v in values.items()
                            if k not in ("v", "type")
                        }
                    )
                    count += 1
        return count

    with tempfile.TemporaryDirectory() as folder:
        shard = Path(folder) / "part-000.shard.jsonl"
        packed = sorted((ROOT / "data" / "demo" / "jobs").glob("*/*.shard.jsonl.gz"))[::4]
        shard.write_bytes(b"".join(gzip.decompress(path.read_bytes()) for path in packed))
        pairs = [(_each(ours, shard), _each(theirs, shard)) for _ in range(RUNS)]
    mine, other = (statistics.median(times) for times in zip(*pairs, strict=True))
    return [
        {
            "name": "reading and checking a line of a shard",
            "value": round(mine, 2),
            "unit": "µs",
            "peer": "json and a dataclass, unchecked",
            "peer_value": round(other, 2),
            "ratio": round(mine / other, 3),
        }
    ]


def _each(read: Callable[[Path], int], shard: Path) -> float:
    """Microseconds a line."""
    began = time.perf_counter()
    count = read(shard)
    return (time.perf_counter() - began) / count * 1e6


def _raise(problem: Exception) -> None:
    raise problem


if __name__ == "__main__":
    print(*lines())
