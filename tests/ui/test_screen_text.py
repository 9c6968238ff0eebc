"""What the screens hand to streamlit: wherever it reads markdown, or draws a text, data pass `plain_label`,
`visible` or `visible_frame`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from capsafe_core.settings import ROOT

MARKDOWN = {
    "markdown": (0,),
    "caption": (0,),
    "info": (0,),
    "warning": (0,),
    "success": (0,),
    "error": (0,),
    "badge": (0,),
    "header": (0,),
    "subheader": (0,),
    "title": (0,),
    "metric": (0, 1, 2),
    "button": (0,),
    "download_button": (0,),
    "toggle": (0,),
    "checkbox": (0,),
    "selectbox": (0,),
    "multiselect": (0,),
    "radio": (0,),
    "segmented_control": (0,),
    "pills": (0,),
    "number_input": (0,),
    "slider": (0,),
    "text_input": (0,),
    "text_area": (0,),
    "file_uploader": (0,),
    "expander": (0,),
    "popover": (0,),
    "toast": (0,),
    "spinner": (0,),
    "progress": (1,),
    "page_link": (),
}
"""which arguments streamlit reads as markdown, by place"""
BY_NAME = {"help", "label", "title", "body", "text"}
OPTIONS_READ = {"radio", "segmented_control", "pills"}
OPTIONS_DRAWN = {"selectbox", "multiselect"}
EXITS = {True: {"plain_label"}, False: {"plain_label", "visible"}}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in [
        *sorted((ROOT / "pages").glob("*.py")),
        *sorted((ROOT / "capsafe_core" / "ui").glob("*.py")),
    ]:
        yield path.name, ast.parse(path.read_text())


class Inert:
    """Whether an expression is of our own words and of data that passed an exit."""

    def __init__(self, module: ast.Module, function: ast.AST, markdown: bool) -> None:
        self.assigned: dict[str, list[ast.expr]] = {}
        self.seen: set[str] = set()
        self.markdown = markdown
        for node in [*ast.walk(function), *module.body]:
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AugAssign | ast.AnnAssign | ast.NamedExpr)
                else []
            )
            for target in targets:
                if isinstance(target, ast.Name) and node.value is not None:  # type: ignore[union-attr]
                    self.assigned.setdefault(target.id, []).append(node.value)  # type: ignore[union-attr]
                elif (
                    isinstance(target, ast.Tuple)
                    and isinstance(node, ast.Assign)
                    and isinstance(node.value, ast.Tuple)
                ):
                    for part, value in zip(target.elts, node.value.elts, strict=True):
                        if isinstance(part, ast.Name):
                            self.assigned.setdefault(part.id, []).append(value)
            if isinstance(node, ast.For | ast.comprehension):
                self._loop(node.target, node.iter)

    def _loop(self, target: ast.expr, over: ast.expr) -> None:
        """Names that run through a list that stands in the code."""
        for row in over.elts if isinstance(over, ast.Tuple | ast.List) else []:
            if isinstance(target, ast.Name):
                self.assigned.setdefault(target.id, []).append(row)
            elif isinstance(target, ast.Tuple) and isinstance(row, ast.Tuple):
                for part, value in zip(target.elts, row.elts, strict=True):
                    if isinstance(part, ast.Name):
                        self.assigned.setdefault(part.id, []).append(value)
        if isinstance(target, ast.Name) and self.own(over):
            self.assigned.setdefault(target.id, []).append(over)

    def own(self, node: ast.expr) -> bool:
        """A constant of the code, or what is looked up in one."""
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
            node = (
                (node.args[0] if node.args else node.func)
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("list", "tuple")
                else (node.func if isinstance(node, ast.Call) else node.value)
            )
        return isinstance(node, ast.Name) and node.id.isupper()

    def __call__(self, node: ast.expr | None) -> bool:
        match node:
            case None | ast.Constant():
                return True
            case ast.JoinedStr(values=parts):
                return all(self(part) for part in parts)
            case ast.FormattedValue(value=value, format_spec=spec):
                return self(value) or (
                    spec is not None and any(sign in ast.unparse(spec) for sign in "%fg,d")
                )
            case ast.Call(func=ast.Name(id=name), args=[first, *_]):
                return (
                    name in EXITS[self.markdown]
                    or name in ("len", "int", "round", "duration")
                    or (name in ("list", "sorted") and self(first))
                    or self.own(node)
                )
            case ast.Call(
                func=ast.Attribute(attr="join"), args=[ast.GeneratorExp(elt=elt) | ast.ListComp(elt=elt)]
            ):
                return self(elt)
            case ast.Call(func=ast.Attribute(value=value, attr="replace" | "strip" | "capitalize")):
                return self(value)
            case ast.BinOp(left=left, right=right):
                return self(left) and self(right)
            case ast.BoolOp(values=values) | ast.List(elts=values) | ast.Tuple(elts=values):
                return all(self(value) for value in values)
            case ast.IfExp(body=body, orelse=other):
                return self(body) and self(other)
            case ast.DictComp(value=value) | ast.Attribute(value=value, attr="__getitem__" | "get") if (
                not self.own(node)
            ):
                return self(value)
            case ast.Dict(values=values):
                return all(self(value) for value in values)
            case ast.Lambda(body=body):
                return self(body)
            case ast.Name(id=name) if name in self.seen or name in EXITS[self.markdown]:
                return True
            case ast.Name(id=name) if name in self.assigned and not name.isupper():
                self.seen.add(name)
                return all(self(value) for value in self.assigned[name])
        return self.own(node) if node is not None else True


def faults() -> Iterator[str]:
    for where, module in sources():
        functions = [n for n in ast.walk(module) if isinstance(n, ast.FunctionDef)]
        for call in (
            n for n in ast.walk(module) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
        ):
            name = call.func.attr  # type: ignore[attr-defined]
            home = max(
                (f for f in functions if f.lineno <= call.lineno <= (f.end_lineno or 0)),
                key=lambda f: f.lineno,
                default=module,
            )
            whole = ast.Module(body=[home], type_ignores=[]) if home is not module else module
            read, drawn = Inert(module, whole, True), Inert(module, whole, False)
            keywords = {k.arg: k.value for k in call.keywords}
            owner = ast.unparse(call.func.value)  # type: ignore[attr-defined]
            if name in MARKDOWN and (
                owner == "st"
                or owner in ("left", "right", "column", "one", "two", "three", "four")
                or owner.startswith("columns[")
            ):
                checked = [call.args[i] for i in MARKDOWN[name] if i < len(call.args)] + [
                    v for k, v in keywords.items() if k in BY_NAME
                ]
                yield from (
                    f"{where}:{call.lineno} {name}: {ast.unparse(a)[:90]}" for a in checked if not read(a)
                )
                if name in OPTIONS_READ | OPTIONS_DRAWN:
                    ok = read if name in OPTIONS_READ else drawn
                    shown = keywords.get("format_func")
                    options = call.args[1] if len(call.args) > 1 else keywords.get("options")
                    if not (ok(shown) if shown is not None else ok(options)):
                        # type: ignore[arg-type]
                        yield f"{where}:{call.lineno} options of {name}: {ast.unparse(shown or options)[:90]}"
                if not drawn(keywords.get("placeholder")):
                    yield f"{where}:{call.lineno} placeholder"
            elif name == "text" and owner == "st" and not drawn(call.args[0]):
                yield f"{where}:{call.lineno} text: {ast.unparse(call.args[0])[:90]}"
            elif name == "dataframe" and not where.endswith("tables.py"):
                yield f"{where}:{call.lineno} dataframe: {ast.unparse(call.args[0])[:60]}"


def test_what_streamlit_reads_or_draws_passed_an_exit() -> None:
    assert list(faults()) == []


@pytest.mark.parametrize(
    ("code", "markdown", "inert"),
    [
        ("st.info(f'{plain_label(x)}: {n:.0%}')", True, True),
        ("st.info(f'{x}')", True, False),
        ("st.info(visible(x))", True, False),
        ("st.text(visible(x))", False, True),
        ("st.text('a' if x else x.name)", False, False),
        ("st.info(WORDS[x])", True, True),
    ],
)
def test_the_check_knows_what_is_inert(code: str, markdown: bool, inert: bool) -> None:
    module = ast.parse(code)
    # type: ignore[attr-defined]
    assert Inert(module, module, markdown)(module.body[0].value.args[0]) is inert
