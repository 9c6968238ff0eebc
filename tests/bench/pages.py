"""What each page costs over the bench store, as the page itself calls it: processor time of its script,
first and again, and the peak memory of all.

    python -m tests.bench.pages [SCALE]

SCALE multiplies the prompts: 1 has 2 M generations and 12 M judgments. The pages run without a browser, one
after another in one session, so that a later one finds what an earlier one keeps; processor time is the
script's and DuckDB's together, over all cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from capsafe_core.settings import ROOT
from tests.apps import ROUTER
from tests.bench.made_store import PROMPTS, make

PAGES = {
    "overview": "",
    "capability": "",
    "capability, over all goals": "open=goals",
    "incoherence": "",
    "disagreement": "",
    "disagreement, all sections": "open=all",
    "conclusions": "",
    "outputs": "",
    "labels": "",
    "runs": "",
    "report": "",
}
"""page, and what may be open in it -> its address' query"""


def look() -> None:
    """Open every page over the workspace that CAPSAFE_HOME names, and print what it cost as JSON."""
    from streamlit.testing.v1 import AppTest

    from capsafe_core.people import Person

    app = AppTest.from_file(ROUTER, default_timeout=1800)
    app.session_state["person"] = Person("Ada")
    app.switch_page(str(ROOT / "pages" / "data.py")).run()  # what is imported once
    rows = []
    for name, query in PAGES.items():
        app.switch_page(str(ROOT / "pages" / f"{name.partition(',')[0]}.py"))
        app.query_params.clear()
        if query:
            app.query_params[query.partition("=")[0]] = query.partition("=")[2]
        spent = []
        for _ in range(2):
            began = time.process_time()
            app.run()
            spent.append(round(1000 * (time.process_time() - began)))
        assert not app.exception, (name, [error.message for error in app.exception])
        rows.append([name, *spent])
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    print(json.dumps({"rows": rows, "peak": round(float(peak) / 1024)}))


def pages(scale: int = 1) -> list[dict[str, Any]]:
    """The rows of `make bench` about pages."""
    with tempfile.TemporaryDirectory() as home:
        make(Path(home) / "store.duckdb", prompts=PROMPTS * scale)
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.pages", "--look"],
            cwd=ROOT,
            env={**os.environ, "CAPSAFE_HOME": home, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
    seen = json.loads(done.stdout.splitlines()[-1])
    alone = {"peer": None, "peer_value": None, "ratio": None}
    rows = [
        {"name": f"page {name}{', again' if again else ''}", "value": spent[again], "unit": "ms", **alone}
        for name, *spent in seen["rows"]
        for again in (0, 1)
    ]
    return [*rows, {"name": "peak memory of the pages", "value": seen["peak"], "unit": "MB", **alone}]


if __name__ == "__main__":
    if "--look" in sys.argv:
        look()
    else:
        for row in pages(int(sys.argv[1]) if sys.argv[1:] else 1):
            print(f"{row['value']:>9} {row['unit']:<3} {row['name']}")
