"""Choosing findings, looking at them, and taking them out as a file or showing them one at a time."""

from __future__ import annotations

import re
from itertools import count

import plotly.graph_objects as go
import streamlit as st

from capsafe_core.analysis.view import View
from capsafe_core.errors import CapsafeError
from capsafe_core.path_steps import whole_number
from capsafe_core.quoting import join_names, split_names
from capsafe_core.report.document import AUDIENCES, Item, Made, Report, make
from capsafe_core.report.finding import PROSE, Finding
from capsafe_core.report.findings import USUAL, find, offered
from capsafe_core.report.html import browser, to_html, to_pdf
from capsafe_core.report.logo import read_logo
from capsafe_core.report.site import to_site
from capsafe_core.report.slides import to_pptx
from capsafe_core.ui import screen
from capsafe_core.ui.safe_text import plain_label, show_raw, visible

LONGEST_TEXT = 4000
"""characters of a text between findings"""
TALLEST = 560
"""pixels of a chart that is presented, which leaves room for its headline and what it rests on"""
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def chosen_keys(known: dict[str, str]) -> list[str]:
    """The findings that the address names, in its order; the usual ones where it names none."""
    asked = [
        k
        for k in split_names(st.query_params.get("items", ""))
        if k in known or k.startswith(("output:", PROSE))
    ]
    return list(dict.fromkeys(asked)) or [k for k in USUAL if k in known]


def keep(**parts: str) -> None:
    """Change what the address says of this page."""
    for name, value in parts.items():
        if value:
            st.query_params[name] = value
        else:
            st.query_params.pop(name, None)


def show(view: View) -> None:
    """The form, the preview and the files."""
    known = screen.remembered(view, "offered", lambda: offered(view))
    keys = chosen_keys(known)
    with st.container(border=True):
        words = {**known, **{k: _own_name(k) for k in keys if k not in known}}
        picked = st.multiselect(
            "Findings, in the order of the report",
            list(words),
            keys,
            format_func=lambda k: visible(words[k]),
            key=f"findings-{join_names(keys)}",
        )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            added = st.text_input(
                "Add outputs as examples",
                placeholder="addresses of their pages, or ids",
                key=f"output-{len(keys)}",
                width=420,
            )
            if st.button("Add a text", icon=":material/notes:", help="A text of your own between findings."):
                taken = {k for k in picked if k.startswith(PROSE)}
                picked = [*picked, next(f"{PROSE}{i}" for i in count(1) if f"{PROSE}{i}" not in taken)]
        with st.container(horizontal=True, vertical_alignment="bottom"):
            title = st.text_input(
                "Title",
                st.query_params.get("title", ""),
                placeholder="What did fine-tuning do, and how sure is that?",
                width=420,
            )
            now = st.query_params.get("audience", AUDIENCES[0])
            audience = (
                st.segmented_control(
                    "For", AUDIENCES, default=now if now in AUDIENCES else AUDIENCES[0], key=f"audience-{now}"
                )
                or now
            )
            if st.button(
                "Present",
                icon=":material/slideshow:",
                help="One finding at a time, large, without controls.",
            ):
                keep(present="1")
                st.rerun()
        new = [f"output:{one}" for one in _ID.findall(added)]
        picked = list(dict.fromkeys([*picked, *new]))
        if picked != keys or audience != now or title != st.query_params.get("title", ""):
            keep(items=join_names(picked), title=title, audience=audience if audience != AUDIENCES[0] else "")
            st.rerun()
    if not picked:
        st.info("Choose at least one finding.")
        return
    above = st.container()  # the files stand before the parts, which they are made of
    items = [_part(view, picked, i) for i in range(len(picked))]
    report = Report(title, tuple(item for item in items if item), audience)
    if report.items:
        with above:
            _files(view, report)


def _own_name(key: str) -> str:
    """What an item that is not offered is called."""
    kind, _, name = key.partition(":")
    return f"Text {name[:8]}" if key.startswith(PROSE) else f"The {kind} {name[:8]}"


def _part(view: View, keys: list[str], place: int) -> Item | None:
    """One part of the report, and the keys that move it."""
    key = keys[place]
    with st.container(border=True):
        with st.container(horizontal=True, horizontal_alignment="right"):
            _mover(keys, place, place - 1, "Move up", ":material/arrow_upward:")
            _mover(keys, place, place + 1, "Move down", ":material/arrow_downward:")
        if not key.startswith(PROSE):
            return _finding(view, place, key)
        words = st.text_area("Your text", key=f"words-{key}", height=120, max_chars=LONGEST_TEXT)
        return Item(key, words.strip()) if words.strip() else None


def _mover(keys: list[str], place: int, to: int, label: str, icon: str) -> None:
    """A button that gives a part another place in the order."""
    if st.button(
        plain_label(label),
        icon=icon,
        type="tertiary",
        disabled=not 0 <= to < len(keys),
        key=f"{label}-{keys[place]}",
    ):
        moved = [*keys]
        moved.insert(to, moved.pop(place))
        keep(items=join_names(moved))
        st.rerun()


def _finding(view: View, place: int, key: str) -> Item | None:
    """A finding as it will stand in the report, and the user's own words for it."""
    try:
        found = screen.remembered(view, f"finding {key}", lambda: find(view, key))
    except CapsafeError as error:
        st.text(visible(f"{key}: {error}"))
        return None
    st.header(plain_label(found.title), anchor=False)
    st.markdown(f"**{plain_label(found.sentence)}**")
    words = st.text_input("In your own words (the drafted sentence stays beside them)", key=f"words-{key}")
    shown = False
    if found.text is not None:
        shown = st.toggle(
            "Print its text in the report",
            key=f"print-{key}",
            help="It may be harmful; left out unless chosen here.",
        )
        if shown:
            show_raw("\n\n→ ".join(found.text))
    left, right = st.columns([2, 3])
    with left:
        _meaning(found)
    with right:
        if found.figure is not None:
            screen.picture(found.figure, f"report-{place}", found.alt)
    _rests_on(found)
    return Item(key, words.strip(), shown)


def _rests_on(found: Finding) -> None:
    """What a finding rests on, below it."""
    st.caption(plain_label("  ·  ".join(f"{label}: {words}" for label, words in found.basis)))


def _meaning(found: Finding) -> None:
    st.subheader(plain_label(found.big[0]), anchor=False)
    st.caption(plain_label(found.big[1]))
    for title, lines in (("What it means", found.means), ("What it does not mean", found.limits)):
        if lines:
            listed = "\n".join(f"- {plain_label(line)}" for line in lines)
            st.markdown(f"**{title}**\n\n{listed}")


def _files(view: View, report: Report) -> None:
    """The report as files, made when they are asked for."""

    picture = b""

    def made() -> Made:
        return make(view, report, picture)

    name = f"{view.study.name}-{report.audience}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "HTML, one file",
            lambda: to_html(made()).encode("utf-8", "replace"),
            f"{name}.html",
            "text/html",
            icon=":material/html:",
            on_click="ignore",
            type="primary",
        )
        if browser():
            st.download_button(
                "PDF",
                lambda: to_pdf(to_html(made())),
                f"{name}.pdf",
                "application/pdf",
                icon=":material/picture_as_pdf:",
                on_click="ignore",
            )
        st.download_button(
            "Slides (PPTX)",
            lambda: to_pptx(made()),
            f"{name}.pptx",
            icon=":material/co_present:",
            on_click="ignore",
        )
        st.download_button(
            "Read-only copy (ZIP)",
            lambda: to_site(view, made()),
            f"{name}.zip",
            "application/zip",
            icon=":material/folder_zip:",
            on_click="ignore",
            help="This report and the study's tables as pages that open without a server.",
        )
        with st.popover("Logo", icon=":material/image:"):
            picture = _logo()
    st.caption(
        ("" if browser() else "For a PDF, install Chromium on the server, or print the HTML file. ")
        + "Every number is computed again by `capsafe report --verify FILE.html`. Texts of outputs are left "
        "out unless chosen."
    )


def _logo() -> bytes:
    """The picture that was chosen; empty where none was, or none that can be used."""
    chosen = st.file_uploader("PNG or JPEG", ["png", "jpg", "jpeg"], key="logo")
    picture = chosen.getvalue() if chosen else b""
    try:
        read_logo(picture) if picture else ""
    except CapsafeError as error:
        screen.show_error(error)
        return b""
    return picture


def present(view: View) -> None:
    """One finding at a time in large type; arrow keys go on, Esc leads back."""
    known = screen.remembered(view, "offered", lambda: offered(view))
    keys = [
        k for k in chosen_keys(known) if not k.startswith(PROSE) or st.session_state.get(f"words-{k}", "")
    ]
    if not keys:
        keep(present="")
        st.rerun()
    place = min(max(whole_number(st.query_params.get("present", "")) or 1, 1), len(keys))
    key = keys[place - 1]
    words = str(st.session_state.get(f"words-{key}", ""))
    with st.container(key="presented"):
        _walk(place, len(keys))
        if key.startswith(PROSE):
            st.title(plain_label(words), anchor=False)
            return
        found = screen.remembered(view, f"finding {key}", lambda: find(view, key))
        headline = words or found.headline
        st.title(plain_label(headline), anchor=False)
        left, right = st.columns([4, 7], gap="large")
        with left:
            st.header(plain_label(found.big[0]), anchor=False)
            st.text(visible(found.big[1]))
            for line in [*found.means, *(f"But: {limit}" for limit in found.limits)]:
                st.text(visible(line))
        with right:
            if found.figure is not None:
                height = min(found.figure.layout.height or TALLEST, TALLEST)
                lower = go.Figure(found.figure).update_layout(height=height)
                lower.update_yaxes(dtick=1, selector={"type": "category"})
                screen.picture(lower, f"present-{place}", found.alt)
        _rests_on(found)


def _walk(place: int, last: int) -> None:
    """Back, on, and out; drawn first, so that a finding that cannot be made does not hold anybody up."""
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        st.caption(plain_label(f"{place} of {last}"))
        for label, key, to in (("Back", "ArrowLeft", place - 1), ("Next", "ArrowRight", place + 1)):
            if st.button(
                label,
                shortcut=key.removeprefix("Arrow"),
                disabled=not 1 <= to <= last,
                key=f"go-{key}",
                type="tertiary",
            ):
                keep(present=str(to))
                st.rerun()
        if st.button("Leave", shortcut="Escape", type="tertiary"):
            keep(present="")
            st.rerun()
