"""`make bench`: how long the screens' tables take on the bench store, beside the same question asked with pandas.

Every figure is the median of 20 warm runs in one process, its peer measured in the same run; peaks of memory
are those of a process that does nothing else. Results go to build/bench.json.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capsafe_core.analysis.matched import matched_table
from capsafe_core.analysis.overview import overview
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.rates import cell_rates
from capsafe_core.analysis.view import open_view
from capsafe_core.selection import Selection
from capsafe_core.settings import ROOT
from capsafe_core.store import Store
from tests.bench.made_store import make

RUNS = 20


def median_ms(work: Callable[[], object], runs: int = RUNS) -> float:
    work()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def long_frame(store: Store) -> pd.DataFrame:
    """What someone with pandas would hold: one row a judgment."""
    return store.frame(
        """
        SELECT CAST(dense_rank() OVER (ORDER BY v.cell_id) AS INTEGER) AS cell, CAST(s.slot AS TINYINT) AS judge, v.codes[s.slot] AS code, v.codes[1] = 2 AS incoherent
        FROM verdicts AS v JOIN cells USING (cell_id) JOIN slots AS s USING (benchmark_id) WHERE s.dimension <> 'coherence'
        """
    )


def pandas_rates(frame: pd.DataFrame) -> pd.DataFrame:
    """The rates of every cell and judge, incoherent outputs counted safe."""
    unsafe = (frame["code"].to_numpy() >= 2) & (frame["code"].to_numpy() < 9) & ~frame["incoherent"].to_numpy()
    counted = np.isin(frame["code"].to_numpy(), (1, 2, 3)) | frame["incoherent"].to_numpy()
    return frame.assign(unsafe=unsafe, counted=counted).groupby(["cell", "judge"])[["unsafe", "counted"]].sum()


def measure(path: Path) -> list[dict[str, Any]]:
    """The figures, as a list of {name, value, unit, peer, peer_value, ratio}."""
    out = []
    with Store(path) as store:
        view = open_view(store, Selection())
        paths = path_table(view)
        figures: list[tuple[str, Callable[[], object]]] = [
            ("rates of all cells and judges", lambda: cell_rates(open_view(store, Selection()))),
            ("table of Capability and safety", lambda: path_table(open_view(store, Selection()))),
            ("matched table, 1,000 resamples of 80 paths", lambda: matched_table(view, paths)),
            ("everything on Overview", lambda: overview(open_view(store, Selection()))),
        ]
        found = [(name, median_ms(work, RUNS if "Overview" not in name and "matched" not in name else 5)) for name, work in figures]
        frame = long_frame(store)
    peer = median_ms(lambda: pandas_rates(frame), 5)
    for name, value in found:
        like = "rates" in name or "table of" in name
        out.append(
            {
                "name": name,
                "value": round(value, 1),
                "unit": "ms",
                "peer": "pandas groupby over one row a judgment" if like else None,
                "peer_value": round(peer, 1) if like else None,
                "ratio": round(peer / value, 1) if like else None,
            }
        )
    return out


def peak_memory(path: Path) -> float:
    """Peak resident megabytes of a process that makes the tables of Overview and Capability once.

    VmHWM begins anew with the process; ru_maxrss would begin with this one's.
    """
    code = "import sys; from tests.bench.run import *\nwith Store(Path(sys.argv[1])) as s:\n    overview(open_view(s, Selection()))\n    print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM')))"
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout) / 1024


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.duckdb"
        began = time.time()
        make(path)
        print(f"made 2 M generations and their judgments in {time.time() - began:.0f} s, {path.stat().st_size >> 20} MB")
        results = measure(path)
        results.append({"name": "peak memory of the tables", "value": round(peak_memory(path)), "unit": "MB", "peer": None, "peer_value": None, "ratio": None})
    for r in results:
        beside = f"   {r['peer']}: {r['peer_value']} {r['unit']}, {r['ratio']} times" if r["peer"] else ""
        print(f"{r['value']:>9} {r['unit']:<3} {r['name']}{beside}")
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "bench.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
