"""Patterns of users, studies and the catalogue: linear in the text, and with Python's meaning."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsafe_core import catalogue
from capsafe_core.benchmarks.scoring import score
from capsafe_core.coherence.formats import _SHAPES, AnswerFormat
from capsafe_core.coherence.signals import _TEMPLATE, _TOKEN, _WORD
from capsafe_core.errors import CapsafeError
from capsafe_core.mapping import ImportMapping, guess_pattern
from capsafe_core.patterns import linear
from capsafe_core.settings import ROOT

CORE = ROOT / "capsafe_core"


COMPILING = {"compile", "search", "match", "fullmatch", "findall", "finditer", "sub", "subn", "split"}


def _stated(value: Any) -> Iterator[str]:
    """Every pattern in the catalogue's entries."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield from [inside] if key == "pattern" else inside if key == "patterns" else _stated(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from _stated(inside)


CATALOGUE = sorted(set(_stated(catalogue.judges())))


def agree(pattern: str, text: str) -> bool:
    """Whether both engines read the same; after an empty match Python looks once more at the same place, so
    there only the first counts."""
    places = list(re.finditer(pattern, text))
    found = linear(pattern)
    if any(match.start() == match.end() for match in places):
        return found.fits(text) and (places[0].group(1) or "").strip() in {
            v.strip() for v in found.values(text)
        }
    return {v.strip() for v in found.values(text)} == {(match.group(1) or "").strip() for match in places}


def written(node: ast.expr, constants: set[str]) -> bool:
    """Whether a pattern stands in the module: a text, or one put together of texts that stand there."""
    if isinstance(node, ast.JoinedStr):
        return all(
            written(part.value if isinstance(part, ast.FormattedValue) else part, constants)
            for part in node.values
        )
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id in constants)


def test_no_module_compiles_a_pattern_that_is_not_written_in_it() -> None:
    found = []
    for path in sorted(CORE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        constants = {
            t.id
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for t in node.targets
            if isinstance(t, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not names & {"regex", "sre_compile", "fnmatch"}, path
                assert not (isinstance(node, ast.ImportFrom) and node.module == "re"), path
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            of = node.func.value
            if (
                isinstance(of, ast.Name)
                and of.id == "re"
                and node.func.attr in COMPILING
                and not written(node.args[0], constants)
            ):
                found.append(f"{path.name}:{node.lineno}")
    assert not found, "patterns that come from elsewhere go through capsafe_core.patterns"


PIECES = st.sampled_from(
    [
        "a",
        "b",
        "é",
        "1",
        " ",
        ".",
        r"\w",
        r"\W",
        r"\d",
        r"\D",
        r"\s",
        r"\S",
        r"\A",
        r"\Z",
        "^",
        "$",
        r"\.",
        r"\_",
        r"\-",
        r"\n",
        r"\u00e9",
        "[ab]",
        "[^a]",
        r"[\w.]",
        r"[^\W\d_]",
        r"[\s\S]",
        r"[\W_]",
        "[]a]",
        "[^]a]",
        "[a[]",
        r"[\b]",
        r"[\d-]",
    ]
)


REPEATS = st.sampled_from(["", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{,2}", "{1,}"])


PLAIN = st.lists(st.tuples(PIECES, REPEATS).map("".join), min_size=1, max_size=3).map("".join)


PATTERNS = st.tuples(
    st.sampled_from(["", "", "(?i)", "(?m)", "(?s)", "(?ims)"]),
    st.one_of(st.just(""), PLAIN),
    PLAIN,
    st.sampled_from(["", "|b"]),
    st.one_of(st.just(""), PLAIN, st.just("(?:a|1)*")),
).map(lambda p: f"{p[0]}{p[1]}({p[2]}{p[3]}){p[4]}")


TEXTS = st.text(alphabet=st.sampled_from("ab1 é_.-[]\n\t\x0b\x1c\x85\xa0²٣AÉ\b"), max_size=12)


@settings(max_examples=600, deadline=None)
@given(PATTERNS, TEXTS)
def test_a_pattern_means_what_it_means_in_python(pattern: str, text: str) -> None:
    try:
        re.compile(pattern)
    except re.error:
        return
    assert ("$" in pattern and goes_on_behind_its_end(pattern)) or agree(pattern, text)


def goes_on_behind_its_end(pattern: str) -> bool:
    """Whether a pattern is refused since something follows a $."""
    try:
        linear(pattern)
    except CapsafeError as error:
        return "goes on behind $" in str(error)
    return False


@pytest.mark.parametrize(
    "pattern",
    [
        r"($\W)",
        r"(a$)b",
        r"(a$|b)\s",
        r"$(a)",
        r"(?:(a|b$)|c)x",
        r"(?i)(a$)[\n]",
        r"(a$)\n?",
        r"(a$)\Z",
        r"(a$)\b",
        r"$(^)",
    ],
)
def test_nothing_goes_on_behind_the_end(pattern: str) -> None:
    with pytest.raises(CapsafeError, match="behind"):
        linear(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a)$",
        r"^(a|b$)$",
        r"(a$)|b",
        r"(?:a$|b)$|(c)",
        r"(?m)(a$)\s",
        r"([$]a)",
        r"(\$a)",
        r"((a)$)*",
    ],
)
def test_what_ends_with_the_text_is_read(pattern: str) -> None:
    for text in ("a", "a\n", "ba\nb", "$a", "c"):
        assert agree(pattern, text)


SETTLED = st.characters(max_codepoint=0x24F, exclude_categories=["Cn", "Cs"])
"""Characters that mean the same in every version of Unicode: Python and RE2 have tables of different
years."""


@pytest.mark.parametrize("pattern", CATALOGUE)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_catalogues_patterns_say_what_they_said(pattern: str, data: st.DataObject) -> None:
    words = [
        "yes",
        "No",
        "safe",
        "unsafe",
        "harmful",
        "Answers:",
        "Response:",
        "Completion:",
        "refusal",
        "<score>",
        "</score>",
        "< score >",
        "Safety: Safe",
        "#thescore:",
        "[RESULT]:",
        "5",
        "1.0",
    ]
    words += [
        "Refusal: No",
        "Harmful response: yes",
        "Response refusal: no",
        "1_full_compliance",
        "1.b",
        "\n",
        " ",
        "\xa0",
        ".",
        ",",
        "é",
        "10",
        "2_x",
        "controversial",
    ]
    text = data.draw(
        st.one_of(
            st.from_regex(pattern, alphabet=SETTLED),
            st.lists(st.sampled_from(words), max_size=8).map(" ".join),
            st.lists(st.sampled_from(words), max_size=8).map("".join),
        )
    )
    assert agree(pattern, text)


def test_the_shipped_mappings_and_catalogue_compile() -> None:
    assert len(CATALOGUE) > 15
    for pattern in CATALOGUE:
        assert linear(pattern).groups == 1
    assert ImportMapping(name="x", pattern="{base}-{data}-s{seed}/checkpoint-{step}").pattern
    tomllib.loads((CORE / "catalogue" / "judges.toml").read_text())


OWN_TEXTS = {
    "marker and spaces": "user" + " " * 20_000 + "x",
    "markers": "user\n" * 5000,
    "newlines": "user" + "\n" * 20_000 + "x",
    "digits": "1" * 20_000 + "x",
    "sums": "1 + " * 5000 + "x",
    "sums and spaces": "1" + " " * 20_000 + "+",
    "commas": "1," * 10_000 + ".",
    "braces": "{" * 20_000,
    "quotes": "a'" * 10_000,
    "lead": "a " * 10_000,
    "lead2": "a" * 20_000 + " " + "b" * 20_000,
    "loop": "ab" * 10_000 + "c",
    "hashes": "####" * 5000,
    "dashes": "-" * 20_000,
    "signs": "<|" * 10_000,
    "inst": "[/INST" * 4000,
    "one word": "z" * 20_000,
}


@pytest.mark.parametrize("name", OWN_TEXTS)
def test_our_own_patterns_do_not_look_back_at_what_they_passed(name: str) -> None:
    """On 400,000 signs a pattern that tries every pair of places would take hours."""
    text = (
        OWN_TEXTS[name] * 20
        if name not in ("marker and spaces", "newlines")
        else OWN_TEXTS[name].replace("x", " " * 400_000 + "x")
    )
    for pattern in (_TEMPLATE, _TOKEN, _WORD):
        pattern.findall(text)
    list(AnswerFormat("x", tuple(_SHAPES)).leaks(text))
    score("number", text, "1")
    guess_pattern([text])
