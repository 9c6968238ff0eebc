"""Starting a study: a guided form that writes its file, says every mistake, and what it will cost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import streamlit as st

from capsafe_core.catalogue import is_rubric, judges, models, offered_judges
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.engine_environment import State
from capsafe_core.jobs.folder import Job, list_jobs
from capsafe_core.jobs.machine import lacks, this_machine
from capsafe_core.jobs.new_run import cost_of, probe_job, start_study
from capsafe_core.jobs.new_study import (
    BENCHMARKS,
    CAPABILITIES,
    NewStudy,
    name_problems,
    whole_numbers,
)
from capsafe_core.jobs.supervisor import Queue
from capsafe_core.settings import Settings
from capsafe_core.study import Study, parse_study
from capsafe_core.ui import own_checkpoints, screen, training_options
from capsafe_core.ui.acting import noted
from capsafe_core.ui.engine_choice import ENGINES, engine_table
from capsafe_core.ui.safe_text import plain_label, visible

NONE, ELSEWHERE, HERE = "none", "elsewhere", "here"
TUNED = {
    NONE: "None: the model as it is",
    ELSEWHERE: "I have fine-tuned checkpoints",
    HERE: "Fine-tune it here",
}


@st.fragment
def show(settings: Settings, environment: State) -> None:
    """The form; `environment` is the engine's own."""
    name = _name()
    _heading(1, "Model")
    model, engine_name, engine, allowed = _model(settings)
    sampling, adapters = _details()
    _heading(2, "Fine-tuning and goal")
    tuned = _tuned()
    capability, goal = _capability(tuned)
    checkpoints = own_checkpoints.show() if tuned == ELSEWHERE else ""
    training = training_options.show(_trained_on(engine)) if tuned == HERE else None
    _heading(3, "Safety benchmarks and judges")
    benchmarks, size = _benchmarks()
    chosen, judge_model = _judges()
    study = NewStudy(
        model,
        (*benchmarks, *([capability] if capability else [])),
        chosen,
        size,
        adapters,
        judge_model,
        engine,
        sampling,
        checkpoints,
        training,
        goal,
    )
    problems = [*name_problems(name, _taken(settings)), *study.problems(), *study.missing_files()]
    if tuned == ELSEWHERE and not checkpoints:
        problems.append("No checkpoint is named. Write the folder of the training.")
    _heading(4, "Check and start")
    text = _checked(study, name, problems)
    if text:
        _machine(settings, parse_study(text, f"{name}.toml"), environment)
    usable = allowed and (environment.ready or engine_name != "transformers")
    _start(settings, study, name, text, usable)


def _heading(number: int, words: str) -> None:
    st.markdown(f"**{plain_label(f'{number}. {words}')}**")


def _name() -> str:
    """The study's name; one that no other has stands there."""
    usual = str(st.session_state.setdefault("new-study", time.strftime("run-%Y%m%d-%H%M%S")))
    rule = "Lower-case letters, digits and -."
    name: str = st.text_input("Name of the study", usual, key=f"name-of-{usual}", width=330, help=rule)
    return name.strip()


def _taken(settings: Settings) -> set[str]:
    return {job.manifest.study for job in list_jobs(settings.jobs_path)}


def _model(settings: Settings) -> tuple[str, str, dict[str, Any], bool]:
    """The model, the engine's name and table, and whether the workspace allows that engine."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        model = st.selectbox(
            "Model: a name, a folder, a .gguf file or a hub id",
            [n for n, m in models().items() if "parameters" in m],
            format_func=visible,
            accept_new_options=True,
            width=330,
        )
        engine_name = st.selectbox("Engine", list(ENGINES), format_func=lambda e: ENGINES[e], width=200)
    engine, allowed = engine_table(engine_name, settings.reread())
    if problem := st.session_state.pop("not-allowed", ""):
        st.warning(plain_label(problem))
    return str(model or ""), engine_name, engine, allowed


def _tuned() -> str:
    """Where fine-tuned checkpoints come from."""
    return str(
        st.segmented_control(
            "Fine-tuning", list(TUNED), default=NONE, required=True, format_func=lambda t: TUNED[t]
        )
        or NONE
    )


def _trained_on(engine: dict[str, Any]) -> str:
    """What training is offered to run on: where the engine does, and vLLM runs on a GPU."""
    return "cuda" if engine["name"] == "vllm" else str(engine.get("device", "cpu"))


def _capability(tuned: str) -> tuple[str, float | None]:
    """The capability benchmark, and the goal on it where there is something to compare."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        capability = st.selectbox(
            "Capability benchmark",
            [*CAPABILITIES, ""],
            format_func=lambda source: visible(source) if source else "none",
            accept_new_options=True,
            width=330,
            help="Questions with right answers: `reasoning_gym:TASK`, `lm_eval:TASK` or "
            "`generated:choices`. Safety is compared at the same capability.",
        )
        goal = None
        if tuned != NONE:
            goal = st.number_input(
                "Goal: accuracy",
                0.01,
                0.99,
                None,
                0.05,
                placeholder="none yet",
                width=160,
                help="Recipes are compared where they reach it. It can be stated later, but then it was not "
                "declared before the results.",
            )
    return str(capability or ""), goal


def _benchmarks() -> tuple[list[str], int]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.multiselect(
            "Benchmarks",
            BENCHMARKS,
            BENCHMARKS[:1],
            accept_new_options=True,
            width=430,
            help="One of these, or `file:/path/to/prompts.csv` (JSONL, CSV or Parquet), "
            "`published:harmbench`.",
        )
        size = st.number_input("Prompts of each", 1, 100_000, 12, width=130)
    return chosen, int(size)


def _judges() -> tuple[tuple[str, ...], str]:
    """The judges, and the model of those that are rubrics."""
    chosen = st.multiselect(
        "Judges",
        offered_judges(),
        ["prefix-zou", "coherence-rules"],
        format_func=lambda judge: visible(_judge_words(judge)),
    )
    model = ""
    if any(is_rubric(j) for j in chosen):
        model = st.text_input(
            "Model of the judges that are rubrics", placeholder="a name, a folder or a hub id", width=420
        )
    return tuple(chosen), model


def _judge_words(name: str) -> str:
    entry = judges()[name]
    return f"{entry['title']}{' (gated weights)' if entry.get('gated') else ''}"


def _details() -> tuple[dict[str, Any], tuple[str, ...]]:
    """Sampling, and adapters over the model."""
    with st.expander("Sampling and adapters"):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            temperature = st.number_input("Temperature", 0.0, 5.0, 0.0, 0.1, width=130, help="0 is greedy.")
            top_p = st.number_input("Top p", 0.01, 1.0, 1.0, 0.05, width=130)
            most = st.number_input("Tokens at most", 1, 32_768, 64, width=140)
            samples = st.number_input("Samples per prompt", 1, 1000, 1, width=160)
            seeds = st.text_input(
                "Seeds",
                "0",
                width=140,
                help="One or several, such as 0, 1, 2; each gives every sample again.",
            )
        system = st.text_input("System prompt", placeholder="none")
        folders = st.text_area("LoRA adapters over the model, one folder a line, applied in order", height=68)
    numbers = list(whole_numbers(seeds)) or [0]
    if len(numbers) < len(seeds.replace(",", " ").split()):
        st.text(visible(f"Read as the seeds {', '.join(map(str, numbers))}: write whole numbers, each once."))
    if temperature == 0 and (samples > 1 or len(numbers) > 1):
        st.caption("At temperature 0 every sample and every seed gives the same text.")
    chosen = {
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": int(most),
        "samples": int(samples),
        "system_prompt": system,
    }
    seeded = {"seeds": numbers} if len(numbers) > 1 else {"seed": numbers[0]}
    return {**chosen, **seeded}, tuple(line.strip() for line in folders.splitlines() if line.strip())


def _checked(study: NewStudy, name: str, problems: list[str]) -> str:
    """The study's file, shown; "" where something is missing, each a sentence."""
    text = ""
    if not problems:
        try:
            text = study.text(name)
            parse_study(text, f"{name}.toml")
        except CapsafeError as error:
            text, problems = "", [error.message]
    if problems:
        listed = "\n".join(f"- {plain_label(problem)}" for problem in problems)
        st.warning(listed, title="Before this can start")
        return ""
    with st.expander("Preview study.toml"):
        st.code(text, language="toml")
    return text


def _machine(settings: Settings, study: Study, environment: State) -> None:
    """What the study needs and this machine lacks."""
    here = study.engine.name == "transformers" or any(recipe.is_trained for recipe in study.recipes)
    unready = [f"Engine: {environment.words}"] if here and not environment.ready else []
    if short := [*unready, *lacks(study, this_machine(settings.jobs_path))]:
        st.warning("\n".join(f"- {plain_label(one)}" for one in short), title="This machine is not ready")


def _start(settings: Settings, study: NewStudy, name: str, text: str, usable: bool) -> None:
    """What it costs, the file to keep, and the start."""
    with st.container(horizontal=True, vertical_alignment="center"):
        measure = st.button("Estimate time", icon=":material/timer:", disabled=not (usable and text))
        start = st.button(
            "Start", icon=":material/play_arrow:", type="primary", disabled=not (usable and text)
        )
        st.download_button(
            "Download study.toml",
            text.encode(),
            f"{Path(name).name or 'study'}.toml",
            "application/toml",
            icon=":material/download:",
            disabled=not text,
            on_click="ignore",
        )
    with screen.told():
        if measure:
            with noted("estimate time", name=study.model):
                job = probe_job(settings.jobs_path, parse_study(study.text("cost"), "this study"))
                st.session_state["probe"] = job
                Queue(settings).add(job)
        if start:
            with noted("start run", name=study.model, engine=str(study.engine.get("name", ""))):
                start_study(settings, text, name)
            st.session_state.pop("new-study", None)
            st.session_state["started"] = name
    _cost()
    if study.training is not None:
        st.caption("Fine-tuning is not part of the estimate.")
    if started := st.session_state.get("started"):
        st.success(plain_label(f"{started} is queued. Its outputs appear as they come."))
        with st.container(horizontal=True):
            for page, words, icon in (
                ("overview.py", "Overview", ":material/insights:"),
                ("outputs.py", "Outputs", ":material/chat:"),
            ):
                label = plain_label(f"{words} of {started}")
                st.page_link(
                    str(screen.PAGES / page), label=label, icon=icon, query_params={"study": started}
                )


@st.fragment(run_every=2.0)
def _cost() -> None:
    """What the last measurement found, as soon as it has."""
    job: Job | None = st.session_state.get("probe")
    if job is None:
        return
    found, status = cost_of(job), job.status()
    if found:
        st.text(visible(found.words))
    elif status.state in ("failed", "lost", "partial"):
        st.text(visible(f"Not measured: {status.message} {status.hint}".strip()))
    else:
        st.text(
            "Measuring on a few responses …"
            if status.state == "running"
            else "Waiting for its turn to measure …"
        )
