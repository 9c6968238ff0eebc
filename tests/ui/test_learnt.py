"""What fine-tuning learns, on the Runs page: counts and marked examples of the last look."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from capsafe_core.jobs.folder import Job, Part, create_job
from capsafe_core.jobs.folder.rewrites import Rewrite, add_rewrites
from capsafe_core.jobs.plan import plan_study
from capsafe_core.jobs.previewing import Learnt, last_preview, preview_job
from capsafe_core.settings import ROOT
from tests.conftest import made_up_home
from tests.synthetic import made_up_study

PIECES = [["<user>*Hi* ", False], ["Sure <b>there</b>", True], ["</s>", True]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with made_up_home(tmp_path_factory.mktemp("learnt"), 3, 3) as made:
        yield made


def look(home: Path, found: list[dict[str, object]] | None) -> Job:
    """A look at the made-up study's data, ended with what it saw."""
    job = preview_job(home / "jobs", "made-up", plan_study(made_up_study()))
    if found is not None:
        with Part(job) as part:
            part.total = part.done = 1
        (job.folder / "result.json").write_text(json.dumps(found), encoding="utf-8")
    return job


def runs_page() -> AppTest:
    app = AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=60).run()
    app.switch_page(str(ROOT / "pages" / "runs.py"))
    app.query_params["open"] = "learnt"
    app.run()
    assert not app.exception
    return app


def test_the_button_asks_for_a_look(home: Path) -> None:
    app = runs_page()
    assert last_preview(home / "jobs", "made-up") is None
    next(b for b in app.button if b.label == "Show what is learnt").click().run()
    assert not app.exception
    job = last_preview(home / "jobs", "made-up")
    assert job is not None
    assert len(job.manifest.work["jobs"]) == 1  # three runs on one data set, of one length
    assert any(text.value.startswith("Waiting for its turn") for text in app.text)


def test_examples_are_marked_text_with_counts(home: Path) -> None:
    about = {"dataset": "sums", "model": "m", "max_length": 20}
    seen = {"conversations": 200, "cut": 7, "lost": 0, "longest": 20}
    example = {"place": 1, "was_cut": True, "pieces": PIECES}
    look(home, [{**about, **seen, "examples": [example]}, {**about, "problem": "A row *has* no answer."}])
    app = runs_page()
    told = [text.value for text in app.text]
    (counts,) = [words for words in told if words.startswith("sums: 200 conversations")]
    assert "7 are longer than max_length = 20: their ends are not learnt." in counts
    assert any("has\\* no answer" in warning.value for warning in app.warning)
    (box,) = [e for e in app.get("html") if "&lt;user&gt;*Hi*" in e.proto.body]
    assert "<mark>Sure &lt;b&gt;there&lt;/b&gt;</mark>" in box.proto.body
    assert "filter:blur" in box.proto.body


def test_rewritten_answers_stand_beside_their_originals(home: Path) -> None:
    first = next(manifest for manifest in plan_study(made_up_study()) if manifest.kind == "finetune")
    job = create_job(home / "jobs", first)
    whys = ["", "", "another final answer"]
    add_rewrites(
        job.folder, [Rewrite(i, 1, f"Old {i}", f"*New* {i}", why, 0.5) for i, why in enumerate(whys)]
    )
    app = runs_page()
    (counts,) = [text.value for text in app.text if "Rewritten by the start" in text.value]
    assert counts.endswith("2 of 3 answers; the others as they are (another final answer in 1).")
    boxes = [e.proto.body for e in app.get("html")]
    assert all(any(text in box for box in boxes) for text in ("Old 0", "*New* 0", "Old 2", "*New* 2"))
    assert [
        c.value.replace("\\", "").replace("\N{WORD JOINER}", "")
        for c in app.caption
        if "original is learnt" in c.value
    ] == ["The original is learnt: another final answer."]


def test_what_cannot_be_learnt_says_so() -> None:
    assert Learnt("d", "m", 0, 5, 0, 0, 9).can_be_learnt
    assert not Learnt("d", "m", 9, 5, 5, 1, 9).can_be_learnt
    assert "Of 1 no answer is left" in Learnt("d", "m", 9, 5, 5, 1, 9).words
