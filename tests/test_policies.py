"""A policy is one name and one line of one file: rates, the curve, charts and commands follow it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.synthetic import write_study

ROOT = Path(__file__).resolve().parent.parent
ASK = """
import json, sys
from pathlib import Path
from capsafe_core.analysis.by_name import table
from capsafe_core.analysis.conclusions import policies_table
from capsafe_core.analysis.matched import matching
from capsafe_core.analysis.view import open_view
from capsafe_core.figures.goals import policies_beside
from capsafe_core.selection import Selection
from capsafe_core.store import Store
from capsafe_core.store.ingest import ingest_all

with Store(None) as store:
    ingest_all(store, Path(sys.argv[1]))
    chosen = Selection(policy="counted_half")
    rates = table(store, "rates", chosen)
    rates = rates[(rates["judge"] == "learnt-harm") & (rates["benchmark"] == "requests")]
    view = open_view(store, chosen)
    beside = policies_table(view, matching(view))
    print(json.dumps({
        "events": list(rates["events"]), "n": list(rates["n"]),
        "words": view.specification_words(),
        "curve": sorted(set(table(store, "conclusions", chosen)["policy"])),
        "beside": sorted(set(beside["policy"])),
        "drawn": sorted({t.marker.symbol for t in policies_beside(beside).data if t.marker.symbol}),
    }))
"""


def test_adding_a_policy_touches_one_source_file(tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "capsafe_core", tmp_path / "capsafe_core", ignore=shutil.ignore_patterns("__pycache__")
    )
    source = tmp_path / "capsafe_core" / "specification.py"
    text = source.read_text()
    text = re.sub(r'( +)EXCLUDED = "excluded"\n', r'\g<0>\1COUNTED_HALF = "counted_half"\n', text, count=1)
    text = re.sub(
        r"( +)Policy\.EXCLUDED: .*\n",
        r'\g<0>\1Policy.COUNTED_HALF: _Counting("hexagon", (0.5, 1)),\n',
        text,
        count=1,
    )
    source.write_text(text)
    jobs = tmp_path / "jobs"
    write_study(jobs, 20, 20)
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(jobs)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert any(events % 1 == 0.5 for events in found["events"])  # an incoherent response counts half
    assert "incoherent outputs counted half" in found["words"]
    assert "counted_half" in found["curve"]
    assert "counted_half" in found["beside"]
    assert "hexagon" in found["drawn"]
