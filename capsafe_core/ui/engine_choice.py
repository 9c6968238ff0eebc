"""What answers in a new study, and the workspace's permission for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.jobs.permission import UNTOLD
from capsafe_core.settings import Server, Settings
from capsafe_core.ui import identity
from capsafe_core.ui.acting import noted
from capsafe_core.ui.safe_text import visible
from capsafe_core.ui.study_words import DEVICES

ENGINES = {"transformers": "transformers, here", "vllm": "vLLM, here", "openai": "a server (OpenAI's API)"}


def engine_table(name: str, settings: Settings) -> tuple[dict[str, Any], bool]:
    """The study's `[engine]` table, and whether this workspace allows it."""
    chosen: dict[str, Any] = {"name": name}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if name == "transformers":
            device = st.selectbox("Runs on", list(DEVICES), format_func=lambda d: DEVICES[d], width=130)
            return {**chosen, "device": device}, True
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
