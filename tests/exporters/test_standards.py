"""What other tools read of an export: Every Eval Ever's judges, intervals and policies, and Croissant."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capsafe_core import catalogue
from capsafe_core.analysis.rates import every_rate, has_wilson
from capsafe_core.analysis.view import View, open_view
from capsafe_core.exporters.every_eval_ever import BOOTSTRAP, WILSON, every_eval_ever_into
from capsafe_core.jobs.croissant import CONFORMS_TO
from capsafe_core.jobs.folder import Manifest, Part, create_job
from capsafe_core.jobs.packing import pack_bundle, unpack_bundle
from capsafe_core.records import Judgment, Rater
from capsafe_core.selection import Selection
from capsafe_core.stats.intervals import wilson
from capsafe_core.store import Store
from capsafe_core.store.export import jobs_of
from capsafe_core.store.ingest import ingest_all
from capsafe_core.store.studies import study_texts
from capsafe_core.study import JudgeSettings
from tests.exporters.test_export import SHARED
from tests.synthetic import write_study

MODEL_JUDGE = "jailbreakbench"
RATER = Rater(MODEL_JUDGE, "judge", "LLM rubric", ("safety",), "1")


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    """The made-up study, some answers of which a language model has judged too."""
    jobs = tmp_path_factory.mktemp("standards") / "jobs"
    write_study(jobs, safety_size=12, capability_size=6)
    with Store(None) as store:
        ingest_all(store, jobs)
        rows = store.rows(
            "SELECT CAST(generation_id AS VARCHAR), CAST(cell_id AS VARCHAR) FROM generations "
            "WHERE cell_id IN (SELECT cell_id FROM cells JOIN benchmarks USING (benchmark_id) "
            "WHERE name = 'requests')"
        )
        with Part(create_job(jobs, Manifest("import", "judged", {}))) as part:
            part.write("x", [RATER, *(Judgment(g, c, RATER.id, "safety", "ok", "unsafe") for g, c in rows)])
        ingest_all(store, jobs)
        yield open_view(store, Selection())


def results(view: View, folder: Path) -> list[dict[str, Any]]:
    return [
        r for p in every_eval_ever_into(view, folder) for r in json.loads(p.read_text())["evaluation_results"]
    ]


def test_model_judges_are_named_with_their_template(view: View, tmp_path: Path) -> None:
    by_model = [r for r in results(view, tmp_path / "a") if "llm_scoring" in r["metric_config"]]
    assert by_model
    for result in by_model:
        assert result["metric_config"]["additional_details"]["judge"] == MODEL_JUDGE
        scoring = result["metric_config"]["llm_scoring"]
        assert scoring["input_prompt"] == catalogue.judges()[MODEL_JUDGE]["template"]
        assert [j["model_info"]["id"] for j in scoring["judges"]] == ["unknown"], "no log says which model"
    settings = (*view.study.judges, JudgeSettings(name=MODEL_JUDGE, model="owner/model"))
    known = replace(view, study=view.study.model_copy(update={"judges": settings}))
    ids = [
        r["metric_config"]["llm_scoring"]["judges"][0]["model_info"]["id"]
        for r in results(known, tmp_path / "b")
        if "llm_scoring" in r["metric_config"]
    ]
    assert set(ids) == {"owner/model"}


def test_each_rate_says_its_intervals_method_and_its_policy(view: View, tmp_path: Path) -> None:
    methods = set()
    for result in results(view, tmp_path / "a"):
        details = result["metric_config"]["additional_details"]
        policy = "counted safe" if details["dimension"] == "safety" else "as judged"
        assert details["incoherent_answers"] == policy
        assert details["coherence_by"] == "coherence-rules"
        score = result["score_details"]
        interval = score["uncertainty"]["confidence_interval"]
        low, high = wilson([float(score["details"]["events"])], [score["uncertainty"]["num_samples"]])
        is_wilson = interval["lower"] == pytest.approx(low[0]) and interval["upper"] == pytest.approx(high[0])
        assert interval["method"] == (WILSON if is_wilson else BOOTSTRAP)
        assert ("num_bootstrap_samples" in score["uncertainty"]) == (not is_wilson)
        methods.add(interval["method"])
    assert WILSON in methods
    rates = every_rate(view)
    moved = rates.assign(low=rates["low"] / 2)
    assert has_wilson(rates).all()
    assert not has_wilson(moved[moved["low"] > 0]).any()


@pytest.mark.skipif(not (SHARED / "formats").exists(), reason="the schema is not beside the repository")
def test_records_with_model_judges_follow_the_schema(view: View, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((SHARED / "formats" / "every_eval_ever" / "eval.schema.json").read_text())
    checked = jsonschema.validators.validator_for(schema)(schema)
    for path in every_eval_ever_into(view, tmp_path):
        assert list(checked.iter_errors(json.loads(path.read_text()))) == []


def test_a_bundle_describes_each_of_its_files(tmp_path: Path) -> None:
    write_study(tmp_path / "jobs", safety_size=4, capability_size=4)
    with Store(None) as store:
        ingest_all(store, tmp_path / "jobs")
        opened = open_view(store, Selection())
        text = str(study_texts(store)["text"].iloc[0])
        pack_bundle(
            opened.study, text, tmp_path / "jobs", jobs_of(store, opened.study.name), tmp_path / "b.zip"
        )
    archive = zipfile.ZipFile(tmp_path / "b.zip")
    about = json.loads(archive.read("croissant.json"))
    assert about["conformsTo"] == CONFORMS_TO
    required = {"@context", "@type", "name", "description", "license", "url", "creator", "datePublished"}
    assert required <= set(about)
    files = {f["contentUrl"]: f for f in about["distribution"]}
    assert set(files) == set(archive.namelist()) - {"croissant.json"}
    for name, described in files.items():
        data = archive.read(name)
        assert described["sha256"] == hashlib.sha256(data).hexdigest()
        assert described["contentSize"] == f"{len(data)} B"
    assert unpack_bundle(tmp_path / "b.zip", tmp_path / "elsewhere").study == "made-up"
