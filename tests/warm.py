"""An interpreter of the engine's environment that is warm: a process loads torch and its libraries once.

Whatever a test starts with that interpreter is a fork of this process, with arguments, variables, folder,
files and session of its own, and dies as it is killed. A fresh process takes five seconds of a core for the
imports. Run as a program, this file is that process; it needs the standard library and what it loads.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOADED = (
    "torch",
    "transformers.trainer",
    "transformers.models.auto.modeling_auto",
    "peft",
    "datasets",
    "trl",
)
"""what every fork has; a study's own code is loaded by each"""
CLASSES = ("LlamaForCausalLM", "PreTrainedTokenizerFast", "Trainer", "AutoTokenizer")
QUIET = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""variables under which no library starts a thread when it is loaded"""
SIZE = 8
"""bytes of the number that tells how long a message is"""

# Stands for the interpreter: hands what it was started with to the process, and ends as the fork ends.
STAND_IN = """#!{python} -IS
import array, json, os, signal, socket, sys

there = socket.socket(socket.AF_UNIX)
there.connect({address!r})
told = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
files = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))
there.sendmsg([len(told).to_bytes({size}, "big")], [files])
there.sendall(told)
for fd in (0, 1, 2):
    os.close(fd)
code = int(there.recv(16) or b"1")
if code < 0:
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@contextmanager
def warm_interpreter(python: Path, folder: Path) -> Iterator[Path]:
    """A program that behaves as `python` does with `-m` and `-c`.

    Args:
        folder: takes the program, and the socket that it speaks through.
    """
    address, program = folder / "s", folder / "python"
    program.write_text(STAND_IN.format(python=sys.executable, address=str(address), size=SIZE))
    program.chmod(0o755)
    process = subprocess.Popen(
        [str(python), __file__, str(address)],
        stdout=subprocess.PIPE,
        env={**os.environ, **QUIET},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield program
    finally:
        process.terminate()
        process.communicate()


@dataclass
class Fork:
    """A process at work, the socket of its stand-in, and what tells that it has ended."""

    pid: int
    stand_in: socket.socket
    ended: int


def serve(address: str) -> None:
    """Fork for every stand-in, until told to end."""
    for name in LOADED:
        importlib.import_module(name)
    for name in CLASSES:
        getattr(importlib.import_module("transformers"), name)
    importlib.import_module("trl").SFTTrainer  # noqa: B018 - it is loaded when it is asked for
    gc.freeze()
    assert len(os.listdir("/proc/self/task")) == 1, "a fork has none of the threads of its parent"
    door = socket.socket(socket.AF_UNIX)
    door.bind(address)
    door.listen(16)
    events = selectors.DefaultSelector()
    events.register(door, selectors.EVENT_READ, None)
    print("ready", flush=True)
    while True:
        happened = [key for key, _ in events.select()]
        for fork in {id(key.data): key.data for key in happened if key.data}.values():
            end(fork, events)  # before another is started: a lock that a killed one held is free again
        if any(key.data is None for key in happened):
            start(door, events)


def end(fork: Fork, events: selectors.DefaultSelector) -> None:
    """What ended, or lost its stand-in and is killed as that was."""
    with contextlib.suppress(ProcessLookupError):
        if not ended(fork.ended):
            os.kill(fork.pid, signal.SIGKILL)
    _, status = os.waitpid(fork.pid, 0)
    with contextlib.suppress(OSError):
        fork.stand_in.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    events.unregister(fork.stand_in)
    events.unregister(fork.ended)
    fork.stand_in.close()
    os.close(fork.ended)


def ended(process: int) -> bool:
    with selectors.DefaultSelector() as one:
        one.register(process, selectors.EVENT_READ)
        return bool(one.select(0))


def start(door: socket.socket, events: selectors.DefaultSelector) -> None:
    stand_in, _ = door.accept()
    head, control, _, _ = stand_in.recvmsg(SIZE, socket.CMSG_SPACE(3 * 4))
    files = array.array("i")
    for _, _, data in control:
        files.frombytes(data)
    told = b""
    while len(told) < int.from_bytes(head, "big"):
        told += stand_in.recv(1 << 16)
    pid = os.fork()
    if pid == 0:
        os.closerange(3, min(files))
        for number, fd in enumerate(files):
            os.dup2(fd, number)
        os.closerange(3, max(files) + 1)
        be(*json.loads(told))
    for fd in files:
        os.close(fd)
    fork = Fork(pid, stand_in, os.pidfd_open(pid))
    events.register(stand_in, selectors.EVENT_READ, fork)
    events.register(fork.ended, selectors.EVENT_READ, fork)


def be(arguments: list[str], folder: str, variables: dict[str, str]) -> None:
    """What the interpreter would be with these arguments; it does not return."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    paths = [path for path in variables.get("PYTHONPATH", "").split(os.pathsep) if path]
    option, what, *rest = arguments
    sys.path[:1] = [folder if option == "-m" else "", *paths]
    sys.argv = [what if option == "-m" else "-c", *rest]
    code = run(option, what)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def run(option: str, what: str) -> int:
    """The exit code of a module or a text."""
    try:
        if option == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            assert option == "-c", option
            names: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
            exec(compile(what, "<string>", "exec"), names)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
