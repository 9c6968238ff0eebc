"""Generation by any server that speaks OpenAI's API: vLLM's, a router over a cluster, a hosted model."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx

from capsafe_core.engines.base import Completion, Failure, Finished, Message, Request, Unit, request_seed, single_plan
from capsafe_core.engines.models import Weights, adapter_digest
from capsafe_core.errors import CapsafeError

FIRST_WAIT = 0.5
"""seconds before the first retry; doubled each time, with jitter"""
LONGEST_WAIT = 60.0
LONGEST_ASKED = 900.0
"""seconds for which a server's Retry-After is heeded"""
RETRIED = (408, 409, 425, 429, 500, 502, 503, 504, 529)
ENDING = (401, 403, 404)
"""answers that every further request would get too"""


class OpenaiEngine:
    """A bounded number of requests at a time; each is repeated with back-off and jitter while the server has trouble.

    The key is read from the environment variable that the settings name, and stands in no message.
    """

    name = "openai"
    dtype = "server"
    template_digest = "server"

    def __init__(self, weights: Weights, adapters: Sequence[Path], settings: dict[str, Any]) -> None:
        if weights.adapters:
            raise CapsafeError("A server answers with one adapter over what it serves, and this checkpoint has several.", "Merge the first ones into the model that is served.")
        self.batch_size = 16 * settings["concurrency"]
        self._model = weights.name
        self._settings = settings
        self._key = os.environ.get(settings["api_key_env"], "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise CapsafeError(f"The key in the environment variable {settings['api_key_env']} holds signs that no key has.", "Set it again; it is not shown here.")
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx.Limits(max_connections=settings["concurrency"] + 1)
        self._client = httpx.Client(base_url=settings["base_url"].rstrip("/") + "/", headers=headers, timeout=httpx.Timeout(settings["timeout"], connect=10.0), limits=limits)
        self._held_until = 0.0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._adapters = {path: self._load(path) for path in dict.fromkeys(adapters)}
        self.version = self._server_version()

    def plan(self, requests: Sequence[Request]) -> list[Unit]:
        return single_plan(requests)

    def generate(self, units: Sequence[Unit]) -> Generator[Finished, None, None]:
        """As every engine; while the server is silent, what is finished is nothing, about once a second."""
        pool = ThreadPoolExecutor(self._settings["concurrency"])
        self._ended.clear()
        running: dict[Future[Completion | Failure], Unit] = {pool.submit(self._answer, unit.requests[0]): unit for unit in units}
        try:
            while running:
                done, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
                found = [(running.pop(future), future.result()) for future in done]
                answers = [answer for _, answer in found]
                yield Finished(tuple(unit for unit, _ in found), tuple(a for a in answers if isinstance(a, Completion)), tuple(a for a in answers if isinstance(a, Failure)))
        finally:  # also where the caller wants no more: what is on its way is not waited for
            self._ended.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def choose(self, requests: Sequence[Request], options: Sequence[str]) -> list[list[float]]:
        with ThreadPoolExecutor(self._settings["concurrency"]) as pool:
            self._ended.clear()
            return list(pool.map(lambda request: self._first_logs(request, options), requests))

    def _first_logs(self, request: Request, options: Sequence[str]) -> list[float]:
        top = self._settings["top_logprobs"]
        more = {"logprobs": top} if request.raw else {"logprobs": True, "top_logprobs": top}
        data = self._ask(request, {"max_tokens": 1, "temperature": 0.0, **more})
        known = _top_logs(data)
        first = [_first_token(option, known) for option in options]
        told = [token for token in first if token is not None]
        if len(set(told)) < len(told):
            raise CapsafeError(f"The options {', '.join(options)} begin with the same token.", "Use a judge that answers in text.")
        return [float("-inf") if token is None else known[token] for token in first]

    def _answer(self, request: Request) -> Completion | Failure:
        sampling = request.sampling
        decoding = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": request_seed(sampling.seed, [request.key]) % 2**31,
            **({} if not sampling.logprobs else {"logprobs": 1} if request.raw else {"logprobs": True}),
        }
        try:
            return _completion(request.key, self._ask(request, decoding), sampling.logprobs)
        except _Unanswered as error:
            return Failure(request.key, str(error))

    def _ask(self, request: Request, decoding: dict[str, Any]) -> dict[str, Any]:
        """The server's answer, after as many tries as the settings allow.

        Raises:
            _Unanswered: this request got no answer.
            CapsafeError: no request would get one.
        """
        path, body = _body(request)
        body = {"model": self._adapters[request.adapter] if request.adapter else self._model, **body, **decoding}
        wait_for = FIRST_WAIT
        for attempt in range(self._settings["retries"] + 1):
            self._hold()
            if self._ended.is_set():
                raise _Unanswered("given up, for the job was stopped")
            asked_to_wait = None
            try:
                response = self._client.post(path, json=body)
                if response.status_code == 200:
                    return _readable(response)
                reason = self._reason(response)
                if response.status_code in ENDING:
                    raise CapsafeError(
                        f"The server refuses every request: {reason}",
                        f"Check the model's name and the key in the environment variable {self._settings['api_key_env']}; `curl {self._settings['base_url']}/models` lists what the server has.",
                    )
                if response.status_code not in RETRIED:
                    raise _Unanswered(reason)
                asked_to_wait = _seconds(response.headers.get("retry-after"))
            except (httpx.HTTPError, _Unreadable) as error:
                reason = self._clean(f"{type(error).__name__.lstrip('_')}: {error}")
                if attempt == self._settings["retries"] and isinstance(error, httpx.ConnectError):
                    raise self._silent(error) from error
            if attempt == self._settings["retries"]:
                break
            pause = wait_for * random.uniform(0.5, 1.5)
            if asked_to_wait is not None:
                pause = min(asked_to_wait, LONGEST_ASKED) * random.uniform(1.0, 1.1)
                with self._lock:  # a limit on the rate holds for all
                    self._held_until = max(self._held_until, time.monotonic() + pause)
            self._ended.wait(pause)
            wait_for = min(2 * wait_for, LONGEST_WAIT)
        raise _Unanswered(f"{reason} (asked {self._settings['retries'] + 1} times)")

    def _hold(self) -> None:
        """Wait while the server has asked for a rest."""
        with self._lock:
            left = self._held_until - time.monotonic()
        if left > 0:
            self._ended.wait(left)

    def _load(self, adapter: Path) -> str:
        """The served name of an adapter; a vLLM server that may load adapters at run time is asked to.

        Raises:
            CapsafeError: the server has not got it and does not load it.
        """
        name = f"capsafe-{adapter_digest(adapter)[:16]}"
        try:
            models = self._client.get("models")
            if models.status_code != 200:
                raise CapsafeError(f"The server does not list its models: {self._reason(models)}", f"Check the key in the environment variable {self._settings['api_key_env']}.")
            served = {m["id"] for m in models.json()["data"]}
            if name in served:
                return name
            response = self._client.post("load_lora_adapter", json={"lora_name": name, "lora_path": str(adapter)})
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise self._silent(error) from error
        if response.status_code != 200:
            raise CapsafeError(
                f"The server does not load the adapter {adapter}: {self._reason(response)}",
                f"Start it with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True on a machine that sees this folder, or give it --lora-modules {name}={adapter}.",
            )
        return name

    def _server_version(self) -> str:
        """What vLLM's servers tell of themselves; "unknown" elsewhere.

        Raises:
            CapsafeError: nothing answers at the address.
        """
        try:
            answer = self._client.get(str(self._client.base_url).replace("/v1/", "/") + "version")
        except httpx.HTTPError as error:
            raise self._silent(error) from error
        if answer.status_code >= 500:  # not "unknown": the version is part of what the answers are filed under
            raise CapsafeError(f"The server at {self._settings['base_url']} is not ready: {self._reason(answer)}", "Resume the job when it is.")
        try:
            return f"vllm {answer.json()['version']}" if answer.status_code == 200 else "unknown"
        except (ValueError, KeyError, TypeError):
            return "unknown"

    def _silent(self, error: Exception) -> CapsafeError:
        return CapsafeError(
            f"The server at {self._settings['base_url']} does not answer: {self._clean(f'{type(error).__name__}: {error}')}", "Start it, or correct base_url under [engine]; then resume the job."
        )

    def _reason(self, response: httpx.Response) -> str:
        return f"{response.status_code} {' '.join(self._clean(response.text).split())[:200]}"

    def _clean(self, text: str) -> str:
        """A text without the key, whatever the server echoed."""
        return text.replace(self._key, "[key]") if self._key else text


class _Unanswered(RuntimeError):
    """One request got no answer."""


class _Unreadable(Exception):
    """The server said 200 and sent something that is no answer."""


def _body(request: Request) -> tuple[str, dict[str, Any]]:
    """The path and the body of a request, but for the decoding."""
    if request.raw:
        return "completions", {"prompt": request.messages[0]["content"] + request.begun}
    messages: list[Message] = [*request.messages, *([{"role": "assistant", "content": request.begun}] if request.begun else [])]
    begun = {"add_generation_prompt": False, "continue_final_message": True} if request.begun else {}
    template = {"chat_template_kwargs": dict(request.template)} if request.template else {}
    return "chat/completions", {"messages": messages, **begun, **template}


def _readable(response: httpx.Response) -> dict[str, Any]:
    try:
        data = response.json()
        choice = data["choices"][0]
        if not isinstance(_said(choice), str) and choice.get("finish_reason") not in ("content_filter", "length"):
            raise _Unreadable("the answer has no text")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise _Unreadable(f"the server sent something that is no answer ({type(error).__name__})") from error
    return dict(data)


def _said(choice: Mapping[str, Any]) -> Any:
    """What the model said, in an answer of either kind."""
    return choice["message"].get("content") if "message" in choice else choice["text"]


def _completion(key: str, data: dict[str, Any], logprobs: bool) -> Completion:
    choice = data["choices"][0]
    logs = None
    if logprobs:
        found = choice.get("logprobs") or {}
        logs = tuple(found["token_logprobs"]) if "token_logprobs" in found else tuple(t["logprob"] for t in found.get("content") or ())
    tokens = (data.get("usage") or {}).get("completion_tokens")
    whole = (_said(choice) or "").encode("utf-8", "replace").decode()  # half of a character is none
    return Completion(key, whole, choice.get("finish_reason") or "stop", int(tokens or 0), logs)


def _top_logs(data: dict[str, Any]) -> dict[str, float]:
    """The log-probabilities that a server tells of the first token.

    Raises:
        CapsafeError: it tells none.
    """
    found = data["choices"][0].get("logprobs") or {}
    if found.get("top_logprobs"):
        return {str(token): float(log) for token, log in found["top_logprobs"][0].items()}
    if found.get("content"):
        return {str(t["token"]): float(t["logprob"]) for t in found["content"][0]["top_logprobs"]}
    raise CapsafeError("The server tells no log-probabilities.", "Use a judge that answers in text, or a server that has them, such as vLLM's.")


def _first_token(option: str, known: Mapping[str, float]) -> str | None:
    """The token among those that a server tells of that is an option; None where there is none. A token that only begins like it may be another word."""
    return max((token for token in known if token.strip() == option.strip()), key=lambda token: known[token], default=None)


def _seconds(text: str | None) -> float | None:
    """Retry-After in seconds; None where it is missing or a date."""
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None
