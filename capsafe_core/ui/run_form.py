"""Starting a run from the dashboard: what is asked, what it will cost, and the start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from capsafe_core.catalogue import is_rubric, judges, models, offered_judges
from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.jobs.folder import Job
from capsafe_core.jobs.new_run import BENCHMARKS, NewRun, cost_of, probe_job, start_run
from capsafe_core.jobs.permission import UNTOLD
from capsafe_core.jobs.supervisor import Queue
from capsafe_core.settings import Server, Settings
from capsafe_core.study import parse_study
from capsafe_core.ui import identity, own_checkpoints, screen
from capsafe_core.ui.acting import noted
from capsafe_core.ui.safe_text import plain_label, visible

ENGINES = {"transformers": "transformers, here", "vllm": "vLLM, here", "openai": "a server (OpenAI's API)"}


def show(settings: Settings, ready: bool) -> None:
    """The form; `ready` says whether the engine's own environment can be used."""
    with st.container(border=True):
        st.markdown("**Start a run**")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            names = [n for n, m in models().items() if "parameters" in m]
            model = st.selectbox(
                "Model: a name, a folder, a .gguf file or a hub id",
                names,
                format_func=visible,
                accept_new_options=True,
                width=330,
            )
            engine_name = st.selectbox("Engine", list(ENGINES), format_func=lambda e: ENGINES[e], width=200)
            chosen = st.multiselect(
                "Benchmarks",
                BENCHMARKS,
                BENCHMARKS[:1],
                accept_new_options=True,
                width=360,
                help="One of these, or `file:/path/to/prompts.csv` (JSONL, CSV or Parquet), "
                "`published:harmbench`, `reasoning_gym:TASK`.",
            )
            size = st.number_input("Prompts of each", 1, 100_000, 12, width=130)
        asked = st.multiselect(
            "Judges",
            offered_judges(),
            ["prefix-zou", "coherence-rules"],
            format_func=lambda judge: visible(_judge_words(judge)),
        )
        judge_model = ""
        if any(is_rubric(j) for j in asked):
            judge_model = st.text_input(
                "Model of the judges that are rubrics", placeholder="a name, a folder or a hub id", width=420
            )
        sampling, adapters = _details()
        trained = own_checkpoints.show()
        engine, allowed = _engine(engine_name, settings.reread())
        if problem := st.session_state.pop("not-allowed", ""):
            st.warning(plain_label(problem))
        run = NewRun(
            str(model),
            tuple(chosen),
            tuple(asked),
            int(size),
            adapters,
            judge_model,
            engine,
            sampling,
            trained,
        )
        usable = allowed and (ready or engine_name != "transformers")
        with st.container(horizontal=True, vertical_alignment="center"):
            measure = st.button("Estimate time", icon=":material/timer:", disabled=not usable)
            start = st.button("Start", icon=":material/play_arrow:", type="primary", disabled=not usable)
            _cost()
    with screen.told():
        if measure:
            with noted("estimate time", name=str(model)):
                st.session_state["probe"] = job = probe_job(
                    settings.jobs_path, parse_study(run.text("cost"), "this run")
                )
                Queue(settings).add(job)
            st.rerun()
        if start:
            with noted("start run", name=str(model), engine=engine_name):
                name = start_run(settings, run)
            st.success(plain_label(f"{name} is queued. Its outputs appear as they come."))
            st.page_link(
                str(screen.PAGES / "outputs.py"),
                label=plain_label(f"Outputs of {name}"),
                icon=":material/chat:",
                query_params={"study": name},
            )


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
    said = seeds.replace(",", " ").split()
    numbers = list(dict.fromkeys(int(s) for s in said if s.lstrip("-").isdigit())) or [0]
    if len(numbers) < len(said):
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


def _engine(name: str, settings: Settings) -> tuple[dict[str, Any], bool]:
    """The study's `[engine]` table, and whether this workspace allows it."""
    chosen: dict[str, Any] = {"name": name}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if name == "vllm":
            chosen["tensor_parallel"] = st.number_input("GPUs for one model", 1, 64, 1, width=150)
            return chosen, _vllm(settings)
        if name == "openai":
            chosen["base_url"] = st.text_input(
                "Address", placeholder="http://127.0.0.1:8000/v1", width=300
            ).rstrip("/")
            chosen["api_key_env"] = st.text_input(
                "Environment variable with the key",
                UNTOLD,
                width=260,
                help="Only its name is kept. The key is read from the environment in which this app was "
                "started.",
            )
            chosen["concurrency"] = st.number_input("Requests at a time", 1, 4096, 16, width=150)
            return chosen, _server(chosen, settings)
    return chosen, True


def _vllm(settings: Settings) -> bool:
    """Whether the workspace says which interpreter runs vLLM; a place to say it where it does not."""
    if "vllm" in settings.pythons:
        return True
    python = st.text_input(
        "Python of vLLM's environment",
        placeholder="/path/to/venv/bin/python",
        width=360,
        help="vLLM pins torch and transformers, so it usually has its own environment; docs/running.md "
        "shows how.",
    )
    if python:
        _allow(
            f"{python} runs as you.",
            f"capsafe allow python vllm {python}",
            "allow python",
            lambda: settings.allow_python("vllm", Path(python)),
        )
    return False


def _server(engine: dict[str, Any], settings: Settings) -> bool:
    """Whether the workspace allows prompts and a key to be sent to an address; a place to allow it where it
    does not."""
    if not engine["base_url"]:
        st.text("Write the address of the server that is to answer.")
        return False
    try:
        server = Server(base_url=engine["base_url"], api_key_env=engine["api_key_env"])
    except ValueError:
        st.text("Write an address such as http://127.0.0.1:8000/v1, and a variable such as OPENAI_API_KEY.")
        return False
    if server in settings.servers:
        return True
    command = f"capsafe allow server {server.base_url} --key {server.api_key_env}"
    _allow(
        f"Prompts and the key would be sent to {server.base_url}.",
        command,
        "allow server",
        lambda: settings.allow_server(server),
        server=server.base_url,
    )
    return False


def _allow(what: str, command: str, action: str, do: Callable[[], None], **of: str) -> None:
    """A yes of the person in front, where that is whoever runs this server; else what to ask them for."""
    if identity.has_login():
        st.text(
            visible(
                f"{what} This workspace does not allow it yet: whoever runs this server can, with "
                f"`{command}`."
            )
        )
        return
    st.text(visible(f"{what} This workspace does not allow it yet."))
    st.button("Allow it", icon=":material/verified_user:", on_click=_try, args=(action, do), kwargs=of)


def _try(action: str, do: Callable[[], None], **of: str) -> None:
    try:
        if identity.has_login():
            raise NotAllowedError("Only whoever runs this server can allow this.", "Ask them.")
        with noted(action, **of):
            do()
    except CapsafeError as error:
        st.session_state["not-allowed"] = str(error)


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
            "Measuring on a few answers …"
            if status.state == "running"
            else "Waiting for its turn to measure …"
        )
