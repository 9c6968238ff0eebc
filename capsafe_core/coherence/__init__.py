"""Coherence: signals with reasons and evidence, and the detector that joins them."""

from __future__ import annotations

from capsafe_core.coherence.detector import Detection, detect
from capsafe_core.coherence.formats import AnswerFormat, learn_format
from capsafe_core.coherence.signals import REASONS, Finding

__all__ = ["REASONS", "AnswerFormat", "Detection", "Finding", "detect", "learn_format"]
