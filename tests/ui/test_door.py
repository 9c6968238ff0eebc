"""The door around the app: a token, a cookie made from it, and nothing past either; over HTTP, websockets and
the start."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as some
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from streamlit import config

from capsafe_core.settings import Settings
from capsafe_core.ui import door
from capsafe_core.ui.door import Door, _is_way
from capsafe_core.ui.login import unpin
from tests.ui.test_login import WHOLE, secrets

__all__ = ["secrets"]
TOKEN = "token-of-these-tests"
COOKIE = "capsafe-80"


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    """What lies behind the door."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "inside"})
        await send({"type": "websocket.close"})
    elif scope["path"] == "/oauth2callback":
        await send({"type": "http.response.start", "status": 302, "headers": [(b"location", b"/")]})
        await send({"type": "http.response.body"})
    else:
        body = f"inside {scope['path']}?{scope['query_string'].decode()}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


def client_of(**options: Any) -> TestClient:
    return TestClient(Door(inside), base_url="http://localhost", follow_redirects=False, **options)


@pytest.fixture
def client(workspace: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("CAPSAFE_TOKEN", TOKEN)
    with client_of() as found:
        yield found
    unpin()


PATHS = (
    "/",
    "/annotate",
    "/_stcore/upload_file/a/b",
    "/media/x.png",
    "/static/js/main.js",
    "/component/a/b",
    "/_stcore/host-config",
    "/_stcore/health/",
    "//_stcore/health",
    "/_stcore/metrics",
)


def test_nothing_is_reached_without_the_token(client: TestClient) -> None:
    for path in PATHS:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            answer = client.request(method, f"http://localhost{path}")
            assert answer.status_code == 403, (method, path)
            assert "inside" not in answer.text
            assert answer.headers["cache-control"] == "no-store"
    assert client.get("/_stcore/health").status_code == 200
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect(f"ws://localhost/_stcore/stream?token={TOKEN}"),
    ):
        pass


def test_the_token_becomes_a_cookie_and_leaves_the_address(client: TestClient) -> None:
    answer = client.get(f"/annotate?queue=a%20b%2Bc&token={TOKEN}&x=%C3%A9&x=2")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/annotate?queue=a%20b%2Bc&x=%C3%A9&x=2"
    cookie = answer.headers["set-cookie"]
    assert re.fullmatch(COOKIE + r"=[0-9a-f]{64}; HttpOnly; Path=/; SameSite=lax", cookie)
    assert TOKEN not in str(answer.headers) + answer.text
    assert client.get(answer.headers["location"]).text == "inside /annotate?queue=a%20b%2Bc&x=%C3%A9&x=2"
    with client.websocket_connect("ws://localhost/_stcore/stream") as socket:
        assert socket.receive_text() == "inside"
    again = client.get("/annotate?token=an-old-one&queue=q")  # an old bookmark in a browser that is let in
    assert again.headers["location"] == "/annotate?queue=q"
    assert "set-cookie" not in again.headers
    assert (
        client.get(f"http://localhost//evil.example/%5Cx?token={TOKEN}").headers["location"]
        == "/evil.example/%5Cx"
    )
    assert (
        client.get(f"http://localhost/%2F%5Cevil.example?token={TOKEN}").headers["location"]
        == "/evil.example"
    )


def test_the_form_lets_in_whoever_pastes_the_token(client: TestClient) -> None:
    page = client.get("/annotate?queue=q")
    assert 'name="token"' in page.text
    assert "<script" not in page.text
    wrong = client.post("/annotate?queue=q", data={"token": "something else<b>"})
    assert wrong.status_code == 403
    assert "something else" not in wrong.text
    assert "not the one" in wrong.text
    assert (
        client.post(
            "/annotate",
            content=b"token=" + b"x" * 10_000,
            headers={"content-type": "application/x-www-form-urlencoded"},
        ).status_code
        == 403
    )
    right = client.post(
        "/annotate?queue=q&token=wrong", data={"token": f" {TOKEN} "}, headers={"origin": "null"}
    )
    assert (right.status_code, right.headers["location"]) == (303, "/annotate?queue=q")
    assert client.get("/annotate").status_code == 200


def test_a_cookie_of_before_is_not_believed(client: TestClient) -> None:
    planted = client.get("/", headers={"cookie": f"{COOKIE}=planted"})
    assert planted.status_code == 403
    own = client.get(f"/?token={TOKEN}", headers={"cookie": f"{COOKIE}=planted"}).headers["set-cookie"]
    assert "planted" not in own
    value = own.split(";")[0].split("=")[1]
    client.cookies.clear()
    for cookie in (
        TOKEN,
        value[:-1],
        value + "0",
        value.upper(),
        "",
        "é".encode("latin-1").decode("latin-1"),
    ):
        assert (
            client.get("/", headers=[(b"cookie", f"{COOKIE}={cookie}".encode("latin-1"))]).status_code == 403
        )
    assert client.get("/", headers={"cookie": f"capsafe-8501={value}"}).status_code == 403
    assert client.get("/", headers={"cookie": f"{COOKIE}=planted; {COOKIE}={value}"}).status_code == 200


@given(shown=some.text(max_size=40))
def test_no_other_token_opens(shown: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAPSAFE_TOKEN", TOKEN)
        door = TestClient(Door(inside), base_url="http://localhost", follow_redirects=False)
        answer = door.get("/", params={"token": shown})
        assert (answer.status_code == 303) == (shown == TOKEN)
        unpin()


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://localhost:9", "http://127.0.0.1", "null", "https://localhost", ""],
)
def test_pages_of_other_sites_and_ports_are_refused(client: TestClient, origin: str) -> None:
    client.get(f"/?token={TOKEN}")
    if origin == "https://localhost":  # a proxy that speaks TLS
        assert client.get("/", headers={"origin": origin}).status_code == 200
        return
    assert client.get("/", headers={"origin": origin}).status_code == 403
    assert client.put("/_stcore/upload_file/a/b", headers={"origin": origin}).status_code == 403
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("ws://localhost/_stcore/stream", headers={"origin": origin}),
    ):
        pass
    assert client.get("/", headers={"origin": "http://localhost"}).status_code == 200


def test_a_token_is_made_at_each_start_and_printed_once(
    workspace: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []
    for _ in range(2):
        with client_of() as client:
            printed += re.findall(r"token=(\S{43}) ", text := capsys.readouterr().out)
            assert text.count("token") == 1
            assert client.get(f"/?token={printed[-1]}").status_code == 303
            assert client.get(f"/?token={printed[0]}x").status_code == 403 or client.cookies
    assert len(set(printed)) == 2


def test_no_token_is_explicit_and_asks_for_the_own_host(
    workspace: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAPSAFE_NO_TOKEN", "1")
    monkeypatch.setattr(
        config,
        "get_option",
        lambda name, real=config.get_option: "127.0.0.1" if name == "server.address" else real(name),
    )
    with client_of() as client:
        assert "Everybody" in capsys.readouterr().out
        assert client.get("/x").text == "inside /x?"
        assert client.get("/x", headers={"host": "rebound.example"}).status_code == 403
        assert client.get("/x", headers={"origin": "http://localhost:9"}).status_code == 403
    unpin()


@pytest.mark.parametrize("token", ["", "short", "with spaces in its middle", "é" * 20])
def test_a_token_that_anybody_could_guess_closes_the_door(
    workspace: Settings, monkeypatch: pytest.MonkeyPatch, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAPSAFE_TOKEN", token)
    with client_of() as client:
        printed = capsys.readouterr().out
        assert "CAPSAFE_TOKEN" in printed
        answer = client.get("/", params={"token": token})
        assert answer.status_code == 503
        assert "CAPSAFE_TOKEN" in answer.text
        assert not token or token not in answer.text + printed


NOT_SETTINGS = (
    some.integers(1, 4000).map(lambda n: f"x = {'[' * n}{']' * n}")
    | some.integers(1, 2000).map(lambda n: f"x = {'{a=' * n}1{'}' * n}")
    | some.integers(4400, 9000).map(lambda n: f"threads = {'1' * n}")
    | some.sampled_from(["\udcff", "[[", "servers = 3", 'home = "/"', "require_login = 2"])
)


@given(text=NOT_SETTINGS | some.none(), servers=some.sampled_from(["[{", "x", "3", '"', "[" * 9999]))
@example(text="threads = " + "1" * 5000, servers="")
def test_a_door_that_could_not_start_stays_closed_when_what_was_wrong_is_mended(
    tmp_path_factory: pytest.TempPathFactory, text: str | None, servers: str
) -> None:
    """Mended while the server runs: it let everybody in without a token."""
    home = tmp_path_factory.mktemp("broken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAPSAFE_HOME", str(home))
        if text is None:
            patch.setenv("CAPSAFE_SERVERS", servers)
        else:
            (home / "settings.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
        with client_of() as client:
            assert client.get("/").status_code == 503
            patch.delenv("CAPSAFE_SERVERS", raising=False)
            (home / "settings.toml").unlink(missing_ok=True)
            for path in PATHS:
                assert client.get(f"http://localhost{path}").status_code == 503
        unpin()


@pytest.mark.parametrize("error", [OSError, KeyError, RecursionError, MemoryError, UnicodeError, TypeError])
@pytest.mark.parametrize("what", ["Settings", "current_login", "pin", "_announcement"])
def test_whatever_goes_wrong_at_the_start_the_door_is_closed(
    workspace: Settings, monkeypatch: pytest.MonkeyPatch, what: str, error: type[Exception]
) -> None:
    def breaks(*_: object) -> None:
        raise error("no such luck")

    with monkeypatch.context() as patch:
        patch.setattr(door, what, breaks)
        client = client_of()
        assert client.get("/").status_code == 503
    assert client.get("/").status_code == 503
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("ws://localhost/_stcore/stream"):
        pass
    unpin()


def test_what_goes_wrong_later_closes_the_door(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client.get("/", params={"token": TOKEN})
    assert client.get("/").status_code == 200
    with monkeypatch.context() as patch:
        patch.setenv("CAPSAFE_SERVERS", "[{")
        answer = client.get("/")
        assert answer.status_code == 503
        assert "cannot be used" in answer.text
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("text", ["", "[Auth]\n", 'auth = "<b>x"\n', WHOLE[:90], "[auth]\nx = '<script>'"])
def test_a_broken_login_is_one_sentence_for_everybody(
    secrets: Any, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets.write_text(text)
    with client_of() as client:
        assert "closed to everybody" in capsys.readouterr().out
        for path in PATHS:
            answer = client.get(f"http://localhost{path}")
            assert answer.status_code == 503
            assert str(secrets) in answer.text
            assert "inside" not in answer.text
        assert client.get("/_stcore/health").text == "ok"
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("ws://localhost/_stcore/stream"):
            pass


def test_with_a_login_the_address_that_was_asked_for_comes_back(secrets: Any) -> None:
    secrets.write_text(WHOLE)
    page = {"accept": "text/html,*/*"}
    with client_of() as client:
        assert client.get("/annotate?queue=a%20b", headers=page).text.startswith("inside /annotate")
        client.get("/static/x.js", headers={"accept": "*/*"})
        client.get("/auth/login?provider=x", headers=page)
        back = client.get("/oauth2callback?code=1", headers=page)
        assert back.headers["location"] == "/annotate?queue=a%20b"
        assert client.get("/oauth2callback?code=1", headers=page).headers["location"] == "/"
        client.cookies.clear()
        for planted in (
            "//evil.example",
            "https://evil.example",
            "%2F%2Fevil.example",
            "/%5Cevil",
            "/\\evil.example",
            "/a b",
            "/a%0Ab",
            "x",
        ):
            answer = client.get("/oauth2callback", headers={**page, "cookie": f"capsafe-way-80={planted}"})
            assert answer.headers["location"] == "/" or _is_way(answer.headers["location"])
            assert not re.match(r"(//|/\\|https?:)", answer.headers["location"])
        secrets.write_text("[Auth]")
        assert client.get("/annotate", headers=page).status_code == 503
        assert client.get("/static/x.js").status_code == 503
