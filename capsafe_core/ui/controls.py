"""The controls of the specification: they write the address."""

from __future__ import annotations

from typing import Any

import streamlit as st

from capsafe_core.analysis.view import View, list_studies
from capsafe_core.scales import scales
from capsafe_core.selection import ASKED, Selection
from capsafe_core.specification import (
    CORRECTIONS,
    CROSSINGS,
    PARTS,
    POLICIES,
    UPWARD,
    Correction,
    Policy,
    part_words,
)
from capsafe_core.ui.address import ask, remember, select, selection
from capsafe_core.ui.safe_text import plain_label, visible


def study_choice(view: View) -> None:
    """Which study the page is about, where the store has several."""
    studies = list_studies(view.store)
    if len(studies) > 1:
        _choice("Study", studies, view.study.name, "study", many=False)
    condition_choice(view)


def condition_choice(view: View) -> None:
    """Which responses count, where checkpoints answered under several conditions or attacks; nothing is
    chosen by itself."""
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


def ways_row(view: View, benchmark: bool = True, judge: bool = True, policy: bool = True) -> None:
    """The controls of the specification, in one row; they write the URL."""
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
                "Incoherent responses",
                list(POLICIES),
                view.specification.policy,
                "policy",
                many=False,
                words=lambda policy: Policy(policy).words,
            )
        back(view)
    remember(selection())


def back(view: View) -> None:
    """The way back to the primary specification, where the screen shows another."""
    if not view.completes_primary and st.button("Back to the primary specification", icon=":material/undo:"):
        declared = dict(view.study.primary.specification.condition)
        chosen = tuple((p, v) for p, v in view.selection.condition if p not in declared)
        ask(**{name: getattr(Selection(condition=chosen), name) for name in ASKED})


def recipes_row(view: View, most: int) -> None:
    """Which recipes the page is about, where the study has more than some; the choice goes into the link."""
    if len(view.recipe_names) <= most:
        return
    key, now = "chosen-recipes", list(view.selection.recipes)
    if st.session_state.get(key) != now:  # the link's; the menu stays open while one chooses
        st.session_state[key] = now
    st.multiselect(
        "Recipes",
        list(dict.fromkeys([*view.recipe_names, *now])),
        format_func=visible,
        placeholder="All recipes",
        key=key,
        on_change=lambda: select(recipes=tuple(st.session_state[key])),
    )


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
        rules = UPWARD if view.study.primary.tolerance is None else CROSSINGS
        rule = st.selectbox(
            "Crossing",
            rules,
            rules.index(view.specification.crossing),
            key=f"crossing-{view.specification.crossing}",
            width=150,
            help="“safest” is optimistic; “stopped” compares the checkpoint at which training stopped.",
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
            "Count truncated responses",
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
        remember(selection())
        st.rerun()
    if chosen != value:
        ask(**{part: (chosen,) if many else chosen})
