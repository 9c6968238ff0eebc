"""A judge's entry: what is known of it, and the rater that it makes."""

from __future__ import annotations

from typing import Any

from capsafe_core import catalogue
from capsafe_core.errors import CapsafeError, UnknownNameError
from capsafe_core.judges.reading import check_entry
from capsafe_core.records import Rater, canonical_json, digest_text

FACTS = (
    "title",
    "stance",
    "source",
    "licence",
    "reading",
    "scale",
    "gated",
    "model",
    "note",
    "unverified",
    "kinds",
)
"""What an entry says about a judge without shaping its verdicts."""


def find_entry(name: str, own: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is known of a judge: its catalogue entry, with what the user supplies laid over it.

    Raises:
        CapsafeError: there is no such judge, or nobody has supplied its template.
    """
    known = catalogue.judges()
    if name not in known and own is None:
        raise UnknownNameError("judge", name, sorted(known), "One of your own is described in a TOML file.")
    entry = {
        "type": "language_model",
        "family": "own",
        "dimensions": ["safety"],
        "kinds": ["safety"],
        "max_tokens": 64,
        "stance": "not documented",
        **known.get(name, {}),
        **(own or {}),
    }
    if own and own.get("reads") and "dimensions" not in own:
        entry["dimensions"] = _dimensions(own["reads"])
    if own is not None:
        check_entry(name, entry)
    if entry.get("unverified") and own is None:
        raise CapsafeError(
            f"The judge {name!r} cannot run: {entry['unverified']}",
            "Supply its template and parser in a TOML file, named by `file` in the study's judge table.",
        )
    return entry


def _dimensions(reads: Any) -> list[str]:
    return list(dict.fromkeys(r["dimension"] for r in reads if isinstance(r, dict) and "dimension" in r)) or [
        "safety"
    ]


def rater(name: str, entry: dict[str, Any], config: dict[str, Any], **more: Any) -> Rater:
    """The rater of a catalogue entry; its version is the hash of everything that shapes its verdicts."""
    shapes = {k: v for k, v in entry.items() if k not in FACTS}
    settings = {**config, **more}
    version = digest_text(canonical_json([shapes, settings]))[:12]
    return Rater(
        name, "judge", entry["family"], tuple(entry["dimensions"]), version, entry["stance"], settings
    )
