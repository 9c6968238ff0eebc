"""What jobs of tests ask."""

from __future__ import annotations


def direct_requests(size: int) -> dict[str, object]:
    """A part of this project's direct requests, as a manifest holds it."""
    return {
        "name": "direct-requests",
        "source": "project:direct-requests",
        "config": {},
        "seed": 0,
        "size": size,
        "answer": "final",
        "scorer": "exact",
    }
