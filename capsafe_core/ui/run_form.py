"""Starting a run from the dashboard: what is asked, what it will cost, and the start."""

from __future__ import annotations

from typing import Any

import streamlit as st

from capsafe_core.catalogue import is_rubric, judges, models, offered_judges
from capsafe_core.errors import CapsafeError
from capsafe_core.jobs.folder import Job
from capsafe_core.jobs.new_run import BENCHMARKS, NewRun, cost_of, probe_job, start_run
from capsafe_core.jobs.supervisor import Queue
from capsafe_core.settings import Settings
from capsafe_core.study import parse_study
from capsafe_core.ui import screen
from capsafe_core.ui.safe_text import visible

ENGINES = {"transformers": "transformers, here", "vllm": "vLLM, here", "openai": "a server (OpenAI's API)"}


def show(settings: Settings, ready: bool) -> None:
    """The form; `ready` says whether the engine's own environment can be used."""
    with st.container(border=True):
        st.markdown("**Start a run**")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            names = [n for n, m in models().items() if "parameters" in m]
            model = st.selectbox("Model: a name, a folder, a .gguf file or a hub id", names, accept_new_options=True, width=330)
            engine_name = st.selectbox("Answered by", list(ENGINES), format_func=lambda e: ENGINES[e], width=200)
            chosen = st.multiselect(
                "Benchmarks",
                BENCHMARKS,
                BENCHMARKS[:1],
                accept_new_options=True,
                width=360,
                help="One of these, or `file:/path/to/prompts.csv` (JSONL, CSV or Parquet), `published:harmbench`, `reasoning_gym:TASK`.",
            )
            size = st.number_input("Prompts of each", 1, 100_000, 12, width=130)
        asked = st.multiselect("Judges", offered_judges(), ["prefix-zou", "coherence-rules"], format_func=_judge_words)
        judge_model = ""
        if any(is_rubric(j) for j in asked):
            judge_model = st.text_input("Model of the judges that are rubrics", placeholder="a name, a folder or a hub id", width=420)
        sampling, adapters = _details()
        engine = _engine(engine_name)
        run = NewRun(str(model), tuple(chosen), tuple(asked), int(size), adapters, judge_model, engine, sampling)
        usable = ready or engine_name != "transformers"
        with st.container(horizontal=True, vertical_alignment="center"):
            measure = st.button("See what it costs", icon=":material/timer:", disabled=not usable)
            start = st.button("Start", icon=":material/play_arrow:", type="primary", disabled=not usable)
            _cost()
    try:
        if measure:
            st.session_state["probe"] = job = probe_job(settings.jobs_path, parse_study(run.text("cost"), "this run"))
            Queue.add(job)
            st.rerun()
        if start:
            name = start_run(settings.jobs_path, run)
            st.success(f"{name} is queued. Its outputs appear as they come.")
            st.page_link(str(screen.PAGES / "outputs.py"), label=f"Outputs of {name}", icon=":material/chat:", query_params={"study": name})
    except CapsafeError as error:
        screen.show_error(error)


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
            seeds = st.text_input("Seeds", "0", width=140, help="One or several, such as 0, 1, 2; each gives every sample anew.")
        system = st.text_input("System prompt", placeholder="none")
        folders = st.text_area("LoRA adapters over the model, one folder a line, applied in order", height=68)
    said = seeds.replace(",", " ").split()
    numbers = list(dict.fromkeys(int(s) for s in said if s.lstrip("-").isdigit())) or [0]
    if len(numbers) < len(said):
        st.text(f"Read as the seeds {', '.join(map(str, numbers))}: write whole numbers, each once.")
    if temperature == 0 and (samples > 1 or len(numbers) > 1):
        st.caption("At temperature 0 every sample and every seed gives the same text.")
    chosen = {"temperature": temperature, "top_p": top_p, "max_tokens": int(most), "samples": int(samples), "system_prompt": system}
    seeded = {"seeds": numbers} if len(numbers) > 1 else {"seed": numbers[0]}
    return {**chosen, **seeded}, tuple(line.strip() for line in folders.splitlines() if line.strip())


def _engine(name: str) -> dict[str, Any]:
    """The study's `[engine]` table."""
    chosen: dict[str, Any] = {"name": name}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if name == "vllm":
            chosen["python"] = st.text_input(
                "Python of vLLM's environment",
                placeholder="/path/to/venv/bin/python",
                width=360,
                help="vLLM pins torch and transformers, so it mostly has an environment of its own; docs/running.md shows how.",
            )
            chosen["tensor_parallel"] = st.number_input("GPUs for one model", 1, 64, 1, width=150)
        if name == "openai":
            chosen["base_url"] = st.text_input("Address", placeholder="http://127.0.0.1:8000/v1", width=300)
            chosen["api_key_env"] = st.text_input(
                "Environment variable with the key", "OPENAI_API_KEY", width=260, help="Only its name is kept. The key is read from the environment in which this app was started."
            )
            chosen["concurrency"] = st.number_input("Requests at a time", 1, 4096, 16, width=150)
    return chosen


@st.fragment(run_every=2.0)
def _cost() -> None:
    """What the last measurement found, as soon as it has."""
    job: Job | None = st.session_state.get("probe")
    if job is None:
        return
    found, status = cost_of(job), job.status()
    if found:
        st.text(found.words)
    elif status.state in ("failed", "lost", "partial"):
        st.text(visible(f"Not measured: {status.message} {status.hint}".strip()))
    else:
        st.text("Measuring on a few answers …" if status.state == "running" else "Waiting for its turn to measure …")
