"""The package by itself: with this folder on PYTHONPATH an engine's interpreter imports capsafe_core.

Nothing else comes along of the environment that capsafe is installed in, whose versions are not the engine's.
"""

from pathlib import Path as _Path

__path__ = [str(_Path(__file__).resolve().parent.parent)]
__file__ = str(_Path(__path__[0], "__init__.py"))
exec(compile(_Path(__file__).read_text(encoding="utf-8"), __file__, "exec"))
