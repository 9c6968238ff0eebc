"""The mapping that a look proposes: what is stated, with a guess for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from capsafe_core.importers.heard import Heard
from capsafe_core.importers.readings import documented, guessed
from capsafe_core.mapping import BenchmarkReading, ImportMapping


def drafted(
    stated: ImportMapping, kinds: Mapping[str, str], judges: Sequence[Heard]
) -> tuple[ImportMapping, list[int]]:
    """The mapping with a guess for everything that nobody stated, and which of its readings are guesses.

    Args:
        kinds: of each benchmark, as the logs call it, what it measures.
    """
    benchmarks = dict(stated.benchmarks)
    for name, kind in kinds.items():
        benchmarks.setdefault(name, BenchmarkReading(name=name, kind=kind))  # type: ignore[arg-type]
        if benchmarks[name].kind != kind:
            benchmarks[name] = benchmarks[name].model_copy(update={"kind": kind})
    readings, guesses = list(stated.judges), []
    together: dict[tuple[str, str], Heard] = {}
    spoken: dict[str, set[str]] = {}
    for heard in judges:
        key = heard.by, heard.kind
        together[key] = together[key].joined(heard) if key in together else heard
        spoken.setdefault(heard.by, set()).add(heard.kind)
    for heard in judges:
        if stated.readings(heard.by, heard.benchmark):
            continue
        known = documented(heard, only_here=len(spoken[heard.by]) > 1)
        for reading in known or guessed(heard, together[heard.by, heard.kind]):
            if reading not in readings:
                guesses += [] if known else [len(readings)]
                readings.append(reading)
    return stated.model_copy(update={"benchmarks": benchmarks, "judges": tuple(readings)}), guesses
