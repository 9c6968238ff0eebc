"""A server that speaks OpenAI's API and misbehaves as it is told."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

Trouble = Callable[[int, dict[str, Any]], str]
"""(number of the request from 0, its body) -> what happens: "", "429", "500", "400", "401", "garbage",
"empty", "half", "hang", "raw" or one of ENDLESS"""
ENDLESS = ("drip", "drip-head", "endless", "endless-head", "bomb", "large", "informed")


@dataclass
class Seen:
    """What the server was asked."""

    base_url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    cookies: list[str | None] = field(default_factory=list)
    sent: int = 0
    at_once: int = 0
    most_at_once: int = 0


@contextmanager
def allowed(*addresses: str, key: str = "OPENAI_API_KEY") -> Iterator[None]:
    """Workspaces that allow prompts to be sent to these addresses, whatever else they allow."""
    more = [{"base_url": address, "api_key_env": key} for address in addresses]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "CAPSAFE_SERVERS", json.dumps([*json.loads(os.environ.get("CAPSAFE_SERVERS", "[]")), *more])
        )
        yield


@contextmanager
def serving(
    trouble: Trouble = lambda number, body: "",
    seconds: float = 0.0,
    raw: bytes = b"",
    headers: dict[str, str] | None = None,
) -> Iterator[Seen]:
    """Serve while the block runs; every answer tells prompt and seed, so the same request gets the same
    text."""
    seen, lock, ended = Seen(), threading.Lock(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._send(404, "{}")

        def do_POST(self) -> None:
            if ended.is_set():  # a connection that was kept open outlives the server
                self.close_connection = True
                self.connection.close()
                return
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(seen.bodies)
                seen.bodies.append(body)
                seen.times.append(time.monotonic())
                seen.keys.append(self.headers.get("Authorization"))
                seen.cookies.append(self.headers.get("Cookie"))
                seen.at_once += 1
                seen.most_at_once = max(seen.most_at_once, seen.at_once)
            try:
                self._misbehave(trouble(number, body), body)
            finally:
                with lock:
                    seen.at_once -= 1

        def _misbehave(self, kind: str, body: dict[str, Any]) -> None:
            if kind == "hang":
                ended.wait(30)
            elif kind == "garbage":
                self._send(200, "<html>It works!</html>")
            elif kind == "empty":
                self._send(200, '{"choices": []}')
            elif kind == "half":
                self._send(200, json.dumps(answer(body)), cut=True)
            elif kind == "raw":
                self._send_bytes(200, raw)
            elif kind in ENDLESS:
                self._without_end(kind)
            elif kind == "429":
                self._send(
                    429,
                    f"slow down, {self.headers.get('Authorization')}",
                    {"Retry-After": "0.2", **(headers or {})},
                )
            elif kind:
                self._send(int(kind), f"no, {self.headers.get('Authorization')}", headers)
            else:
                time.sleep(seconds)
                self._send(200, json.dumps(answer(body)))

        def _without_end(self, kind: str) -> None:
            """Send what has no end until the other side has had enough."""
            self.close_connection = True
            head = b"HTTP/1.1 200 OK\r\n"
            packed = zlib.compress(b" " * (64 << 20), 9)
            begun, piece = {
                "drip": (head + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
                "drip-head": (head, b"x"),
                "endless": (
                    head + b"Transfer-Encoding: chunked\r\n\r\n",
                    b"10000\r\n" + b" " * 65536 + b"\r\n",
                ),
                "endless-head": (head, b"X-More: " + b"x" * 1000 + b"\r\n"),
                "bomb": (
                    head + b"Content-Encoding: deflate\r\nTransfer-Encoding: chunked\r\n\r\n",
                    b"%x\r\n%s\r\n" % (len(packed), packed),
                ),
                "large": (head + b"Content-Length: 2147483648\r\n\r\n", b" " * 65536),
                "informed": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
            }[kind]
            try:
                self.wfile.write(begun)
                while not ended.wait(0.1 if kind.startswith("drip") else 0):
                    self.wfile.write(piece)
                    seen.sent += len(piece)
            except OSError:
                pass

        def _send(
            self, status: int, text: str, headers: dict[str, str] | None = None, cut: bool = False
        ) -> None:
            self._send_bytes(status, text.encode(), headers, cut)

        def _send_bytes(
            self, status: int, data: bytes, headers: dict[str, str] | None = None, cut: bool = False
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            if cut:
                self.close_connection = True
                self.connection.close()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    seen.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        with allowed(seen.base_url), allowed(seen.base_url, key="TEST_SERVER_KEY"):
            yield seen
    finally:
        ended.set()
        server.shutdown()
        server.server_close()


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """What the server says to a request."""
    prompt = body.get("prompt") or body["messages"][-1]["content"]
    digest = hashlib.sha256(f"{prompt}{body.get('seed')}{body['model']}".encode()).hexdigest()[:12]
    top = [
        {"token": " Yes", "logprob": -0.2},
        {"token": "No", "logprob": -1.8},
        {"token": "Maybe", "logprob": -4.0},
    ]
    choice: dict[str, Any] = {"finish_reason": "stop"}
    if "prompt" in body:
        choice |= {
            "text": f"Said {digest}.",
            "logprobs": {"token_logprobs": [-0.2], "top_logprobs": [{t["token"]: t["logprob"] for t in top}]}
            if body.get("logprobs")
            else None,
        }
    else:
        choice |= {
            "message": {"role": "assistant", "content": f"Said {digest}."},
            "logprobs": {"content": [{"token": "Yes", "logprob": -0.2, "top_logprobs": top}]}
            if body.get("logprobs")
            else None,
        }
    return {"choices": [choice], "usage": {"completion_tokens": 4}}
