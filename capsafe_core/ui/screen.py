"""What every screen has: a question, its answer, charts whose marks open what is behind them, captions,
tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NoReturn, TypeVar

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.elements.plotly_chart import PlotlyState

from capsafe_core.analysis.matched import Matching, matching
from capsafe_core.analysis.methods import METHODS
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.view import View, open_view
from capsafe_core.errors import CapsafeError, EmptyStoreError, OpenConditionError
from capsafe_core.figures.dark import on_dark
from capsafe_core.figures.marks import marks_of
from capsafe_core.figures.style import is_wide, sealed
from capsafe_core.places import ROOT
from capsafe_core.selection import Selection
from capsafe_core.store.export import guarded_csv
from capsafe_core.ui import controls, first_run, identity
from capsafe_core.ui.address import ask as ask
from capsafe_core.ui.address import carry, note_left
from capsafe_core.ui.address import select as select
from capsafe_core.ui.address import selection as selection
from capsafe_core.ui.heads import Head
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.ui.tables import NO_HEADS
from capsafe_core.ui.tables import show_table as show_table
from capsafe_core.workspace.owner import current_owner
from capsafe_core.writing import refusal

PAGES = ROOT / "pages"
T = TypeVar("T")
MARKS = "marks-"
"""before the key of a chart: the key of the list of its marks"""
MOST_LISTED = 400
"""marks of a figure up to which they are a list too; what has more, a map of texts, is a page of its own"""


@contextmanager
def question(title: str) -> Iterator[View]:
    """A page: its question as the title; a mistake inside it is shown as a sentence with a next step."""
    st.title(plain_label(title), anchor=False)
    carry()
    with _opened(controls.study_choice) as view:
        yield view


@contextmanager
def presented() -> Iterator[View]:
    """A page without title and controls."""
    with _opened(lambda _: None) as view:
        yield view


@contextmanager
def _opened(choices: Callable[[View], None]) -> Iterator[View]:
    st.session_state["captioned"] = ""
    try:
        view = open_view(current_owner().store, selection())
        choices(view)
    except CapsafeError as error:
        show_error(error)
        st.stop()
    with told():
        yield view


@contextmanager
def told() -> Iterator[None]:
    """What cannot be done, or what the disk refuses, as a sentence."""
    try:
        yield
    except CapsafeError as error:
        show_error(error)
    except OSError as error:
        show_error(refusal(error))


@contextmanager
def part(place: AbstractContextManager[Any]) -> Iterator[None]:
    """A tab; where it lacks something it says so, and the tabs after it are there all the same."""
    with place, told():
        yield


def remembered(view: View, name: str, work: Callable[[], T]) -> T:
    """The result of some work on a view, made once for each selection and version of the store."""
    return _remembered(
        name, str(sorted(_of_data(view).to_query().items())), f"{view.store.token} {view.store.version}", work
    )


def matched(view: View) -> Matching:
    """The runs that can be compared at a goal: made once, whichever recipes are looked at."""
    every = view.of_every_recipe
    paths = remembered(every, "paths", lambda: path_table(every))
    found = remembered(every, "matching", lambda: matching(every, paths))
    return found.of_recipes(view.selection.recipes) if view.selection.recipes else found


def _of_data(view: View) -> Selection:
    """The selection without what only chooses rows of what was computed."""
    return view.selection.but(variants=())


@st.cache_data(max_entries=64, show_spinner=False)
def _remembered(name: str, selection: str, version: str, _work: Callable[[], T]) -> T:
    return _work()


def nothing(message: str) -> NoReturn:
    """Why a page has nothing to show, and where to look next; the page ends here."""
    st.info(plain_label(message))
    if identity.role() == "researcher":
        st.page_link(
            str(PAGES / "runs.py"),
            label="What ran and what is missing",
            icon=":material/play_circle:",
            query_params=selection().to_query(),
        )
    st.stop()


def show_error(error: CapsafeError) -> None:
    """A sentence and a next step; where nothing is there yet, the ways to begin."""
    if isinstance(error, EmptyStoreError):
        first_run.doors()
        return
    if isinstance(error, OpenConditionError):
        st.info(plain_label(f"{error.message} Choose above."), title="Which responses count?")
        return
    st.warning(plain_label(error.message), title="This cannot be shown")
    if error.hint:
        st.text(visible(error.hint))


def in_theme(figure: go.Figure) -> go.Figure:
    """A sealed figure in the colours of the reader's theme."""
    return on_dark(figure) if st.context.theme.type == "dark" else figure


def chart(figure: go.Figure, key: str, alt: str) -> str | None:
    """A figure; returns the id of a mark that was just clicked, or chosen in the list that a keyboard
    reaches."""
    with _room(figure, key):
        event = st.plotly_chart(
            in_theme(sealed(figure)),
            key=key,
            on_select="rerun",
            selection_mode="points",
            theme=None,
            alt=alt,
            width="content" if figure.layout.width else "stretch",
            config={
                "displaylogo": False,
                "typesetMath": False,
                "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
            },
        )
    st.session_state.setdefault("charts", set()).add(key)
    chosen = _used_last(key, _mark_of_list(figure, key, alt), _mark_of_click(event))
    if chosen is None:
        st.session_state.pop(f"{key}-handled", None)
        return None
    waiting = st.session_state.setdefault("clicked", {})
    if waiting.get(key) == chosen and _clicked_since(key):
        st.session_state[f"{key}-handled"] = waiting.pop(key)
    if st.session_state.get(f"{key}-handled") == chosen:
        return None
    waiting[key] = chosen
    return chosen


def _clicked_since(key: str) -> bool:
    """Whether a mark of another chart was clicked after one of this chart, whose page has not come yet."""
    others = st.session_state["charts"] - {key}
    clicked = {other: _mark_of_click(st.session_state.get(other)) for other in others}
    return any(
        mark and mark != st.session_state.get(f"{other}-handled") and other not in st.session_state["clicked"]
        for other, mark in clicked.items()
    )


def _mark_of_click(event: PlotlyState | None) -> str | None:
    for point in event.selection.points if event else []:
        if carried := point.get("customdata"):
            return str(carried[0] if isinstance(carried, list) else carried["0"])
    return None


def _mark_of_list(figure: go.Figure, key: str, alt: str) -> str | None:
    """What is chosen in the list of a figure's marks, which shows when a keyboard comes to it; `page_style`
    has the rule."""
    marks = marks_of(figure, MOST_LISTED)
    if not marks:
        return None
    with st.container(key=f"{MARKS}{key}-list"):
        name = st.selectbox(
            plain_label(f"Marks of the chart “{alt}”"),
            list(marks),
            index=None,
            format_func=visible,
            key=MARKS + key,
            placeholder="Choose a mark",
        )
    return marks.get(name) if name else None


def _used_last(key: str, listed: str | None, clicked: str | None) -> str | None:
    """Of the mark that the list has and the one that was clicked, the one that changed last."""
    before = st.session_state.get(f"{key}-used", (None, None, None))
    chosen = clicked if clicked != before[1] else listed if listed != before[0] else before[2]
    st.session_state[f"{key}-used"] = (listed, clicked, chosen)
    return chosen


def picture(figure: go.Figure, key: str, alt: str) -> None:
    """A figure to look at only."""
    with _room(figure, key):
        st.plotly_chart(
            in_theme(sealed(figure)),
            theme=None,
            key=key,
            alt=alt,
            config={"displayModeBar": False, "typesetMath": False},
        )


def _room(figure: go.Figure, key: str) -> AbstractContextManager[Any]:
    """Where a figure stands: on a phone a wide one is moved sideways, and not squeezed; `page_style` has the
    rule."""
    return st.container(key=f"wide-{key}") if is_wide(figure) else nullcontext()


def caption(view: View, extra: str = "") -> None:
    """Under every chart what it shows, and the specification and selection, from the same object as the data;
    these once a page, and again where a chart has others."""
    shared = f"{view.specification_words()}. {_of_data(view).caption()}"
    told = st.session_state.get("captioned") == shared
    st.session_state["captioned"] = shared
    if words := ". ".join(part for part in (extra, "" if told else shared) if part):
        st.caption(plain_label(f"{words}."))


def table_below(
    frame: pd.DataFrame, name: str, *methods: str, how: str = "", heads: Mapping[str, Head] = NO_HEADS
) -> None:
    """The chart's table, to read and to download, and how it is computed.

    Args:
        methods: keys of `METHODS`: formula and source of each number.
        how: what is special to this table.
        heads: as `show_table` takes them.
    """
    with st.expander(plain_label(f"Data and method: {name.replace('-', ' ')}")):
        st.text(visible("\n".join(([how] if how else []) + [METHODS[m] for m in methods])))
        show_table(frame, heads, width="stretch")
        st.download_button(
            "Download CSV",
            guarded_csv(frame).encode("utf-8", "replace"),
            f"{name}.csv",
            "text/csv",
            key=f"csv-{name}",
        )


def open_output(generation_id: str) -> None:
    """Go to one output, keeping the selection."""
    _go("output.py", selection().but(generation=generation_id))


def open_outputs(**restrictions: Any) -> None:
    """Go to the outputs behind a mark."""
    _go("outputs.py", selection().but(**restrictions))


def _go(page: str, chosen: Selection) -> None:
    query = chosen.to_query()
    note_left(page.removesuffix(".py"), query)
    st.switch_page(str(PAGES / page), query_params=query)


def texts_shown() -> bool:
    """Whether harmful text is shown rather than blurred; asked once a session."""
    return bool(
        st.toggle(
            "Show model text",
            key="show-text",
            help="Responses to harmful requests stay hidden until you ask for them.",
        )
    )
