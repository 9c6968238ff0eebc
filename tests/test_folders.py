"""Folders that somebody named: links and special files in them lead nowhere."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsafe_core.folders import regular_files
from capsafe_core.importers import Problems, find_sources, read_source

SECRET = "root:x:0:0:planted-secret"


def table(path: Path, answer: str = "fine") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"model": "m", "prompt": "p", "response": answer}) + "\n")


def answers(*roots: Path) -> list[str]:
    found, _ = find_sources(roots)
    return [
        row.answer or ""
        for source in found
        for log in read_source(source, {}, Problems())
        for row in log.rows
    ]


def test_links_out_of_an_imported_folder_are_not_followed(tmp_path: Path) -> None:
    table(tmp_path / "secret" / "s.jsonl", SECRET)
    logs = tmp_path / "logs"
    table(logs / "a" / "own.jsonl")
    (logs / "passwd.csv").symlink_to("/etc/passwd")
    (logs / "up.jsonl").symlink_to("../secret/s.jsonl")
    (logs / "folder").symlink_to(tmp_path / "secret", target_is_directory=True)
    (logs / "chain.jsonl").symlink_to("up.jsonl")
    (logs / "around").symlink_to(logs, target_is_directory=True)
    (logs / "loop.jsonl").symlink_to("loop.jsonl")
    (logs / "gone.jsonl").symlink_to("nothing.jsonl")
    (logs / "a" / "back.jsonl").symlink_to("../../logs/a/own.jsonl")
    assert answers(logs) == ["fine", "fine"], "the file, and the link to it that stays inside"
    _, left_out = find_sources([logs])
    assert left_out == [
        "7 left out: symbolic links that lead out of the folder, to another folder or nowhere."
    ]
    (tmp_path / "named").symlink_to(logs, target_is_directory=True)
    assert answers(tmp_path / "named") == ["fine", "fine"], "a link that somebody named is followed"


def test_a_helm_run_takes_no_neighbour_that_is_a_link(tmp_path: Path) -> None:
    run = tmp_path / "run"
    table(run / "scenario_state.json")
    (tmp_path / "stats.json").write_text("[]")
    (run / "stats.json").symlink_to("../stats.json")
    (source,) = find_sources([run])[0]
    assert [path.name for path in source.paths] == ["scenario_state.json"]


def test_special_files_are_not_opened(tmp_path: Path) -> None:
    """Opening a pipe that nobody writes to waits for ever."""
    table(tmp_path / "own.jsonl")
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "link.jsonl").symlink_to("pipe.jsonl")
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as made:
        made.bind(f"{short}/s.jsonl")
        os.rename(f"{short}/s.jsonl", tmp_path / "socket.jsonl")
        (tmp_path / "zero.csv").symlink_to("/dev/zero")
        found = regular_files(tmp_path)
    assert [path.name for path in found.paths] == ["own.jsonl"]
    assert found.left_out == {"special": 2, "outside": 2}
    sources, left_out = find_sources([tmp_path / "pipe.jsonl"])
    assert not sources
    assert left_out == ["pipe.jsonl is neither a file nor a folder."]


def test_a_name_that_is_not_utf8_is_left_out_with_a_sentence(tmp_path: Path) -> None:
    table(tmp_path / "own.jsonl")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.jsonl")).write_text("{}")
    found, left_out = find_sources([tmp_path])
    assert [source.relative for source in found] == ["own.jsonl"]
    assert left_out == ["1 left out: files whose names are not UTF-8."]


NAMES = st.sampled_from(["a", "b", "c/d", "c/e", "f/g/h"])
TARGETS = st.sampled_from(
    [
        "a",
        "b",
        "c",
        "c/d",
        ".",
        "..",
        "../out",
        "../out/secret",
        "/etc/passwd",
        "/",
        "c/../..",
        "f/g",
        "../../in/b",
        "/proc/self/root/etc/passwd",
        "nothing",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, st.one_of(st.none(), TARGETS), min_size=1))
def test_whatever_the_links_nothing_outside_is_read(made: dict[str, str | None]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        inside, out = Path(scratch) / "in", Path(scratch) / "out"
        out.mkdir()
        (out / "secret").write_text(SECRET)
        inside.mkdir()
        for name, target in made.items():
            path = inside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if target is None:
                path.write_text("own")
            else:
                path.symlink_to(target)
        found = regular_files(inside)
        assert {path.read_text() for path in found.paths} <= {"own"}
        assert {inside / name for name, target in made.items() if target is None} <= set(found.paths)


@pytest.mark.parametrize("link", [False, True])
def test_a_models_snapshot_in_the_hubs_cache_is_whole(tmp_path: Path, link: bool) -> None:
    """There every file is a link to a blob beside the snapshots."""
    blob, snapshot = (
        tmp_path / "models--a--b" / "blobs" / "1234",
        tmp_path / "models--a--b" / "snapshots" / "rev",
    )
    blob.parent.mkdir(parents=True)
    blob.write_text("weights")
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to("../../blobs/1234")
    (snapshot / "out.json").symlink_to("/etc/passwd")
    if link:
        (tmp_path / "named").symlink_to(snapshot)
        snapshot = tmp_path / "named"
    assert [path.name for path in regular_files(snapshot).paths] == ["model.safetensors"]
