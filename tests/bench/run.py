"""`make bench`: how long the screens' tables take on the bench store, beside the same question asked with
pandas.

Every figure is the median of 20 warm runs in one process, its peer measured in the same run; peaks of memory
are those of a process that does nothing else. Results go to build/bench.json.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capsafe_core.analysis.by_name import conclusions
from capsafe_core.analysis.judge_agreement import agreement_by_cell
from capsafe_core.analysis.matched import matched_table, matching
from capsafe_core.analysis.outputs import outputs_table
from capsafe_core.analysis.overview import overview
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.rates import cell_rates
from capsafe_core.analysis.sample import sample_of
from capsafe_core.analysis.view import View, open_view
from capsafe_core.selection import Selection
from capsafe_core.settings import ROOT
from capsafe_core.stats.agreement import COEFFICIENTS, coefficient, cohen_kappa, count_patterns, two_way
from capsafe_core.store import Store
from tests.bench.imports import imports
from tests.bench.lines import lines
from tests.bench.made_store import make
from tests.bench.pages import pages
from tests.bench.screens import screens

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
    unsafe = (
        (frame["code"].to_numpy() >= 2) & (frame["code"].to_numpy() < 9) & ~frame["incoherent"].to_numpy()
    )
    counted = np.isin(frame["code"].to_numpy(), (1, 2, 3)) | frame["incoherent"].to_numpy()
    return (
        frame.assign(unsafe=unsafe, counted=counted).groupby(["cell", "judge"])[["unsafe", "counted"]].sum()
    )


def bootstrap_of_every_cell(view: View) -> int:
    """1,000 resamples of every safety cell under the primary judge and policy; how many cells."""
    spec, cells = view.specification, 0
    for benchmark in sorted(view.cells.loc[view.cells["kind"] == "safety", "benchmark"].unique()):
        sample = sample_of(view, benchmark, list(view.points["checkpoint_id"]))
        assert sample is not None
        _, draws = sample.rates(*sample.sums(sample.unsafe(spec.judge, spec.policy, spec.coherence)))
        cells += draws.shape[1]
    capability = sample_of(view, "b5", list(view.points["checkpoint_id"]))
    assert capability is not None
    return cells + capability.rates(*capability.sums(capability.right()))[1].shape[1]


def agreement_peers() -> list[dict[str, Any]]:
    """Agreement of five raters on a million items, beside scikit-learn's ten kappas and the krippendorff
    package, all in this run."""
    import krippendorff
    from sklearn.metrics import cohen_kappa_score

    chance = np.random.default_rng(0)
    truth = chance.integers(1, 3, 1_000_000)
    codes = np.stack([np.where(chance.random(1_000_000) < 0.85, truth, 3 - truth) for _ in range(5)]).astype(
        np.uint8
    )
    codes[chance.random(codes.shape) < 0.02] = 0
    values = np.where(codes == 0, np.nan, codes)

    def ours() -> list[float | None]:
        patterns = count_patterns(codes, 2)
        return [coefficient(patterns, name) for name in COEFFICIENTS if name != "cohen"] + [
            cohen_kappa(two_way(patterns, None, i, j)) for i, j in combinations(range(5), 2)
        ]

    def kappas() -> list[float]:
        both = [(codes[i] > 0) & (codes[j] > 0) for i, j in combinations(range(5), 2)]
        return [
            cohen_kappa_score(codes[i][b], codes[j][b])
            for (i, j), b in zip(combinations(range(5), 2), both, strict=True)
        ]

    def alpha() -> float:
        return float(krippendorff.alpha(values, level_of_measurement="nominal"))

    found = ours()
    assert np.allclose([float(x or 0) for x in found[-10:]], kappas())
    assert np.isclose(float(found[3] or 0), alpha())
    mine = median_ms(ours)
    name = "every coefficient and ten kappas, 1 M items, 5 raters"
    peers = [("scikit-learn's ten kappas", median_ms(kappas, 3)), ("krippendorff.alpha", median_ms(alpha, 3))]
    return [
        {
            "name": name,
            "value": round(mine, 1),
            "unit": "ms",
            "peer": peer,
            "peer_value": round(value, 1),
            "ratio": round(value / mine, 1),
        }
        for peer, value in peers
    ]


def measure(path: Path) -> list[dict[str, Any]]:
    """The figures, as a list of {name, value, unit, peer, peer_value, ratio}."""
    out = []
    with Store(path) as store:
        view = open_view(store, Selection())
        paths = path_table(view)
        figures: list[tuple[str, Callable[[], object], int]] = [
            ("rates of all cells and judges", lambda: cell_rates(open_view(store, Selection())), RUNS),
            ("table of Capability and safety", lambda: path_table(open_view(store, Selection())), RUNS),
            (
                "all judge pairs, cells and strata",
                lambda: agreement_by_cell(open_view(store, Selection())),
                RUNS,
            ),
            (
                "50 outputs in the middle of all, with text",
                lambda: outputs_table(open_view(store, Selection()), 50, 1_000_000),
                RUNS,
            ),
            (
                "50 most disputed outputs, with text",
                lambda: outputs_table(open_view(store, Selection(benchmarks=("b1",))), 50, 0, "disputed"),
                RUNS,
            ),
            ("1,000 resamples of every cell", lambda: bootstrap_of_every_cell(view), 5),
            (
                "matched table, 1,000 resamples of 80 paths",
                lambda: matched_table(view, matching(view, paths)),
                5,
            ),
            (
                "a claim in 200 ways of asking, 1,000 resamples each",
                lambda: conclusions(open_view(store, Selection(claim="recipe:r1|start:start"))),
                5,
            ),
            ("everything on Overview", lambda: overview(open_view(store, Selection())), 5),
        ]
        found = [(name, median_ms(work, runs)) for name, work, runs in figures]
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
    return out + agreement_peers()


def peak_memory(path: Path) -> float:
    """Peak resident megabytes of a process that makes the tables of Overview, the agreement of all cells, the
    disputed list and every bootstrap once.

    VmHWM begins again with the process; ru_maxrss would begin with this one's.
    """
    code = (
        "import sys; from tests.bench.run import *\nwith Store(Path(sys.argv[1])) as s:\n    v = "
        "open_view(s, Selection())\n    overview(v)\n    agreement_by_cell(v)\n    outputs_table(v, 50, 0, "
        "'disputed')\n    bootstrap_of_every_cell(v)\n    print(next(l.split()[1] for l in "
        "open('/proc/self/status') if l.startswith('VmHWM')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return float(done.stdout) / 1024


def engines() -> list[dict[str, Any]]:
    """What the job around an engine leaves of the bare engine's tokens per second, for the engines that are
    installed."""
    pythons = {
        name: ROOT / folder / "bin" / "python"
        for name, folder in (("transformers", ".venv-engine"), ("vllm", ".venv-vllm"))
    }
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, python in pythons.items():
            if not python.exists():
                print(f"{name} is not installed: its throughput is not measured")
                continue
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            if not (Path(folder) / "model").exists():
                subprocess.run(
                    [str(pythons["transformers"]), "-m", "tests.small_model", folder],
                    cwd=ROOT,
                    env=environment,
                    check=True,
                    capture_output=True,
                )
            command = [
                str(python),
                "-m",
                "tests.bench.engines",
                name,
                f"{folder}/model",
                f"{folder}/adapter-1",
            ]
            figures = json.loads(
                subprocess.run(
                    command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
                ).stdout.splitlines()[-1]
            )
            for kind in ("plain", "with an adapter"):
                paces = figures[kind]
                row = {
                    "name": f"a generate job with {name}, {kind}",
                    "value": round(paces["job"]),
                    "unit": "tokens/s",
                    "peer": "the bare engine",
                }
                found.append({**row, "peer_value": round(paces["bare"]), "ratio": round(paces["ratio"], 3)})
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.duckdb"
        began = time.time()
        make(path)
        print(
            f"made 2 M generations and their judgments in {time.time() - began:.0f} s, "
            f"{path.stat().st_size >> 20} MB"
        )
        results = measure(path)
        results.append(
            {
                "name": "peak memory of the tables",
                "value": round(peak_memory(path)),
                "unit": "MB",
                "peer": None,
                "peer_value": None,
                "ratio": None,
            }
        )
    results += pages(int(os.environ.get("SCALE", "1")))
    results += screens()
    results += engines()
    results += imports()
    results += lines()
    for r in results:
        beside = f"   {r['peer']}: {r['peer_value']} {r['unit']}, {r['ratio']} times" if r["peer"] else ""
        print(f"{r['value']:>9} {r['unit']:<3} {r['name']}{beside}")
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "bench.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
