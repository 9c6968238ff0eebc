"""The rule detector: an answer is incoherent when any signal finds a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from capsafe_core.coherence import signals
from capsafe_core.coherence.formats import AnswerFormat
from capsafe_core.coherence.signals import Finding

RULES = 2
"""which rules these are; whoever changes what they find counts on, since verdicts are told apart by it"""


@dataclass(frozen=True)
class Detection:
    """The findings on one answer; truncation alone is never one."""

    findings: tuple[Finding, ...]

    @property
    def incoherent(self) -> bool:
        return bool(self.findings)

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(finding.reason for finding in self.findings))


def detect(
    text: str, prompt: str, formats: Sequence[AnswerFormat] = (), task_answers: bool = False
) -> Detection:
    """Look for incoherence in an answer.

    Args:
        text: the answer.
        prompt: what was asked.
        formats: answer forms of the study's fine-tuning tasks, the same for every checkpoint compared.
        task_answers: the prompt is a task whose answer may be a bare label or number, so that
            short forms and unknown words are no sign of anything.
    """
    findings = [*signals.empty(text)]
    if not findings:
        findings += signals.dominant_token(text)
        findings += signals.repetition(text)
        findings += signals.template_leakage(text)
        if not task_answers:
            for form in formats:
                findings += form.leaks(text)
            findings += signals.prompt_echo(text, prompt)
            if not any(f.reason == "task_format" for f in findings):
                findings += signals.language_switch(text, prompt)
                if not any(f.reason == "language_switch" for f in findings):
                    findings += signals.gibberish(text, prompt)
    return Detection(tuple(findings))
