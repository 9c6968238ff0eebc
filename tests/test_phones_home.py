"""Nothing phones home: the app, the demo, reports and workers reach for this machine and for no other.

Python's own audit events tell whom a process asks for; they see no native code that opens sockets by itself.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from capsafe_core.records import Generation
from capsafe_core.settings import ROOT, Settings
from tests.e2e.site import TOKEN, free_port
from tests.jobs.runs import written

HOOK = """
import json, os, sys
TO = ("socket.connect", "socket.sendto", "socket.sendmsg")
FIND = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")
def note(event, arguments):
    if event in TO or event in FIND:
        said = [event, *map(repr, arguments[event in TO:])]
        with open(os.environ["CAPSAFE_TEST_SOCKETS"], "a") as stream:
            stream.write(json.dumps([os.getpid(), *said]) + "\\n")
sys.addaudithook(note)
with open(os.environ["CAPSAFE_TEST_SOCKETS"], "a") as stream:
    stream.write(json.dumps([os.getpid(), "begun", *sys.argv[:1]]) + "\\n")
"""
REACHING = """
import contextlib, socket
for family, place in ((socket.AF_INET, '192.0.2.1'), (socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):
    with socket.socket(family) as one, contextlib.suppress(OSError):
        one.settimeout(0.01)
        one.connect((place, 9))
with contextlib.suppress(OSError):
    socket.getaddrinfo('name.invalid', 443)
"""
SWITCHES = (
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_DATASETS_OFFLINE",
    "HF_HUB_DISABLE_TELEMETRY",
    "DO_NOT_TRACK",
)
"""what keeps libraries quiet in the gate, and is not set by people"""


@pytest.fixture
def watched(tmp_path: Path) -> Mapping[str, str]:
    """The environment of a process whose sockets are noted, with those that it starts."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(HOOK)
    kept = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    places = {"PYTHONPATH": f"{hook}:{ROOT}", "CAPSAFE_TEST_SOCKETS": str(tmp_path / "sockets")}
    return {**kept, **places, "CAPSAFE_HOME": str(tmp_path / "home")}


def noted(environment: Mapping[str, str]) -> list[list[Any]]:
    text = Path(environment["CAPSAFE_TEST_SOCKETS"]).read_text()
    return [json.loads(line) for line in text.splitlines()]


def elsewhere(environment: Mapping[str, str]) -> list[list[Any]]:
    """What was asked of another machine, or to find one."""
    return [one for one in noted(environment) if one[1] != "begun" and not _is_here(one[2])]


def _is_here(place: str) -> bool:
    found = re.match(r"\(?(?:b?'([^']*)'|None)", place)
    host = found[1] if found else place
    if host is None or host in ("", "localhost") or host.startswith(("/", "\\x00")):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def run(environment: Mapping[str, str], *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_process_that_reached_elsewhere_would_be_seen(watched: Mapping[str, str]) -> None:
    run(watched, "-c", REACHING)
    assert [one[2] for one in elsewhere(watched)] == ["('192.0.2.1', 9)", "'name.invalid'"]
    assert len(noted(watched)) == 5


def test_the_demo_its_app_a_page_and_a_report_ask_for_nobody(watched: Mapping[str, str]) -> None:
    port = free_port()
    home = Path(watched["CAPSAFE_HOME"])
    environment = {**watched, "CAPSAFE_TOKEN": TOKEN}
    with subprocess.Popen(
        [sys.executable, "-m", "capsafe_core.cli", "demo", "--port", str(port)],
        env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as server:  # fmt: skip
        try:
            assert server.stdout
            assert any(f":{port}/" in line for line in server.stdout), "the demo did not start"
            base = f"127.0.0.1:{port}"
            cookie = httpx2.get(f"http://{base}/?token={TOKEN}").headers["set-cookie"].split(";")[0]
            assert httpx2.get(f"http://{base}/", headers={"cookie": cookie}).status_code == 200
            with connect(
                f"ws://{base}/_stcore/stream", additional_headers={"Cookie": cookie}, max_size=None
            ) as page:
                asked = BackMsg()
                asked.rerun_script.query_string = ""
                page.send(asked.SerializeToString())
                while ForwardMsg.FromString(page.recv(timeout=120)).WhichOneof("type") != "script_finished":
                    pass
            over = {**environment, "CAPSAFE_HOME": str(home / "demo")}
            run(over, "-m", "capsafe_core.cli", "report", str(home / "report.html"))
        finally:
            server.terminate()
            server.wait(timeout=30)
    assert (home / "report.html").stat().st_size > 10_000
    assert len({pid for pid, what, *_ in noted(watched) if what == "begun"}) >= 2
    assert elsewhere(watched) == []


STUDY = """
name = "quiet"
title = "A study with a model in a folder"
[engine]
name = "transformers"
[sampling]
max_tokens = 4
[[starts]]
name = "one"
model = "{model}"
[[benchmarks]]
name = "direct-requests"
source = "project:direct-requests"
size = 2
[[judges]]
name = "prefix-zou"
[[judges]]
name = "coherence-rules"
[primary]
benchmark = "direct-requests"
judge = "prefix-zou"
refusal_judge = "prefix-zou"
coherence = "coherence-rules"
"""


def test_workers_that_generate_and_judge_ask_for_nobody(
    watched: Mapping[str, str], cold_engine_python: Path, tiny_model: str, tmp_path: Path
) -> None:
    """With no switch set that would keep the libraries offline; the supervisor sets those that are needed."""
    python = tmp_path / "python"
    hook = watched["PYTHONPATH"].split(":")[0]
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{hook}:$PYTHONPATH" exec "{cold_engine_python}" "$@"\n')
    python.chmod(0o755)
    study = tmp_path / "study.toml"
    study.write_text(STUDY.format(model=tiny_model))
    environment = {**watched, "CAPSAFE_ENGINE_PYTHON": str(python)}
    run(environment, "-m", "capsafe_core.cli", "run", str(study))
    home = Settings(home=Path(watched["CAPSAFE_HOME"]))
    assert len(written(home.jobs_path, Generation)) == 2
    workers = [what for _, begun, *what in noted(watched) if begun == "begun"]
    assert len(workers) >= 3  # the command, one that generates, one that judges
    assert elsewhere(watched) == []
