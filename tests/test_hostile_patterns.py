"""Patterns and texts that would be matched without end are answered, or refused with a sentence."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsafe_core.errors import CapsafeError
from capsafe_core.judges.reading import check_entry, read
from capsafe_core.mapping import parse_mapping, path_facts
from capsafe_core.patterns import LARGEST, LONGEST, LONGEST_TEXT, MOST, STEPS, linear

HOSTILE = [
    ("(a+)+$", "a" * 60 + "b"),
    ("(a|a)*b", "a" * 60),
    ("(a|aa)+$", "a" * 60 + "b"),
    (r"(\w+\s?)*:", "a " * 60),
    ("(.*a){20}", "a" * 60),
    (r"(\d+)*x", "1" * 60),
]


@pytest.mark.parametrize(("pattern", "text"), HOSTILE)
def test_hostile_patterns_end(pattern: str, text: str) -> None:
    """Python's engine takes more than the age of the universe for each; this one takes a walk along a
    thousand times the text."""
    entry = {
        "parser": "patterns",
        "reads": [{"dimension": "safety", "pattern": pattern, "labels": {"a": "safe"}}],
        "template": "{response}",
        "type": "language_model",
    }
    if linear(pattern).groups == 1:
        check_entry("mine", entry)
    read(entry, text * 1000)
    schema = {"type": "object", "properties": {"a": {"pattern": pattern}}}
    read(
        {
            "parser": "json",
            "schema": schema,
            "reads": [{"dimension": "safety", "key": "a", "labels": {"x": "safe"}}],
        },
        f'{{"a": "{text * 1000}"}}',
    )


def test_path_patterns_of_many_stars_end() -> None:
    """The issue's: 36 s on 200 characters, and more on every further star."""
    pattern = "*a" * 200 + "{step}"
    assert path_facts(pattern, "a" * 4000, "a" * 200 + "7") == {"step": "7"}
    assert parse_mapping(f'name = "x"\npattern = "{"*a" * 100}{{step}}"').pattern
    with pytest.raises(CapsafeError, match="500 characters"):
        parse_mapping(f'name = "x"\npattern = "{"*" * 501}"')


@pytest.mark.parametrize(
    ("pattern", "path", "facts"),
    [
        (
            "{base}-{data}-s{seed}/checkpoint-{step}",
            "runs/tiny-sums-s3/checkpoint-100/log.json",
            {"base": "tiny", "data": "sums", "seed": "3", "step": "100"},
        ),
        ("{recipe}/step{step}*", "a/b/step20-extra.jsonl", {"recipe": "b", "step": "20"}),
        ("{model}", "org/name", {"model": "org"}),
        ("{recipe}.{step}", "x.y.5", {"recipe": "x.y", "step": "5"}),
        ("{base}/{data}", "\udce9/b.csv", {"base": "?", "data": "b"}),
        ("a+({step})[x]", "a+(5)[x]", {"step": "5"}),
    ],
)
def test_path_patterns_read_as_before(pattern: str, path: str, facts: dict[str, str]) -> None:
    assert path_facts(pattern, path) == facts


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?=a)(b)", "looks around"),
        ("(?<!a)(b)", "looks around"),
        (r"(a)\1", "looks around"),
        ("(?P<x>a)(?P=x)", "looks around"),
        ("(a)(?(1)b|c)", "looks around"),
        ("(a", "regular expression"),
        ("(a++)", "regular expression"),
        ("(?>a)(b)", "regular expression"),
        ("(a{2000})", "regular expression"),
        ("((a{100}){100})", "regular expression"),
        ("(?x)(a)", "flags"),
        ("(?L)(a)", "flags"),
        ("(?m:a)(b)", "flags"),
        ("(a)(?i)", "flags"),
        (r"(\Qa\E)", "means nothing"),
        (r"(\C)", "means nothing"),
        ("\\", "regular expression"),
        (r"((?:\w?){40})", "too large"),
        ("(" + "a" * LONGEST + ")", "characters"),
        ("(" * 2000, "regular expression"),
    ],
)
def test_what_cannot_be_matched_in_linear_time_is_a_sentence(
    pattern: str, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CapsafeError, match=why):
        linear(pattern)
    assert capfd.readouterr() == ("", ""), "and nothing is printed"
    entry = {
        "parser": "patterns",
        "reads": [{"dimension": "safety", "pattern": pattern, "labels": {"a": "safe"}}],
        "template": "{response}",
        "type": "language_model",
    }
    with pytest.raises(CapsafeError, match="cannot be used"):
        check_entry("mine", entry)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text_as_a_pattern_is_taken_or_refused(pattern: str) -> None:
    try:
        made = linear(pattern)
    except CapsafeError:
        return
    made.fits("some text")
    assert made._compiled.programsize <= LARGEST


def test_a_text_without_end_and_places_without_end_say_nothing() -> None:
    assert linear("(a)").values("a" * LONGEST_TEXT) == set()
    assert linear("(a)").values("a" * 400) == {"a"}
    assert linear(r"(\w)").values("a" * (LONGEST_TEXT + 1)) == set()


@given(
    letters=st.sampled_from(["ab", "abx"]),
    length=st.integers(10, 300),
    size=st.integers(1, 1 << 17),
    seed=st.integers(0, 1 << 32),
)
@settings(max_examples=15)
def test_walks_to_the_end_at_every_place_end(letters: str, length: int, size: int, seed: int) -> None:
    """Every place fits at once, and a longer fit is looked for up to the text's end: 500 such walks took
    minutes."""
    text = "".join(random.Random(seed).choices(letters, k=size))
    try:
        found = linear(f"([{letters}])(?:[{letters}]*a[{letters}]{{{length}}}c)?")
    except CapsafeError:
        return
    once = size * found._compiled.programsize
    values, places = found.values(text), min(size, MOST + 1)
    assert values in (set(), set(text))
    assert bool(values) == (size <= MOST and once * (places + 1) / 2 <= STEPS)


@pytest.mark.parametrize("key", ["$ref", "patternProperties", "$dynamicRef"])
def test_a_schema_follows_nothing(key: str) -> None:
    """A reference could fetch an address, or go round in powers of two."""
    entry = {
        "type": "language_model",
        "parser": "json",
        "template": "{response}",
        "schema": {"properties": {"a": {key: "http://127.0.0.1:9/x" if key != "patternProperties" else {}}}},
    }
    with pytest.raises(CapsafeError, match="not followed"):
        check_entry(
            "mine", {**entry, "reads": [{"dimension": "safety", "key": "a", "labels": {"x": "safe"}}]}
        )


def test_an_answer_that_is_nested_without_end_says_nothing() -> None:
    entry = {"parser": "json", "reads": [{"dimension": "safety", "key": "a", "labels": {"x": "safe"}}]}
    (reading,) = read(entry, '{"a":' * 20_000)
    assert reading.label is None
