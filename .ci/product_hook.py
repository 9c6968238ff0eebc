"""What lies beside the package in a checkout goes into the wheel, under capsafe_core/_product
(capsafe_core/places.py)."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PRODUCT = (
    "app.py",
    "pages",
    ".streamlit/config.toml",
    "data/benchmarks",
    "data/demo",
    "data/studies",
    "data/training",
    "constraints.txt",
    "requirements-engine.txt",
    "requirements-models.txt",
)


class ProductHook(BuildHookInterface[Any]):
    """An editable install leads to the checkout, where everything lies already."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files, and where they go."""
        if version != "editable":
            build_data["force_include"] |= {path: f"capsafe_core/_product/{path}" for path in PRODUCT}
