"""What a notebook shows of a store is text, whatever the store holds and wherever it came from."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import capsafe_core
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.jobs.foreign import mark_foreign
from capsafe_core.records import (
    BenchmarkRecord,
    Checkpoint,
    Condition,
    Generation,
    Judgment,
    PathPoint,
    Prompt,
    Rater,
)
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all
from capsafe_core.workspace.notebook import Frame

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    r"$\\href{javascript:alert(1)}{x}$",
    "\x1b]8;;https://example.org\x07click\x1b]8;;\x07",
    "\x1b[2Jgone",
    "a\u202egnp.exe",
    '=HYPERLINK("https://example.org")',
    "../../etc/passwd",
    "x" * 1_000_000,
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose every name is hostile, of a bundle that nobody has adopted."""
    home = tmp_path_factory.mktemp("from elsewhere")
    for number, text in enumerate(HOSTILE):
        bench = BenchmarkRecord(text, "1", "safety", f"d{number}", 1)
        prompt = Prompt(bench.id, text, 0, ({"role": "user", "content": text},), category=text)
        point = Checkpoint(text, text, ())
        condition = Condition(text, "t", 0, 0.0, 1.0, 64, "transformers", "1", "bfloat16")
        judge = Rater(text, "judge", text, ("safety",), "1")
        output = Generation(point.id, bench.id, condition.id, prompt.id, 0, 0, text, "stop", 1)
        verdict = Judgment(output.id, output.cell_id, judge.id, "safety", "ok", "unsafe", native=text)
        place = PathPoint(text, text, 0, 0, point.id, text, text, 0.1)
        job = create_job(home / "jobs", Manifest("import", f"job-{number}", {}))
        with Part(job) as part:
            part.write("x", [bench, prompt, point, condition, judge, output, verdict, place])
        mark_foreign(job.folder, "gift.zip", ["s"])
    with Store(home / "store.duckdb") as made:
        ingest_all(made, home / "jobs")
    return home / "store.duckdb"


def test_frames_show_hostile_texts_as_texts(store: Path) -> None:
    with capsafe_core.open(store) as reader:
        frames = [reader.outputs(), reader.judgments(), reader.measurements(), reader.labels()]
        assert len(frames[0]) >= len(HOSTILE) - 1, (
            "a name that is too long may be set aside, the rest is there"
        )
        for frame in [
            *frames,
            frames[0][["prompt", "answer"]],
            frames[1].head(3),
            frames[0].set_index("prompt"),
        ]:
            with pd.option_context("display.max_colwidth", 2000, "display.max_columns", None):
                html, plain = frame._repr_html_() or "", repr(frame)
            assert "<script" not in html
            assert "<img" not in html
            assert frame.empty or "tex2jax_ignore" in html
            for shown in (html, plain):
                assert not {"\x1b", "\u202e", "\x07"} & set(shown)
            assert isinstance(frame, Frame)
        assert pd.get_option("display.html.use_mathjax"), "other frames of the notebook are left as they are"


def test_what_is_no_store_is_said(tmp_path: Path, store: Path) -> None:
    (tmp_path / "text.duckdb").write_text("<script>")
    link = tmp_path / "link.duckdb"
    link.symlink_to("/dev/zero")
    for path in (tmp_path / "text.duckdb", link, tmp_path):
        with pytest.raises(CapsafeError):
            capsafe_core.open(path)
    with capsafe_core.open(store) as reader, pytest.raises(CapsafeError):
        reader.table("<script>")
