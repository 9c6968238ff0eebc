"""A small seeded part of `make validate`, so that the gate sees the intervals at work."""

from __future__ import annotations

import pytest

from tests.validate.at_goal import (
    FAR,
    NEVER,
    STALLED,
    A,
    B,
    Design,
    difference_at_goal,
    over_seeds,
    rate_at_goal,
    seeds_apart,
    stopped,
    success_among,
)
from tests.validate.corrected_difference import Labelling, corrected_difference
from tests.validate.labels import corrected, from_queue, small_strata
from tests.validate.simulated import Promise, coverage


@pytest.mark.parametrize(
    ("name", "study"),
    [
        ("difference at the goal", difference_at_goal(A, design=Design(resamples=400))),
        ("rate at the goal", rate_at_goal(A, design=Design(resamples=400))),
        ("where training stopped", stopped(A, 0.1, design=Design(resamples=400))),
        ("seeds", over_seeds(5, 0.1)),
        ("worst of three", success_among(3)),
        ("ppi", corrected("ppi", 0.4)),
        ("rogan-gladen", corrected("rogan-gladen", 0.4)),
        ("random queue", from_queue("random")),
        ("random queue stopped early", from_queue("random", 0.6)),
        ("random queue extended", from_queue("random", extended=200)),
        ("stratified queue", from_queue("stratified")),
        ("stratified queue stopped early", from_queue("stratified", 0.6)),
        ("two queues", from_queue("two queues")),
        ("disagreement queue", from_queue("disagreement", share=0.6)),
        ("disagreement queue stopped early", from_queue("disagreement", 0.9, share=0.6)),
    ],
)
def test_intervals_cover_the_truth_about_as_often_as_they_say(name: str, study: object) -> None:
    found = coverage(name, study, studies=300)  # type: ignore[arg-type]
    assert 0.91 <= found.covered <= 0.985  # 300 studies: three standard errors around 0.95
    assert abs(found.bias) < 0.01


@pytest.mark.parametrize(
    ("study", "promise"),
    [
        (rate_at_goal(FAR, design=Design(resamples=400)), Promise.CONSERVATIVE),
        (difference_at_goal(FAR, design=Design(resamples=400)), Promise.CONSERVATIVE),
        (difference_at_goal(A, B, design=Design(resamples=400)), Promise.CONSERVATIVE),
        (rate_at_goal(NEVER, design=Design(resamples=400)), Promise.CONSERVATIVE),
        (small_strata(400, 200), Promise.CONSERVATIVE),
        (corrected_difference(Labelling(400)), Promise.CONSERVATIVE),
        (corrected_difference(Labelling(400), to_start=True), Promise.CONSERVATIVE),
        (corrected_difference(Labelling(800, True), method="rogan-gladen"), Promise.CONSERVATIVE),
        (seeds_apart(3, 0.05), Promise.FALSE_VERBS),
        (stopped(STALLED, 0.05, false_match=True), Promise.FALSE_VERBS),
        (seeds_apart(2, 0.05, 3), Promise.FALSE_VERBS),
    ],
)
def test_what_is_wider_by_design_holds_at_least_as_often(study: object, promise: Promise) -> None:
    assert coverage("", study, promise, studies=300).covered >= 0.91  # type: ignore[arg-type]


def test_judges_that_err_otherwise_on_each_arm_mislead_until_people_correct_them() -> None:
    found = coverage("", corrected_difference(Labelling(400), method="as judged"), studies=200)
    assert found.covered < 0.7
    assert found.bias < -0.05
