"""A server without login: its token in a real browser, and what reaches it without one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.e2e.site import free_port, settle, start
from tests.synthetic import write_study

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """A server that makes its own token: its address, the token, and where what it prints is kept."""
    home = tmp_path_factory.mktemp("door")
    write_study(home / "jobs", safety_size=12, capability_size=10)
    port = free_port()
    server = start(home, port, token=None)
    found = re.search(r"open (http://127.0.0.1:\d+)/\?token=(\S+)", (home / "log").read_text())
    assert found
    yield found[1], found[2], home / "log"
    server.terminate()
    server.wait(timeout=20)


def test_the_printed_address_opens_and_the_token_is_seen_nowhere_after(
    printed: tuple[str, str, Path], browser: Browser
) -> None:
    base, token, log = printed
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    later: list[str] = []
    page.on("request", lambda r: later.append(f"{r.url} {r.headers}"))
    page.goto(f"{base}/capability?policy=excluded&token={token}")
    settle(page)
    assert page.url == f"{base}/capability?policy=excluded"
    assert page.locator("h1").first.inner_text().endswith("?")
    assert sum(token in request for request in later) == 1
    assert page.evaluate("document.cookie").find("capsafe") == -1
    assert token not in page.evaluate("JSON.stringify([localStorage, sessionStorage])") + page.content()
    assert log.read_text().count(token) == 1
    page.goto(f"{base}/runs")  # and it is still let in
    settle(page)
    page.close()


def test_a_browser_without_the_token_gets_a_form_that_takes_it(
    printed: tuple[str, str, Path], browser: Browser
) -> None:
    base, token, _ = printed
    page = browser.new_page()
    assert (answer := page.goto(f"{base}/outputs?search=a%20b"))
    assert answer.status == 403
    page.get_by_label("Token").fill("something that is not it")
    page.get_by_role("button", name="Open").click()
    page.get_by_text("not the one of this server").wait_for()
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Open").click()
    settle(page)
    assert page.url == f"{base}/outputs?search=a%20b"
    page.close()


def test_neither_websocket_nor_uploads_nor_media_answer_without_the_cookie(
    printed: tuple[str, str, Path],
) -> None:
    base, token, _ = printed
    for method, path in (
        ("PUT", "/_stcore/upload_file/a/b"),
        ("DELETE", "/_stcore/upload_file/a/b"),
        ("GET", "/media/a.png"),
        ("GET", "/_stcore/host-config"),
        ("GET", "/static/manifest.json"),
    ):
        assert httpx2.request(method, base + path).status_code == 403
    stream = base.replace("http", "ws") + "/_stcore/stream"
    for address in (stream, f"{stream}?token={token}"):
        with pytest.raises(InvalidStatus, match="403"), connect(address):
            pass
    cookie = {"Cookie": httpx2.get(f"{base}/?token={token}").headers["set-cookie"].split(";")[0]}
    with connect(stream, additional_headers=cookie):
        pass
    for origin in (
        "http://127.0.0.1:1",
        "http://localhost",
        "http://evil.example",
        "null",
    ):  # Streamlit itself takes any port of this host
        with (
            pytest.raises(InvalidStatus, match="403"),
            connect(stream, additional_headers=cookie, origin=origin),
        ):  # type: ignore[arg-type]
            pass


@pytest.mark.parametrize(
    "text", ["", "[Auth]\n", 'auth = "x"\n', "[auth]\ncookie_se"], ids=["empty", "capital", "text", "cut"]
)
def test_a_broken_login_starts_and_says_so_to_everybody(tmp_path: Path, browser: Browser, text: str) -> None:
    secrets, port = tmp_path / "secrets.toml", free_port()
    secrets.write_text(text)
    server = start(tmp_path, port, "--secrets.files", str(secrets), token=None)
    page = browser.new_page()
    for path in ("", "/labels", "/?token=x"):
        assert (answer := page.goto(f"http://127.0.0.1:{port}{path}"))
        assert answer.status == 503
        assert str(secrets) in page.inner_text("body")
    page.close()
    server.terminate()
    server.wait(timeout=20)
    said = (tmp_path / "log").read_text()
    assert said.count("closed to everybody") == 1
    assert "Traceback" not in said
