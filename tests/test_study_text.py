"""A study's file in any form that TOML has: what is new is in it, and everything else is as it was."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsafe_core.errors import CapsafeError
from capsafe_core.study_text import with_additions

NAMES = st.text(st.sampled_from("abc-_~,.:=|#\"'\\ é[]{}\n"), min_size=1, max_size=8)
COMMENTS = st.text(st.sampled_from("abc #='\"[]{}é"), max_size=12).map(
    lambda text: f"# remark {text}".rstrip()
)
SPACES = st.sampled_from(["", " ", "  ", "\t"])


@st.composite
def keys(draw: st.DrawFn, name: str) -> str:
    return draw(st.sampled_from([name, f'"{name}"', f"'{name}'"]))


@st.composite
def numbers(draw: st.DrawFn, values: list[int]) -> str:
    """A list of numbers, on one line or on many, with or without comments and a comma at its end."""
    if draw(st.booleans()):
        return "[" + draw(SPACES) + ", ".join(map(str, values)) + draw(SPACES) + "]"
    each = [f"  {n}, {draw(COMMENTS)}\n" if draw(st.booleans()) else f"  {n},\n" for n in values]
    return "[\n" + "".join(each) + "]"


@st.composite
def tables(draw: st.DrawFn, values: dict[str, Any]) -> str:
    """The lines of a table, in any order."""
    lines = []
    for key in draw(st.permutations(sorted(values))):
        value = values[key]
        written = draw(numbers(value)) if isinstance(value, list) else json.dumps(value)
        comment = f" {draw(COMMENTS)}" if draw(st.booleans()) else ""
        lines.append(f"{draw(SPACES)}{draw(keys(key))}{draw(SPACES)}={draw(SPACES)}{written}{comment}\n")
        if draw(st.integers(0, 3)) == 0:
            lines.append(draw(st.sampled_from(["\n", f"{draw(COMMENTS)}\n"])))
    return "".join(lines)


@st.composite
def studies(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    """A study's text, and its recipes."""
    ordered = st.lists(st.integers(1, 300), min_size=1, max_size=4, unique=True).map(sorted)
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    recipes = [
        {"name": name, "start": "aligned", "steps": draw(ordered), "seeds": draw(ordered)} for name in names
    ]
    for recipe in recipes:
        if draw(st.booleans()):
            del recipe["seeds"]
    head = draw(tables({"name": "small", "title": "A study # of two"}))
    if draw(st.integers(0, 4)) == 0:
        inline = ", ".join(
            "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in recipe.items()) + " }"
            for recipe in recipes
        )
        head += f"recipes = [{inline}] {draw(COMMENTS)}\n"
        groups = []
    else:
        groups = [f"[[{draw(keys('recipes'))}]]\n{draw(tables(recipe))}" for recipe in recipes]
    judges = draw(st.sampled_from(["", "[[judges]]\nname = 'first' # one\n", '["judges"]\n']))
    groups += [judges] if judges.startswith("[[") else []
    groups += [f"[primary] {draw(COMMENTS)}\n{draw(tables({'judge': 'first', 'cutoff': 0.5}))}"]
    groups += ["[goals]\n" + draw(tables({"sums": 0.5}))]
    text = head + "".join(f"{group}{draw(st.sampled_from(['', chr(10)]))}" for group in groups)
    return text + draw(st.sampled_from(["", "# the end\n", "# the end"])), recipes


def remarks(text: str) -> list[str]:
    return sorted(re.findall(r"# remark[^\n]*|# one|# the end", text))


@settings(max_examples=300, deadline=None)
@given(studies(), st.data())
def test_any_study_keeps_its_comments_and_gains_exactly_the_change(
    study: tuple[str, list[dict[str, Any]]], data: st.DataObject
) -> None:
    text, recipes = study
    recipe = data.draw(st.sampled_from(recipes))
    steps = data.draw(st.lists(st.integers(1, 400), max_size=3))
    seeds = data.draw(st.lists(st.integers(0, 9), max_size=2))
    judge = {"name": data.draw(NAMES), "recorded": True, "config": {"threshold": 0.5, "model": None}}
    longer = {
        ("recipes", recipe["name"], key): several
        for key, several in (("steps", steps), ("seeds", seeds))
        if several
    }
    edited = with_additions(text, [("judges", judge)] if data.draw(st.booleans()) else [], longer)
    before, after = tomllib.loads(text), tomllib.loads(edited)
    mine = next(r for r in after["recipes"] if r["name"] == recipe["name"])
    assert mine["steps"] == sorted({*recipe["steps"], *steps})
    assert mine.get("seeds", []) == sorted({*recipe.get("seeds", []), *seeds})
    assert remarks(edited) == remarks(text)
    added = after.get("judges", [])[len(before.get("judges", [])) :]
    assert added in ([], [{"name": judge["name"], "recorded": True, "config": {"threshold": 0.5}}])
    others = [r for r in after["recipes"] if r["name"] != recipe["name"]]
    assert others == [r for r in before["recipes"] if r["name"] != recipe["name"]]
    assert {k: v for k, v in after.items() if k not in ("recipes", "judges")} == {
        k: v for k, v in before.items() if k not in ("recipes", "judges")
    }


@pytest.mark.parametrize(
    "recipe",
    [
        '[[recipes]]\nsteps = [\n  100, # warm\n  300,\n]\nname = "a"\n',
        "[[recipes]]\n\"steps\" = [100, 300] # both\n'name' = 'a'\n",
        'recipes = [{ steps = [100, 300], name = "a" }] # both\n',
        '[[recipes]]\nname = "a"\nsteps = [100, 300]\n[recipes.more]\nx = 1\n',
        '[[recipes]]\nname = "b"\nsteps = [1]\n[[judges]]\nname = "j"\n[[recipes]]\nname = "a"\nsteps = '
        "[100, 300]\n",
    ],
)
def test_a_step_between_others_is_in_the_file_however_it_is_written(recipe: str) -> None:
    edited = with_additions(recipe, [("judges", {"name": "new"})], {("recipes", "a", "steps"): [200]})
    values = tomllib.loads(edited)
    assert next(r for r in values["recipes"] if r["name"] == "a")["steps"] == [100, 200, 300]
    assert values["judges"][-1] == {"name": "new"}
    assert ("# warm" in edited, "# both" in edited) == ("# warm" in recipe, "# both" in recipe)


def test_judges_as_one_list_on_one_line_get_one_more() -> None:
    edited = with_additions(
        'judges = [{name = "a"}] # all\n', [("judges", {"name": "b", "config": {"x": 1}})]
    )
    assert tomllib.loads(edited)["judges"] == [{"name": "a"}, {"name": "b", "config": {"x": 1}}]
    assert "# all" in edited


def test_what_cannot_be_added_to_is_a_sentence() -> None:
    with pytest.raises(CapsafeError, match="cannot be added to"):
        with_additions("[judges]\nname = 'not a list'\n", [("judges", {"name": "b"})])
