"""Damaged logs, 600 of them in the gate and 10,000 with `make fuzz`: each is read, or refused with a
sentence; nothing hangs, nothing grows without bound, nothing is half imported."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from capsafe_core.errors import CapsafeError
from capsafe_core.importers import Problems, find_sources, read_source
from capsafe_core.importers.records import Converter
from capsafe_core.importers.survey import Surveyor
from capsafe_core.jobs.folder import Manifest, Part, committed_blocks, create_job
from capsafe_core.mapping import parse_mapping
from capsafe_core.work.import_logs import UNREADABLE
from tests.logs import FORMS, write_forms

FILES = int(os.environ.get("CAPSAFE_FUZZ_FILES", "600"))
WORDS = [
    b"null",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"true",
    b"{}",
    b"[]",
    b'""',
    b'"\\ud800"',
    b"[[[[",
    b"\0",
    b"\xff\xfe",
    b"=1+1",
    b"9" * 400,
    b'{"value": {"a": {"b": []}}}',
    "\u202e".encode(),
]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A file with one to four things wrong with it."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out)) if out else 0
        match rng.randrange(8):
            case 0:
                out = out[:at]  # cut off
            case 1:
                out[at : at + rng.randint(1, 60)] = b""  # a hole
            case 2:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 3:
                out[at:at] = out[at : at + rng.randint(1, 400)]  # doubled
            case 4:
                out[at:at] = rng.choice(WORDS)
            case 5:  # another value where one stands
                colon = out.find(b":", at)
                end = min((e for e in (out.find(b",", colon), out.find(b"}", colon)) if e > 0), default=-1)
                if 0 < colon < end:
                    out[colon + 1 : end] = rng.choice(WORDS)
            case 6:
                out[at : at + 8] = rng.randbytes(8)
            case _:  # two places change places
                other = rng.randrange(len(out)) if out else 0
                out[at : at + 16], out[other : other + 16] = out[other : other + 16], out[at : at + 16]
    return bytes(out)


@pytest.mark.parametrize("form", FORMS)
def test_mutated_files(tmp_path: Path, form: str) -> None:
    write_forms(tmp_path / "whole")
    originals = [p for p in (tmp_path / "whole" / form).rglob("*") if p.is_file()]
    rng = random.Random(form)
    seen: Counter[str] = Counter()
    shutil.copytree(tmp_path / "whole" / form, tmp_path / "one")
    assert outcome(tmp_path / "one") == "read"
    shutil.rmtree(tmp_path / "one")
    before, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
    for _ in range(FILES // len(FORMS) + 1):
        folder = tmp_path / "one"
        shutil.copytree(tmp_path / "whole" / form, folder)
        victim = rng.choice(originals)
        (folder / victim.relative_to(tmp_path / "whole" / form)).write_bytes(
            mutated(victim.read_bytes(), rng)
        )
        began = time.perf_counter()
        seen[outcome(folder)] += 1
        slowest = max(slowest, time.perf_counter() - began)
        shutil.rmtree(folder)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    print(f"{form}: {dict(seen)}; slowest {1000 * slowest:.0f} ms; memory grew by {grown} MB")
    assert sum(seen.values()) >= FILES // len(FORMS)
    assert seen["refused in a sentence"] > 0
    assert grown < 500
    assert slowest < 60  # nothing hangs; how fast it is stands in the bench


def fail(problem: CapsafeError) -> None:
    raise problem


def outcome(folder: Path) -> str:
    """What comes of a folder, in the survey and in the import."""
    surveyor = Surveyor([folder], None, "mutated")
    surveyor.look(lambda *_: True)
    result = surveyor.result()
    json.dumps(result, allow_nan=False)  # a page shows it
    mapping = parse_mapping(result["mapping"])
    problems = [p for file in result["files"] for p in file["problems"]] + result["left_out"]
    assert all(p and p[-1] in ".!?" for p in problems), problems
    job = create_job(folder.parent / "jobs", Manifest("import", "mutated", {}))
    failed = 0
    with Part(job) as part:
        for i, source in enumerate(find_sources([folder])[0]):
            converter = Converter(mapping, surveyor.items, {}, [], (), 1.0, {})
            try:
                part.write(
                    f"file {i}",
                    (
                        r
                        for log in read_source(source, {}, Problems())
                        for r in converter.records(log, source.relative)
                    ),
                )
            except (CapsafeError, *UNREADABLE):
                failed += 1
    blocks = list(committed_blocks(job.path(0, "shard.jsonl")))
    assert all(record.id for record in job.records())
    for block in blocks:  # each can be read to its end; a file without rows leaves an empty one
        list(block.records(fail))
    assert (
        len(blocks) == len(find_sources([folder])[0]) - failed
    )  # a file is whole, or nothing of it is there
    shutil.rmtree(folder.parent / "jobs")
    return "refused in a sentence" if problems or failed else "read"
