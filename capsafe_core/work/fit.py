"""The fit job: the learnt detector of incoherence from people's labels.

The result stands in `fitted.json` in the job's folder.
"""

from __future__ import annotations

import json

from capsafe_core.benchmarks import load_training_pairs
from capsafe_core.coherence import learn_formats
from capsafe_core.coherence.learnt import LabelledAnswer, fit
from capsafe_core.jobs.folder import Part, replace_file
from capsafe_core.jobs.folder.work import FitWork


def work(part: Part) -> None:
    """Fit to the labels in `inputs.jsonl`."""
    rows = [
        LabelledAnswer(**json.loads(line))
        for line in (part.job.folder / "inputs.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    fitted = fit(rows, learn_formats(part.job.manifest.asks(FitWork).datasets, load_training_pairs))
    replace_file(part.job.folder / "fitted.json", json.dumps(fitted, indent=1))
    part.write("fitted", [])
