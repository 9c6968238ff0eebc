"""A shared server: people log in with OpenID Connect, and see and do what their role allows. The provider is
a small one of our own."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from playwright.sync_api import Browser, Page

from capsafe_core.settings import ROOT
from tests.e2e.site import free_port, settle, start
from tests.synthetic import write_study

pytestmark = pytest.mark.browser


class Provider:
    """An OpenID Connect provider at which whoever `who` names logs in at once."""

    def __init__(self) -> None:
        self.who = ""
        self.claims: dict[str, Any] = {}
        key = RSAKey.generate_key(2048, {"kid": "k", "use": "sig", "alg": "RS256"})
        nonces: dict[str, str] = {}
        provider = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, query = (
                    urlsplit(self.path).path,
                    {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()},
                )
                if path == "/authorize":
                    nonces[provider.who] = query.get("nonce", "")
                    self.send_response(302)
                    self.send_header(
                        "Location",
                        f"{query['redirect_uri']}?{urlencode({'code': provider.who, 'state': query['state']})}",
                    )
                    self.end_headers()
                elif path == "/jwks":
                    self.reply({"keys": [key.as_dict(private=False)]})
                else:
                    ends = {
                        f"{name}_endpoint": f"{provider.url}/{name}" for name in ("authorization", "token")
                    }
                    ends["authorization_endpoint"] = f"{provider.url}/authorize"
                    self.reply(
                        {
                            "issuer": provider.url,
                            "jwks_uri": f"{provider.url}/jwks",
                            "response_types_supported": ["code"],
                            "id_token_signing_alg_values_supported": ["RS256"],
                            **ends,
                        }
                    )

            def do_POST(self) -> None:
                body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                who, now = body["code"][0], int(time.time())
                claims = {
                    "iss": provider.url,
                    "sub": who,
                    "aud": "capsafe",
                    "exp": now + 600,
                    "iat": now,
                    "nonce": nonces[who],
                    "email": who,
                    "email_verified": True,
                    "name": who.split("@")[0],
                }
                claims = {
                    name: value for name, value in {**claims, **provider.claims}.items() if value is not None
                }
                self.reply(
                    {
                        "access_token": "a",
                        "token_type": "Bearer",
                        "expires_in": 600,
                        "id_token": jwt.encode({"alg": "RS256", "kid": "k"}, claims, key),
                    }
                )

            def reply(self, what: dict[str, Any]) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(what).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Provider, Path]]:
    home = tmp_path_factory.mktemp("shared")
    write_study(home / "jobs", safety_size=12, capability_size=10)
    (home / "roles.toml").write_text('"ada@example.org" = "researcher"\n"ben@example.org" = "annotator"\n')
    provider, port = Provider(), free_port()
    secrets = home / "secrets.toml"
    secrets.write_text(
        f'[auth]\nredirect_uri = "http://127.0.0.1:{port}/oauth2callback"\ncookie_secret = "for this test '
        'only"\nclient_id = "capsafe"\nclient_secret = "s"\nserver_metadata_url = '
        f'"{provider.url}/.well-known/openid-configuration"\n'
    )
    server = start(home, port, "--secrets.files", str(secrets))
    yield f"http://127.0.0.1:{port}", provider, home
    server.terminate()
    server.wait(timeout=20)
    provider.server.shutdown()


def make_queue(home: Path, name: str) -> str:
    """A queue made by a command, which the running app answers; its id."""
    command = [sys.executable, "-m", "capsafe_core.cli", "queue", "make", name, "--size", "12"]
    environment = {**os.environ, "CAPSAFE_HOME": str(home)}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout.split(":")[0]


def log_in(browser: Browser, shared: tuple[str, Provider, Path], who: str, path: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
    page.goto(f"{shared[0]}/{path}")
    settle(page)
    assert page.locator("h1").first.inner_text() == "Please log in"
    assert page.locator("[data-testid=stTopNavLink]").count() == 0
    shared[1].who = who
    page.get_by_role("button", name="Log in").click()
    page.wait_for_function(
        "() => ![...document.querySelectorAll('h1')].some(h => h.innerText === 'Please log in') && "
        "document.querySelector('h1')",
        timeout=60_000,
    )
    page.goto(f"{shared[0]}/{path}")
    settle(page)
    return page


def links(page: Page) -> list[str]:
    return [link.inner_text().split("\n")[-1] for link in page.locator("[data-testid=stTopNavLink]").all()]


def test_a_stranger_may_look_and_not_label(shared: tuple[str, Provider, Path], browser: Browser) -> None:
    page = log_in(browser, shared, "eve@example.org", "annotate")
    assert "Overview" in links(page)
    assert not {"Annotate", "Labels", "Runs"} & set(links(page))
    assert not page.locator("h1").first.inner_text().startswith("Is this response")
    page.context.close()


def test_an_annotator_sees_no_judge_and_a_researcher_everything(
    shared: tuple[str, Provider, Path], browser: Browser
) -> None:
    page = log_in(browser, shared, "ben@example.org", "disagreement")
    assert page.locator("h1").first.inner_text().startswith("Is this response coherent")
    assert page.get_by_text("No queue is open").count() == 1
    page.context.close()
    page = log_in(browser, shared, "Ada@example.org", "labels")
    assert {"Annotate", "Labels", "Runs", "Overview"} <= set(links(page))
    page.get_by_role("button", name="Make a queue").click()
    page.get_by_role("button", name="Make the queue").click()
    page.get_by_text("small ones with a larger share").first.wait_for(timeout=30_000)
    page.context.close()
    page = log_in(browser, shared, "ben@example.org", "annotate")
    page.locator("[data-part=item]:not([hidden])").wait_for(timeout=30_000)
    assert "ben@example.org: 0 done" in page.locator("[data-part=progress]").inner_text()
    page.context.close()


def test_a_file_is_given_to_nobody_without_a_login(
    shared: tuple[str, Provider, Path], browser: Browser
) -> None:
    page = log_in(browser, shared, "ada@example.org", "capability")
    page.locator("summary").first.click()
    settle(page)  # a button that still moves is missed
    with page.expect_download(timeout=90_000) as download:
        page.get_by_text("Download CSV").first.click()
    assert "/media/" in download.value.url
    for cookie in ("", "x", '"x"'):
        assert (
            httpx2.get(download.value.url, cookies={"_streamlit_user": cookie} if cookie else {}).status_code
            == 403
        )
    assert page.context.request.get(download.value.url).status == 200
    page.context.close()


def test_an_annotators_link_to_a_queue_survives_the_login(
    shared: tuple[str, Provider, Path], browser: Browser
) -> None:
    queues = {name: make_queue(shared[2], name) for name in ("First", "Second")}
    for name in ("First", "Second"):
        page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
        page.goto(f"{shared[0]}/annotate?queue={queues[name]}")
        settle(page)
        shared[1].who = "ben@example.org"
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"**/annotate?queue={queues[name]}", timeout=60_000)
        page.locator("[data-part=item]:not([hidden])").wait_for(timeout=30_000)
        assert page.get_by_text("Page not found").count() == 0
        assert page.get_by_role("combobox", name="Queue").input_value() == name
        page.goto(f"{shared[0]}/?queue={queues[name]}")  # the first page leads there too
        page.locator("[data-part=item]:not([hidden])").wait_for(timeout=30_000)
        assert page.get_by_role("combobox", name="Queue").input_value() == name
        assert links(page) == []
        page.context.close()


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": None},
        {"email_verified": "true"},
        {"email_verified": 1},
        {"email": None},
        {"email": "ada"},
    ],
)
def test_an_address_that_nobody_checked_is_not_let_in(
    shared: tuple[str, Provider, Path], browser: Browser, claims: dict[str, Any]
) -> None:
    shared[1].claims = claims
    try:
        page = log_in(browser, shared, "ada@example.org", "labels")
    finally:
        shared[1].claims = {}
    assert page.locator("h1").first.inner_text() == "You are not let in"
    assert page.get_by_text("Your login provider").count() == 1
    assert page.get_by_role("button", name="Log out").count() == 1
    assert links(page) == []
    page.context.close()
