"""Facts about judges, benchmarks and models, as data."""

from __future__ import annotations

import importlib.util
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


@cache
def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((_FOLDER / name).read_text(encoding="utf-8"))


def models() -> dict[str, dict[str, Any]]:
    """Models that come inside Python packages, by name."""
    return _read("models.toml")


def benchmarks() -> dict[str, dict[str, Any]]:
    """Published prompt files, by name: their columns, licence, citation, and the package that carries
    them."""
    return _read("benchmarks.toml")


def mitigations() -> dict[str, dict[str, Any]]:
    """Mitigations, by name: what each does and when, source, licence, what it needs, and its options."""
    return _read("mitigations.toml")


def tasks() -> dict[str, dict[str, Any]]:
    """Names of published tasks by what they measure, and Inspect's scorers that compare with a target."""
    return _read("tasks.toml")


def reasoning_forms() -> dict[str, dict[str, Any]]:
    """How models mark the reasoning before their answer, by a name for the form."""
    return _read("reasoning.toml")


def citations() -> dict[str, dict[str, Any]]:
    """What to cite for benchmarks, judges and methods, by BibTeX key."""
    return _read("citations.toml")


@cache
def judges() -> dict[str, dict[str, Any]]:
    """Published judges, by name: template, parser, source, licence, stance on incoherence."""
    found = dict(_read("judges.toml"))
    for path in sorted((_FOLDER / "judges").glob("*.toml")):
        found.update(_read(f"judges/{path.name}"))
    return found


WITHOUT_ENGINE = (
    "classifier",
    "prefixes",
    "verifier",
    "coherence",
    "coherence_learnt",
    "learnt",
    "words",
    "direction",
)
"""types of judges that no engine answers for; a language model's answers come from one"""


def judge_type(judge: str, own: dict[str, Any] | None = None) -> str:
    """What kind of judge answers to a name, with what a user's own entry says laid over the catalogue's."""
    return str({"type": "language_model", **judges().get(judge, {}), **(own or {})}["type"])


def is_rubric(judge: str) -> bool:
    """Whether a judge is a template that some model has to apply, since it brings no weights of its own."""
    entry = judges().get(judge, {})
    return entry.get("type") == "language_model" and "model" not in entry


def offered_judges() -> list[str]:
    """Judges that one can choose: those that can run, but the verifier, which capability benchmarks bring
    along, and the detector that people's labels teach."""
    return [
        name
        for name, entry in judges().items()
        if "unverified" not in entry and entry["type"] not in ("verifier", "coherence_learnt")
    ]


def packaged_file(source: str) -> Path | None:
    """The path of a file inside an installed package, from "package/file"; None where the package is not
    installed."""
    package, _, name = source.partition("/")
    found = importlib.util.find_spec(package)
    return (
        Path(found.submodule_search_locations[0]) / name
        if found and found.submodule_search_locations
        else None
    )
