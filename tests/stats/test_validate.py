"""A small seeded part of `make validate`, so that the gate sees the intervals at work."""

from __future__ import annotations

import pytest

from tests.validate.run import corrected, coverage, from_queue, matched_difference


@pytest.mark.parametrize(
    ("name", "study"),
    [
        ("matched", matched_difference(resamples=400)),
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
