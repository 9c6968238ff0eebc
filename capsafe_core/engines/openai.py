"""Generation by any server that speaks OpenAI's API: vLLM's, a router over a cluster, a hosted model."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from capsafe_core.addresses import addresses_of
from capsafe_core.engines.asking import Answer, Asker, NoConnection, ServerTrouble, Stopped
from capsafe_core.engines.base import (
    Completion,
    Failure,
    Finished,
    Request,
    Unit,
    request_seed,
    single_plan,
)
from capsafe_core.engines.models import Weights, adapter_digest
from capsafe_core.engines.openai_answers import Said, body_of, first_token, read_answer, seconds_of
from capsafe_core.engines.servers import Servers
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
    """A bounded number of requests at a time to each server; each is repeated with back-off and jitter while
    the server has trouble.

    The key is read from the environment variable that the settings name, and stands in no message.
    """

    name = "openai"
    dtype = "server"
    template_digest = "server"
    folds_system = False

    def __init__(
        self,
        weights: Weights,
        adapters: Sequence[Path],
        settings: dict[str, Any],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        if weights.adapters:
            raise CapsafeError(
                "A server answers with one adapter over what it serves, and this checkpoint has several.",
                "Merge the first ones into the model that is served.",
            )
        addresses = addresses_of(settings)
        self._at_a_time = settings["concurrency"] * len(addresses)
        self.batch_size = 16 * self._at_a_time
        self._model = weights.name
        self._settings = settings
        self._key = os.environ.get(settings["api_key_env"], "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise CapsafeError(
                f"The key in the environment variable {settings['api_key_env']} holds signs that no key has.",
                "Set it again; it is not shown here.",
            )
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._ended = threading.Event()
        self._stopped = stopped
        self._tells = False
        self._servers = Servers([self._asker(address, headers) for address in addresses])
        askers = [server.asker for server in self._servers.all]
        self._adapters = {path: self._load_on(askers, path) for path in dict.fromkeys(adapters)}
        self.version = self._one_version(askers)

    def _asker(self, address: str, headers: dict[str, str]) -> Asker:
        try:
            return Asker(address, headers, self._settings["timeout"], self._at_a_time + 1, self._is_over)
        except ValueError as error:
            raise CapsafeError(
                f"The address {address} cannot be used: {error}.",
                "Correct base_url or replicas under [engine].",
            ) from error

    def plan(self, requests: Sequence[Request]) -> list[Unit]:
        return single_plan(requests)

    def generate(self, units: Sequence[Unit]) -> Generator[Finished, None, None]:
        """As every engine; while the server is silent, what is finished is nothing, about once a second."""
        pool = ThreadPoolExecutor(self._at_a_time)
        self._ended.clear()
        running: dict[Future[Completion | Failure], Unit] = {
            pool.submit(self._answer, unit.requests[0]): unit for unit in units
        }
        try:
            while running:
                done, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
                found = [(running.pop(future), future.result()) for future in done]
                if self._stopped():  # what the stop cut short is not a failure: it is asked again
                    found = [(unit, answer) for unit, answer in found if isinstance(answer, Completion)]
                answers = [answer for _, answer in found]
                yield Finished(
                    tuple(unit for unit, _ in found),
                    tuple(a for a in answers if isinstance(a, Completion)),
                    tuple(a for a in answers if isinstance(a, Failure)),
                )
        finally:  # also where the caller wants no more: what is on its way is not waited for
            self._ended.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def choose(self, requests: Sequence[Request], options: Sequence[str]) -> list[list[float]]:
        with ThreadPoolExecutor(self._at_a_time) as pool:
            self._ended.clear()
            return list(pool.map(lambda request: self._first_logs(request, options), requests))

    def _first_logs(self, request: Request, options: Sequence[str]) -> list[float]:
        top = self._settings["top_logprobs"]
        more = {"logprobs": top} if request.raw else {"logprobs": True, "top_logprobs": top}
        known = self._ask(request, {"max_tokens": 1, "temperature": 0.0, **more}).top
        if not known:
            if self._tells:
                raise _Unanswered("the server told no log-probabilities this time")
            raise CapsafeError(
                "The server tells no log-probabilities.",
                "Use a judge that answers in text, or a server that has them, such as vLLM's.",
            )
        self._tells = True
        first = [first_token(option, known) for option in options]
        told = [token for token in first if token is not None]
        if len(set(told)) < len(told):
            raise CapsafeError(
                f"The options {', '.join(options)} begin with the same token.",
                "Use a judge that answers in text.",
            )
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
            said = self._ask(request, decoding)
            logs = said.logs if sampling.logprobs else None
            if said.reasoning:
                return Completion(
                    request.key, said.text, said.finish_reason, said.tokens, logs, said.reasoning
                )
            return Completion.of(request.key, said.text, said.finish_reason, said.tokens, logs)
        except _Unanswered as error:
            return Failure(request.key, str(error))

    def _ask(self, request: Request, decoding: dict[str, Any]) -> Said:
        """The server's answer, after as many tries as the settings allow.

        Raises:
            _Unanswered: this request got no answer.
            CapsafeError: no request would get one.
        """
        path, body = body_of(request)
        body = {
            "model": self._adapters[request.adapter] if request.adapter else self._model,
            **body,
            **decoding,
        }
        wait_for = FIRST_WAIT
        for attempt in range(self._settings["retries"] + 1):
            self._hold()
            if self._is_over():
                raise _Unanswered("given up, for the job was stopped")
            asked_to_wait = None
            try:
                response, server = self._servers.ask("POST", path, body)
                if response.status == 200:
                    return read_answer(response.json())
                reason = self._reason(response)
                if response.status in ENDING:
                    raise CapsafeError(
                        f"The server refuses every request: {reason}",
                        "Check the model's name and the key in the environment variable "
                        f"{self._settings['api_key_env']}; `curl {server.asker.base_url}/models` lists "
                        "what the server has.",
                    )
                if response.status not in RETRIED:
                    raise _Unanswered(reason)
                asked_to_wait = seconds_of(response.retry_after)
            except Stopped as error:
                raise _Unanswered(str(error)) from error
            except ServerTrouble as error:
                reason = self._clean(str(error))
                if attempt == self._settings["retries"] and isinstance(error, NoConnection):
                    raise self._silent(self._settings["base_url"], error) from error
            if attempt == self._settings["retries"]:
                break
            pause = wait_for * random.uniform(0.5, 1.5)
            if asked_to_wait is not None:
                pause = min(asked_to_wait, LONGEST_ASKED) * random.uniform(1.0, 1.1)
                self._servers.hold(server, pause)  # a limit on the rate holds for every request to it
                continue
            self._pause(pause)
            wait_for = min(2 * wait_for, LONGEST_WAIT)
        raise _Unanswered(f"{reason} (asked {self._settings['retries'] + 1} times)")

    def _hold(self) -> None:
        """Wait while every server has asked for a rest."""
        while (left := self._servers.held()) > 0 and not self._is_over():
            self._pause(left)

    def _pause(self, seconds: float) -> None:
        """Wait, unless the job is stopped."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._is_over():
            self._ended.wait(min(left, 0.5))

    def _is_over(self) -> bool:
        return self._ended.is_set() or self._stopped()

    def _load_on(self, askers: Sequence[Asker], adapter: Path) -> str:
        """The served name of an adapter, which is the same on every server."""
        (name,) = {self._load(asker, adapter) for asker in askers}
        return name

    def _load(self, asker: Asker, adapter: Path) -> str:
        """The served name of an adapter; a vLLM server that may load adapters at run time is asked to.

        Raises:
            CapsafeError: the server has not got it and does not load it.
        """
        name = f"capsafe-{adapter_digest(adapter)[:16]}"
        try:
            models = asker.ask("GET", "models")
            if models.status != 200:
                raise CapsafeError(
                    f"The server does not list its models: {self._reason(models)}",
                    f"Check the key in the environment variable {self._settings['api_key_env']}.",
                )
            served = {m["id"] for m in models.json()["data"]}
            if name in served:
                return name
            response = asker.ask("POST", "load_lora_adapter", {"lora_name": name, "lora_path": str(adapter)})
        except (ServerTrouble, KeyError, TypeError) as error:
            raise self._silent(asker.base_url, error) from error
        if response.status != 200:
            raise CapsafeError(
                f"The server does not load the adapter {adapter}: {self._reason(response)}",
                "Start it with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True on a machine that "
                f"sees this folder, or give it --lora-modules {name}={adapter}.",
            )
        return name

    def _one_version(self, askers: Sequence[Asker]) -> str:
        """The version of all servers: it is a part of what answers are filed under.

        Raises:
            CapsafeError: one does not answer, or they differ.
        """
        found = {asker.base_url: self._server_version(asker) for asker in askers}
        if len(set(found.values())) > 1:
            told = ", ".join(f"{address} has {version}" for address, version in found.items())
            raise CapsafeError(
                f"The servers differ: {told}.",
                "Start the same version everywhere, or leave the others out of replicas under [engine].",
            )
        return next(iter(found.values()))

    def _server_version(self, asker: Asker) -> str:
        """What vLLM's servers tell of themselves; "unknown" elsewhere.

        Raises:
            CapsafeError: nothing answers at the address.
        """
        try:
            answer = asker.ask("GET", f"{asker.base_url}/".replace("/v1/", "/") + "version")
        except ServerTrouble as error:
            raise self._silent(asker.base_url, error) from error
        if answer.status >= 500:  # not "unknown": the version is part of what the answers are filed under
            raise CapsafeError(
                f"The server at {asker.base_url} is not ready: {self._reason(answer)}",
                "Resume the job when it is.",
            )
        try:
            version = answer.json()["version"] if answer.status == 200 else None
        except (ServerTrouble, KeyError, TypeError):
            return "unknown"
        return f"vllm {version}" if isinstance(version, str) and len(version) <= 64 else "unknown"

    def _silent(self, address: str, error: Exception) -> CapsafeError:
        others = len(self._servers.all) - 1
        return CapsafeError(
            f"The server at {address} does not answer: {self._clean(str(error) or type(error).__name__)}",
            f"Start it, or {'leave it out of' if others else 'correct'} base_url"
            f"{' and replicas' if others else ''} under [engine]; then resume the job.",
        )

    def _reason(self, response: Answer) -> str:
        return f"{response.status} {' '.join(self._clean(response.text).split())[:200]}"

    def _clean(self, text: str) -> str:
        """A text without the key, whatever the server echoed."""
        return text.replace(self._key, "[key]") if self._key else text


class _Unanswered(RuntimeError):
    """One request got no answer."""
