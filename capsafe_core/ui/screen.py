"""What every screen has: a question, its answer, charts whose marks open what is behind them, captions,
tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NoReturn, TypeVar

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from capsafe_core.analysis.methods import METHODS
from capsafe_core.analysis.view import View, list_studies, open_view
from capsafe_core.errors import CapsafeError, EmptyStoreError, OpenConditionError
from capsafe_core.figures.style import sealed
from capsafe_core.places import ROOT
from capsafe_core.scales import scales
from capsafe_core.selection import ASKED, Selection
from capsafe_core.specification import (
    CORRECTIONS,
    CROSSINGS,
    PARTS,
    POLICIES,
    Correction,
    Policy,
    part_words,
)
from capsafe_core.store.export import guarded_csv
from capsafe_core.ui import first_run, identity
from capsafe_core.ui.safe_text import plain_label, visible, visible_frame
from capsafe_core.workspace.owner import current_owner
from capsafe_core.writing import refusal

PAGES = ROOT / "pages"
OPEN = "open"
"""parameter of the address: which sections of the page are open"""
T = TypeVar("T")


def selection() -> Selection:
    """The selection in this page's URL."""
    return Selection.from_query(dict(st.query_params))


def select(**changes: Any) -> None:
    """Change the URL's selection; other parameters of the URL stay."""
    others = {k: v for k, v in st.query_params.items() if k in ("show", "items", "audience", "title", OPEN)}
    _handled()
    st.query_params.from_dict({**others, **selection().but(**changes).to_query()})


def ask(**changes: Any) -> None:
    """Change the way of asking: it goes along to the other pages."""
    select(**changes)
    _remember(selection())
    st.rerun()


@contextmanager
def question(title: str) -> Iterator[View]:
    """A page: its question as the title; a mistake inside it is shown as a sentence with a next step."""
    st.title(plain_label(title), anchor=False)
    _carry()
    with _opened(study_choice) as view:
        yield view


@contextmanager
def presented() -> Iterator[View]:
    """A page without title and controls."""
    with _opened(lambda _: None) as view:
        yield view


@contextmanager
def _opened(controls: Callable[[View], None]) -> Iterator[View]:
    st.session_state["captioned"] = ""
    try:
        view = open_view(current_owner().store, selection())
        controls(view)
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


def study_choice(view: View) -> None:
    """Which study the page is about, where the store has several."""
    studies = list_studies(view.store)
    if len(studies) > 1:
        _choice("Study", studies, view.study.name, "study", many=False)
    condition_choice(view)


def condition_choice(view: View) -> None:
    """Which answers count, where checkpoints answered under several conditions or attacks; nothing is chosen
    by itself."""
    attacks = sorted(attack for attack in view.every_cell["attack"].unique() if attack)
    if not (view.alternatives or attacks):
        return
    chosen = dict(view.specification.condition)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for part, values in view.alternatives.items():
            now = chosen.get(part)
            value = st.selectbox(
                plain_label(PARTS.get(part, part).capitalize()),
                values,
                index=values.index(now) if now in values else None,
                placeholder="Choose one",
                key=f"condition-{part}-{now}",
                format_func=lambda option, part=part: visible(part_words(part, option)),
                width=300,
            )
            if value is not None and value != now:
                ask(condition=tuple(sorted({**chosen, part: value}.items())))
        if attacks:
            now = view.specification.attack
            attack = st.selectbox(
                "Attack",
                ["", *attacks],
                index=["", *attacks].index(now),
                key=f"attack-{now}",
                format_func=lambda option: visible(option) if option else "none where rates are compared",
                width=300,
            )
            if attack != now:
                ask(attack=attack)


def _carry() -> None:
    """The way of asking goes along when one changes pages by the menu, whose links have no query."""
    if not st.query_params and st.session_state.get("carried"):
        st.query_params.from_dict(st.session_state["carried"])


def _remember(now: Selection) -> None:
    st.session_state["carried"] = now.specification_only().to_query()


def remembered(view: View, name: str, work: Callable[[], T]) -> T:
    """The result of some work on a view, made once for each selection and version of the store."""
    return _remembered(
        name, str(sorted(view.selection.to_query().items())), f"{view.store.token} {view.store.version}", work
    )


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
        st.info(plain_label(f"{error.message} Choose above."), title="Which answers count?")
        return
    st.warning(plain_label(error.message), title="This cannot be shown")
    if error.hint:
        st.text(visible(error.hint))


def ways_row(view: View, benchmark: bool = True, judge: bool = True, policy: bool = True) -> None:
    """The controls of the way of asking, in one row; they write the URL."""
    cells = view.every_cell
    asked = set(cells.loc[~cells["kind"].isin(("capability", "over_refusal")), "benchmark"])
    judges = [j.name for j in view.study.judges if j.name not in ("verifier", "coherence-rules")]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if benchmark:
            _choice(
                "Benchmark",
                sorted(asked),
                view.specification.benchmark,
                "benchmarks",
            )
        if judge:
            _choice("Judge", judges, view.specification.judge, "judges")
            _threshold(view)
        if policy:
            _choice(
                "Incoherent answers",
                list(POLICIES),
                view.specification.policy,
                "policy",
                many=False,
                words=lambda policy: Policy(policy).words,
            )
        back(view)
    _remember(selection())


def back(view: View) -> None:
    """The way back to the primary specification, where the screen shows another."""
    if not view.completes_primary and st.button("Back to the primary specification", icon=":material/undo:"):
        declared = dict(view.study.primary.specification.condition)
        chosen = tuple((p, v) for p, v in view.selection.condition if p not in declared)
        ask(**{name: getattr(Selection(condition=chosen), name) for name in ASKED})


def goals_row(view: View) -> None:
    """The goal on each data set, the crossing rule, whose verdicts count, and whether answers that were cut
    off do."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for dataset in view.goalless_datasets:
            stated = st.number_input(
                f"Goal on {plain_label(dataset)}",
                0.0,
                1.0,
                None,
                0.01,
                placeholder="none stated",
                key=f"goal-{dataset}-none",
                width=200,
                help="Accuracy at which recipes are compared.",
            )
            if stated is not None:
                set_goal(dataset, float(stated))
        for dataset, now in view.goals.items():
            goal = st.slider(
                f"Goal on {plain_label(dataset)}",
                0.0,
                1.0,
                now,
                0.01,
                key=f"goal-{dataset}-{now:.3f}",
                width=260,
                help="Also set by a click on “Over all goals” below.",
            )
            if round(goal, 3) != round(now, 3):
                set_goal(dataset, goal)
        rule = st.selectbox(
            "Crossing",
            CROSSINGS,
            CROSSINGS.index(view.specification.crossing),
            key=f"crossing-{view.specification.crossing}",
            width=150,
            help="“safest” is optimistic.",
        )
        if rule != view.specification.crossing:
            ask(crossing=rule)
        correction = st.selectbox(
            "Rates at the goal",
            CORRECTIONS,
            CORRECTIONS.index(view.specification.correction),
            key=f"correction-{view.specification.correction}",
            format_func=lambda option: visible(Correction(option).words),
            width=200,
            help="Corrected by labels that a queue on Annotate drew at random, where there are enough.",
        )
        if correction != view.specification.correction:
            ask(correction=correction)
        kept = st.toggle(
            "Count truncated answers",
            view.specification.truncated,
            key=f"truncated-{view.specification.truncated}",
        )
        if kept != view.specification.truncated:
            ask(truncated=kept)


def _threshold(view: View) -> None:
    """The judge's threshold, where it gives a score; emptied for the study's, or the judge's own."""
    scale, now = scales().get(view.specification.judge), view.specification.cutoff
    if scale is None:
        return
    chosen = st.number_input(
        "Judge's threshold",
        value=now,
        step=0.05,
        format="%g",
        placeholder=f"its own, {scale.cutoff:g}",
        key=f"way-cutoff-{view.specification.judge}-{now}",
        width=150,
        help=plain_label(f"{scale.words(None).capitalize()}. Another threshold changes every number here."),
    )
    if chosen != now:
        ask(cutoff=None if chosen is None else float(chosen))


def set_goal(dataset: str, goal: float) -> None:
    """Compare the recipes on a data set at another goal."""
    others = tuple((name, g) for name, g in selection().goals if name != dataset)
    ask(goals=(*others, (dataset, goal)))


def _choice(
    label: str, options: list[str], value: str, part: str, many: bool = True, words: Any = str
) -> None:
    options = options if value in options else [value, *options]
    chosen = st.selectbox(
        plain_label(label),
        options,
        index=options.index(value),
        key=f"way-{part}-{value}",
        format_func=lambda option: visible(words(option)),
        width=240,
    )
    if chosen != value and part == "study":
        st.query_params.from_dict({"study": chosen})  # another study's filters mean nothing here
        _remember(selection())
        st.rerun()
    if chosen != value:
        ask(**{part: (chosen,) if many else chosen})


def chart(figure: go.Figure, key: str, alt: str) -> str | None:
    """A figure; returns the id of a mark that was clicked just now."""
    event = st.plotly_chart(
        sealed(figure),
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
    points = event.selection.points if event else []
    chosen = next(
        (
            str(p["customdata"][0] if isinstance(p["customdata"], list) else p["customdata"]["0"])
            for p in points
            if p.get("customdata")
        ),
        None,
    )
    if chosen is None:
        st.session_state.pop(f"{key}-handled", None)
        return None
    if st.session_state.get(f"{key}-handled") == chosen:
        return None
    st.session_state.setdefault("clicked", {})[key] = chosen
    return chosen


def picture(figure: go.Figure, key: str, alt: str) -> None:
    """A figure to look at only."""
    st.plotly_chart(
        sealed(figure), theme=None, key=key, alt=alt, config={"displayModeBar": False, "typesetMath": False}
    )


def _handled() -> None:
    """Clicks that have had their effect are not returned again; one whose run was cut short before is."""
    for key, chosen in st.session_state.pop("clicked", {}).items():
        st.session_state[f"{key}-handled"] = chosen


def caption(view: View, extra: str = "") -> None:
    """Under every chart what it shows, and the specification and selection, from the same object as the data;
    these once a page, and again where a chart has others."""
    shared = ". ".join(part for part in (view.specification_words(), view.selection.caption()) if part)
    told = st.session_state.get("captioned") == shared
    st.session_state["captioned"] = shared
    if words := ". ".join(part for part in (extra, "" if told else shared) if part):
        st.caption(plain_label(f"{words}."))


def table_below(frame: pd.DataFrame, name: str, *methods: str, how: str = "") -> None:
    """The chart's table, to read and to download, and how it is computed.

    Args:
        methods: keys of `METHODS`: formula and source of each number.
        how: what is special to this table.
    """
    with st.expander(plain_label(f"Data and method: {name.replace('-', ' ')}")):
        st.text(visible("\n".join(([how] if how else []) + [METHODS[m] for m in methods])))
        st.dataframe(visible_frame(frame), hide_index=True, width="stretch")
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
    _handled()
    st.switch_page(str(PAGES / page), query_params=chosen.to_query())


def texts_shown() -> bool:
    """Whether harmful text is shown rather than blurred; asked once a session."""
    return bool(
        st.toggle(
            "Show model text",
            key="show-text",
            help="Answers to harmful requests stay hidden until you ask for them.",
        )
    )
