"""Which role reaches which door: pages, routes that serve and take files, and messages of the socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as some
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash
from streamlit.web.server import server_util
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from capsafe_core.people import Person
from capsafe_core.settings import ROOT, Settings
from capsafe_core.ui import identity
from capsafe_core.ui.admission import LONGEST_OF_STRANGERS, USER_COOKIE, needed_role
from capsafe_core.ui.door import Door
from capsafe_core.ui.login import unpin
from tests.conftest import made_up_home
from tests.ui.test_door import client_of
from tests.ui.test_login import AUTH, WHOLE, secrets

__all__ = ["secrets"]
ORIGIN = "http://127.0.0.1:8501"
WHO = {
    "": None,
    "unchecked": {"email": "ada@example.org", "email_verified": "true"},
    "viewer": {"email": "eve@example.org", "email_verified": True},
    "annotator": {"email": "ben@example.org", "email_verified": True},
    "researcher": {"email": "ada@example.org", "email_verified": True},
}
"""nobody, somebody whose address nobody checked, and the roles, with what a provider says of each"""
ALL, LOGGED_IN, RESEARCHER = set(WHO), {"viewer", "annotator", "researcher"}, {"researcher"}
REACHED = {
    "/": ALL,
    "/annotate": ALL,
    "/static/js/main.js": ALL,
    "/_stcore/health": ALL,
    "/_stcore/host-config": ALL,
    "/auth/login": ALL,
    "/auth/logout": ALL,
    "/oauth2callback": ALL,
    "/media/x.csv": LOGGED_IN,
    "/component/a/b": LOGGED_IN,
    "/_stcore/bidi-components/a/b": LOGGED_IN,
    "/_stcore/upload_file/session/file": RESEARCHER,
    "/_stcore/metrics": set(),
    "/_stcore/script-health-check": set(),
    "/_stcore/agent/interact": set(),
    "/_stcore/agent/openapi.json": set(),
    "/_stcore/agent/mcp": set(),
    "/_stcore/what-comes-next": set(),
}
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH")
SENT = {
    "rerun_script": ALL,
    "stop_script": ALL,
    "app_heartbeat": ALL,
    "file_urls_request": RESEARCHER,
    "backend_operation_request": LOGGED_IN,
    "clear_cache": set(),
    "set_run_on_save": set(),
    "load_git_info": set(),
    "debug_disconnect_websocket": set(),
    "debug_shutdown_runtime": set(),
}


@pytest.fixture
def client(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client of a server with a login and roles."""
    secrets.write_text(WHOLE)
    monkeypatch.setattr(server_util, "secrets_singleton", st.secrets)  # what signs cookies reads its own
    secrets.with_name("roles.toml").write_text(
        '"ada@example.org" = "researcher"\n"ben@example.org" = "annotator"\n'
    )
    with client_of() as found:
        yield found
    unpin()


def cookie(claims: dict[str, Any] | None, secret: str = AUTH["cookie_secret"]) -> dict[str, str]:
    """The headers of somebody whom a provider vouched for."""
    if claims is None:
        return {}
    payload = json.dumps({"origin": ORIGIN, "is_logged_in": True, **claims})
    return {"cookie": f"{USER_COOKIE}={create_signed_value(secret, USER_COOKIE, payload).decode()}"}


@pytest.mark.parametrize("who", WHO)
def test_a_route_is_reached_by_the_roles_that_may(client: TestClient, who: str) -> None:
    for path, roles in REACHED.items():
        for method in METHODS:
            answer = client.request(method, f"http://localhost{path}", headers=cookie(WHO[who]))
            assert (answer.status_code < 400) == (who in roles), (method, path)
            assert ("inside" in answer.text) <= (who in roles), (method, path)


def _beginning(path: str) -> str:
    parts = path.split("/")[1:]
    return "/".join(parts[: 2 if parts[0] == "_stcore" else 1])


def test_every_route_that_streamlit_has_stands_in_the_table() -> None:
    """A version of Streamlit with another route fails here, and somebody decides who reaches it."""
    app = st.App(str(ROOT / "capsafe_core" / "ui" / "router.py"))._build_starlette_app()
    places = {route.path for route in app.routes if isinstance(route, Route)}
    assert len(places) > 10
    known = {_beginning(path) for path in REACHED}
    assert {place for place in places if _beginning(place) not in known} == set()
    assert set(SENT) == {field.name for field in BackMsg.DESCRIPTOR.oneofs_by_name["type"].fields}


@pytest.mark.parametrize(
    "claims",
    [
        {**WHO["researcher"], "is_logged_in": False},  # type: ignore[dict-item]
        {**WHO["researcher"], "is_logged_in": "true"},  # type: ignore[dict-item]
        {**WHO["researcher"], "email": ["ada@example.org"]},  # type: ignore[dict-item]
    ],
)
def test_a_cookie_that_does_not_say_who_logged_in_is_nobodys(client: TestClient, claims: Any) -> None:
    for path in ("/media/x.csv", "/_stcore/upload_file/session/file"):
        assert client.get(path, headers=cookie(claims)).status_code == 403


def test_forged_cookies_and_roles_that_cannot_be_read_reach_nothing(client: TestClient) -> None:
    forged = cookie(WHO["researcher"], "another secret of somebody else")
    real = cookie(WHO["researcher"])
    cut = {"cookie": real["cookie"][:-3]}
    other = {"cookie": real["cookie"].replace(USER_COOKIE, "_streamlit_user_tokens")}
    for headers in (forged, cut, other, {"cookie": f"{USER_COOKIE}=ada@example.org"}):
        assert client.put("/_stcore/upload_file/session/file", headers=headers).status_code == 403
    assert client.put("/_stcore/upload_file/session/file", headers=real).status_code == 200
    (Settings().home / "roles.toml").write_text('"ada@example.org" = "queen"\n')
    assert client.put("/_stcore/upload_file/session/file", headers=real).status_code == 403
    (Settings().home / "roles.toml").write_text("")  # a role that was taken back is gone at the next request
    assert client.put("/_stcore/upload_file/session/file", headers=real).status_code == 403
    assert client.get("/media/x.csv", headers=real).status_code == 200


def test_a_page_elsewhere_cannot_use_the_browser_of_a_researcher(client: TestClient) -> None:
    for origin in ("http://evil.example", "null", "http://localhost:81", "file://"):
        headers = {**cookie(WHO["researcher"]), "origin": origin}
        for path in ("/_stcore/upload_file/session/file", "/media/x.csv", "/auth/logout"):
            assert client.put(path, headers=headers).status_code == 403


@given(
    slashes=some.integers(1, 4),
    base=some.sampled_from(["", "/lab", "/a/b"]),
    rest=some.text("abc/._-%", max_size=12),
)
def test_no_way_of_writing_a_path_needs_less(slashes: int, base: str, rest: str) -> None:
    assert needed_role(f"{base}{'/' * slashes}_stcore/upload_file/{rest}", base) == "researcher"
    assert needed_role(f"{base}{'/' * slashes}media/{rest}", base) == "viewer"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Behind the door: says what kind of message came through."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        try:
            said = BackMsg.FromString(message["bytes"]).WhichOneof("type") or "nothing"
        except DecodeError:
            said = "no message"
        await send({"type": "websocket.send", "text": said})


def message(kind: str) -> bytes:
    found = BackMsg()
    field = BackMsg.DESCRIPTOR.fields_by_name[kind]
    if field.message_type:
        getattr(found, kind).SetInParent()
    else:
        setattr(found, kind, True)
    return found.SerializeToString()


def passed(client: TestClient, headers: dict[str, str]) -> set[str]:
    """The kinds of message that come through the door."""
    through = set()
    with client.websocket_connect("ws://localhost/_stcore/stream", headers=headers) as socket:
        for kind in SENT:
            socket.send_bytes(message(kind))
            socket.send_bytes(message("app_heartbeat"))
            while (said := socket.receive_text()) != "app_heartbeat":
                through.add(said)
            if kind == "app_heartbeat":
                through.add(socket.receive_text())
    return through


@pytest.mark.parametrize("who", WHO)
def test_a_message_of_the_socket_passes_for_the_roles_that_may_send_it(
    client: TestClient, secrets: Path, who: str
) -> None:
    behind = TestClient(Door(echo), base_url="http://localhost")
    expected = {kind for kind, roles in SENT.items() if who in roles}
    assert passed(behind, cookie(WHO[who])) == expected
    with behind.websocket_connect("ws://localhost/_stcore/stream", headers=cookie(WHO[who])) as socket:
        large = BackMsg()
        large.rerun_script.query_string = "x" * (LONGEST_OF_STRANGERS + 1)
        socket.send_bytes(large.SerializeToString())
        socket.send_bytes(b"\xff\xff")
        first = socket.receive_text()
        assert first == ("rerun_script" if who in LOGGED_IN else "no message")


def test_where_there_is_no_login_the_token_lets_through_what_a_researcher_may(
    workspace: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSAFE_TOKEN", "a-token-of-these-tests")
    behind = TestClient(Door(echo), base_url="http://localhost", follow_redirects=False)
    with pytest.raises(WebSocketDisconnect), behind.websocket_connect("ws://localhost/_stcore/stream"):
        pass
    behind.get("/?token=a-token-of-these-tests")
    assert passed(behind, {}) == {kind for kind, roles in SENT.items() if "researcher" in roles}
    unpin()


PAGES = {
    "annotate.py": {"annotator", "researcher"},
    "labels.py": {"researcher"},
    "runs.py": {"researcher"},
    "data.py": {"researcher"},
}
"""pages that not every role sees; all others are for viewers and researchers"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with made_up_home(tmp_path_factory.mktemp("roles"), 4, 3) as home:
        yield home


@pytest.mark.parametrize("role", ["viewer", "annotator", "researcher"])
def test_a_page_is_shown_to_the_roles_that_may_see_it(
    filled: Path, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    """Asked for by its address or by what a forged message names it, a page of another role is not run."""
    run: list[str] = []
    real = st.Page

    def noting(page: Any, **more: Any) -> Any:
        return real((lambda: run.append(Path(page).name)) if isinstance(page, str) else page, **more)

    monkeypatch.setattr(identity, "has_login", lambda: True)
    monkeypatch.setattr(identity, "_logged_in", lambda: Person("somebody@example.org", role))
    monkeypatch.setattr(st, "Page", noting)
    files = {path.name for path in (ROOT / "pages").glob("*.py")}
    assert files > set(PAGES)
    for page in sorted(files):
        run.clear()
        app = AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=60)
        app._page_hash = calc_hash("" if page == "overview.py" else page.removesuffix(".py"))
        app.run()
        may = role in PAGES.get(page, {"viewer", "researcher"})
        assert (page in run) == may, (page, run)
