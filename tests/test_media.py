"""Text from data in every medium that is written: hostile in, inert out."""

from __future__ import annotations

import ast
import csv
import io
import re
import unicodedata

import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from capsafe_core.cli import app, say
from capsafe_core.cli.terminal import latex_table
from capsafe_core.figures.style import FAINT, LONGEST_DRAWN, sealed, small
from capsafe_core.settings import ROOT
from capsafe_core.store.export import FORMULA, each_text, guarded_csv
from capsafe_core.text import UNSEEN, bibtex_comment, visible

PIECES = [
    "<a href='http://127.0.0.1:1/x'>a</a>",
    "<b>",
    "</b>",
    "<br>",
    "<span style='fill:red'>",
    "<extra></extra>",
    "&lt;",
    "&#60;",
    "%{x}",
    "$\\href{http://x.y}{z}$",
    "<script>",
    "<img src=x>",
    "http://127.0.0.1:1/x",
    "www.x.org",
    "a@b.org",
    "\u202e",
    "\u2066",
    "\u200b",
    "\ufeff",
    "\U000e0041",
    "\x1b[31m",
    "\x1b]8;;http://x\x07",
    "\x9b1m",
    "\r",
    "\n",
    "\t",
    "=1+1",
    "@SUM(A1)",
    "+1",
    "-1",
    "@article{x,",
    "}",
    "{",
    "%",
    "\\",
    "'",
    '"',
    ",",
    ";",
    ":red[x]",
    ":material/home:",
    ":smile:",
    "->",
    "--",
    "#",
    "|",
    "`",
    "name",
    "名",
    " ",
]
hostile = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=6).map("".join)
_BELOW = re.compile(r"<[^<>]*>")


def drawn(text: str) -> str:
    """What plotly shows of a text that holds no tags: entities are read once."""
    assert _BELOW.findall(text.replace("<br>", "")) == []
    return text.replace("<br>", "\n").replace("&lt;", "<").replace("&amp;", "&")


def test_no_control_or_format_character_is_unseen() -> None:
    own_shape = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
    for code in {*range(0x110000)} - own_shape - {9, 10}:
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            assert visible(chr(code)) == f"⟨U+{code:04X}⟩"


@given(hostile)
@example("&lt;b&gt;")
def test_a_chart_draws_every_text_letter_by_letter(text: str) -> None:
    figure = go.Figure(
        go.Bar(
            x=[text, "b"],
            y=[1, 2],
            name=text,
            hovertext=[text, ""],
            text=[text, ""],
            customdata=[[text], [""]],
            hovertemplate="%{x}<br>%{y}<extra></extra>",
        )
    )
    figure.update_layout(title=text, legend={"title": {"text": text}})
    figure.update_xaxes(
        title=text,
        type="category",
        categoryorder="array",
        categoryarray=[text, "b"],
        ticktext=[text],
        tickvals=[0],
    )
    figure.add_annotation(text=text, x=text, y=1)
    plain = sealed(figure).to_plotly_json()
    [bar], layout = plain["data"], plain["layout"]
    for found in (
        bar["name"],
        bar["x"][0],
        bar["hovertext"][0],
        bar["text"][0],
        layout["title"]["text"],
        layout["legend"]["title"]["text"],
        layout["xaxis"]["title"]["text"],
        layout["xaxis"]["categoryarray"][0],
        layout["xaxis"]["ticktext"][0],
        layout["annotations"][0]["text"],
        layout["annotations"][0]["x"],
    ):
        assert drawn(found) == visible(text)
    assert bar["hovertemplate"] == "%{x}<br>%{y}<extra></extra>"
    assert bar["customdata"][0][0] == text  # an id, which is never drawn


def test_a_small_line_is_the_only_markup_and_keeps_no_tag_of_its_text() -> None:
    [bar] = sealed(go.Figure(go.Bar(y=[f"a<b>\n{small('<i>n')}"], x=[1]))).to_plotly_json()["data"]
    assert bar["y"] == [f"a&lt;b><br><span style='font-size:11px;color:{FAINT}'>&lt;i>n</span>"]


@given(hostile)
def test_a_comment_of_bibtex_begins_no_entry_and_no_line(text: str) -> None:
    out = bibtex_comment(text)
    assert not re.search(r"[@{}\n\r\\%]", out)
    assert not re.search(f"[{UNSEEN}]", out)


@given(hostile, hostile)
def test_no_cell_and_no_head_of_a_csv_starts_a_formula(head: str, cell: str) -> None:
    frame = pd.DataFrame(
        {head: pd.Series([cell, None], dtype=object), "kind": pd.Categorical([cell, "b"]), "n": [1.5, -2.0]}
    )
    frame.columns = pd.Index([head, head, "n"])
    [heads, first, second] = csv.reader(io.StringIO(guarded_csv(frame), newline=""))
    for value, own in ((heads[0], head), (heads[1], head), (first[0], cell), (first[1], cell)):
        assert not value.startswith(FORMULA)
        assert value == (f"'{own}" if own.startswith(FORMULA) else own)
    assert second[2] == "-2.0"


_TEX = re.compile(
    r"\\\\|\\[&%$#_{}]|\\text(backslash|ascii\w+) ?|\\(top|mid|bottom)rule"
    r"|\\(begin|end)\{tabular\}(\{[lr]+\})?"
)
"""what a table of LaTeX holds besides letters"""


@given(hostile, hostile)
def test_no_cell_and_no_head_of_latex_is_a_command(head: str, cell: str) -> None:
    frame = pd.DataFrame([[cell, 1.5], ["b", float("nan")]], columns=[head, "n"])
    out = latex_table(frame)
    assert len(out.splitlines()) == 8
    rest = _TEX.sub("", out)
    assert rest.count("&") == 3  # between two cells of three rows
    assert not re.search(r"[\\%$#_{}~^]", rest)


def test_a_figure_draws_the_beginning_of_what_is_too_long_and_tells_it_from_others() -> None:
    names = [f"{'a' * 1_000_000}{end}" for end in "bc"]
    [bar] = sealed(go.Figure(go.Bar(x=names, y=[1, 2], name=names[0]))).to_plotly_json()["data"]
    assert max(map(len, (*bar["x"], bar["name"]))) < LONGEST_DRAWN + 100
    assert len(set(bar["x"])) == 2
    assert bar["name"] == bar["x"][0]
    assert "1,000,001 characters" in bar["name"]


@given(hostile)
def test_a_terminal_is_told_nothing(text: str) -> None:
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        say(text)
    assert not re.search(f"[{UNSEEN}]", out.getvalue())


@given(hostile)
def test_a_table_keeps_its_numbers_and_shows_its_texts(text: str) -> None:
    frame = pd.DataFrame([[text, 1, 0.5, True]], columns=[text, "n", "rate", "yes"], index=[text])
    out = each_text(frame, lambda v: visible(v) if isinstance(v, str) else v)
    assert (out.iat[0, 0], out.columns[0], out.index[0]) == (visible(text),) * 3
    assert list(out.dtypes[1:]) == list(frame.dtypes[1:])


def test_an_error_sentence_of_a_command_cannot_steer_the_terminal() -> None:
    found = CliRunner().invoke(app, ["stop", "\x1b]0;x\x07\u202e"])
    assert "\x1b" not in found.output


def calls(path: str, *names: str) -> list[tuple[str, ast.Call]]:
    """Calls of functions of some names in the package's files."""
    found = []
    for file in sorted((ROOT / path).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            if (
                isinstance(called, ast.Name | ast.Attribute)
                and (called.id if isinstance(called, ast.Name) else called.attr) in names
            ):
                found.append((str(file.relative_to(ROOT)), node))
    return found


def test_every_figure_leaves_by_one_exit() -> None:
    for where, call in [*calls("capsafe_core", "plotly_chart"), *calls("pages", "plotly_chart")]:
        assert ast.unparse(call.args[0]).removeprefix("in_theme(").startswith("sealed("), where
    drawn = [
        (where, ast.unparse(call)) for where, call in calls("capsafe_core", "to_json") if not call.keywords
    ]
    # the command gets the figure as it is, and seals it where it draws it
    assert [
        text
        for where, text in drawn
        if not text.startswith("sealed(") and where != "capsafe_core/workspace/reporting.py"
    ] == []


def test_a_command_prints_by_one_exit() -> None:
    assert len(calls("capsafe_core", "echo", "secho")) == 1
    ours = (
        "capsafe_core/judges/fitting.py",
        "capsafe_core/judges/rebuilding.py",
        "capsafe_core/catalogue/page.py",
    )  # print the program's own words, for whoever builds it
    assert [
        where
        for where, call in calls("capsafe_core", "print")
        if where not in ours and not ast.unparse(call.args[0]).startswith("visible(")
    ] == []


def test_the_bench_writes_out_the_same_characters() -> None:
    script = (ROOT / "capsafe_core" / "ui" / "annotate.js").read_text()
    own = re.search(r"^const INVISIBLE = /\[(.*)\]/gu;$", script, re.MULTILINE)
    assert own is not None
    as_python = re.sub(r"\\u\{(\w+)\}", lambda m: rf"\U{int(m.group(1), 16):08x}", own.group(1))
    assert as_python == UNSEEN
