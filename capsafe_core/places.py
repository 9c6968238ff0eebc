"""Where the product's own files are: beside the package in a checkout, inside it in an installed one.

Workers read this too, so it needs nothing but the standard library.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
INSTALLED = (PACKAGE / "_product").is_dir()
"""whether this is a wheel's copy and not a checkout"""
ROOT = PACKAGE / "_product" if INSTALLED else PACKAGE.parent
"""the folder that holds app.py, pages/, data/ and the requirements of engines"""
DATA = ROOT / "data"
"""benchmarks/, training/ and demo/: what ships with the product"""
PREPARE = "capsafe engine" if INSTALLED else "make engine"
"""the command that prepares the engine's environment"""
IMPORTS = PACKAGE / "_alone"
"""the folder on the PYTHONPATH of workers: the package can be imported from it, and nothing that lies beside
it"""


def own_folder() -> Path:
    """Where what this installation makes is kept: in a checkout the checkout, else the user's data folder."""
    if not INSTALLED:
        return ROOT
    from platformdirs import user_data_path

    return user_data_path("capsafe")
