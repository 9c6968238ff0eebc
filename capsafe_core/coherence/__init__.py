"""Coherence: signals with reasons and evidence, and the detector that joins them."""

from __future__ import annotations

from capsafe_core.coherence.detector import Detection, detect
from capsafe_core.coherence.formats import AnswerFormat, learn_format, learn_formats
from capsafe_core.coherence.signals import Finding

__all__ = ["AnswerFormat", "Detection", "Finding", "detect", "learn_format", "learn_formats"]
