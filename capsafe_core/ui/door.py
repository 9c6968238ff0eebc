"""Who may reach the app at all: whoever logs in, or on a server without login whoever has its token.
Everything passes here.

A browser shows the token once, in the address or in a form, and gets a cookie that is made from it; the token
leaves the address at once. Where secrets or settings cannot be understood, the door answers everybody with
one sentence and starts nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import os
import re
import secrets
from urllib.parse import parse_qsl, quote, unquote, unquote_plus, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config
from streamlit.web.server.server_util import get_display_address, get_url
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from capsafe_core.errors import CapsafeError
from capsafe_core.settings import Settings
from capsafe_core.text import visible
from capsafe_core.ui.admission import USER_COOKIE, admitted, needed_role, reaches, role_of_request
from capsafe_core.ui.login import Login, current_login, pin, unpin

TOKEN = "token"
"""the parameter of an address, and the field of the form"""
HEALTH = "/_stcore/health"
"""says "ok" to whoever asks whether the server is up, and nothing else"""
CALLBACK = "/oauth2callback"
LONGEST_FORM = 4096
LONGEST_TARGET = 2000
LOCAL = ("localhost", "127.0.0.1", "::1")
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:12vh auto;padding:0 "
    "1rem;color-scheme:light dark;"
    "color:light-dark(#22313f,#e4eaf0);background:light-dark(#fff,#0f161d)}"
    "input,button{font:inherit;padding:.4rem .7rem}input{width:20rem;max-width:60%}"
)


class Door:
    """ASGI middleware around the whole app: over its start, HTTP and websockets."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._closed: CapsafeError | None = CapsafeError("This server has not started.", "Start it again.")
        self._login: Login | None = None
        self._token = ""
        self._is_ready = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._make_ready()
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "websocket":
            connection = HTTPConnection(scope)
            if self._refusal(connection) is None:
                await self._app(scope, admitted(receive, connection, self._login is not None), send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answer(scope, receive, send)

    def _make_ready(self) -> None:
        """Decide once who may come in."""
        if self._is_ready:
            return
        self._is_ready = True
        try:
            settings = Settings()
            os.environ.pop("CAPSAFE_TOKEN", None)  # no worker needs it
            self._login = current_login()
            pin(self._login)
            if self._login is None and not settings.no_token:
                self._token = settings.token or secrets.token_urlsafe(32)
            self._words = _announcement(self._login, self._token, bool(settings.token))
        except Exception as error:  # whatever goes wrong here, the door stays closed
            self._closed = _as_sentence(error)
            print(visible(f"capsafe: the app is closed to everybody. {self._closed}"), flush=True)
        else:
            self._closed = None

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_address(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                print(visible(f"capsafe: {self._words}"), flush=True)
            await send(message)

        if self._closed is None:
            try:
                await self._app(scope, receive, with_address)
            finally:
                unpin()
            return
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if scope["path"] == _base() + HEALTH:
            answer: ASGIApp | None = PlainTextResponse("ok") if self._closed else None
        else:
            answer = await self._shown_token(request) or self._refusal(request)
        if answer is None and self._login is not None:
            await self._app(scope, receive, _with_way_back(request, send))
        else:
            await (answer or self._app)(scope, receive, send)

    async def _shown_token(self, request: Request) -> Response | None:
        """Where a request shows a token: a cookie and the same address without it, or the form again."""
        if not self._token or self._closed:
            return None
        pairs = request.scope["query_string"].decode("latin-1").split("&")
        shown = [
            unquote_plus(value)
            for name, _, value in (pair.partition("=") for pair in pairs)
            if unquote_plus(name) == TOKEN
        ]
        # whatever logs this request sees the address without the token
        query = "&".join(pair for pair in pairs if unquote_plus(pair.partition("=")[0]) != TOKEN)
        request.scope["query_string"] = query.encode("latin-1")
        is_form = request.method == "POST" and not self._has_cookie(request) and _is_form(request)
        if is_form:
            shown = await _token_of_form(request)
        if not shown:
            return None
        is_right = any(_same(value, self._token) for value in shown)
        if not is_right and not self._has_cookie(request):
            return _form("That token is not the one of this server.")
        target = "/" + quote(request.scope["path"].lstrip("/\\"), safe="/") + (f"?{query}" if query else "")
        answer = RedirectResponse(target, status_code=303, headers={"Cache-Control": "no-store"})
        if is_right:
            answer.set_cookie(
                self._cookie(request),
                self._cookie_value(request),
                path="/",
                httponly=True,
                samesite="lax",
                secure=request.url.scheme == "https",
            )
        return answer

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        """Why a connection is not let in, as a page; None where it is."""
        closed = self._closed or self._changed()
        if closed is not None:
            return _page("This server is closed", [closed.message, closed.hint], status=503)
        if not self._is_own_origin(connection):
            return _page("Not allowed", ["This request comes from the page of another site."], status=403)
        if self._login is not None:
            needed = needed_role(connection.scope["path"], _base())
            if not needed or reaches(role_of_request(connection), needed):
                return None  # pages ask by themselves who looks
            return _page("Not allowed", ["Log in first, with the role that this needs."], status=403)
        if not self._token:
            return None if _is_own_host(connection) else _page("Not allowed", [NO_HOST], status=403)
        return None if self._has_cookie(connection) else _form()

    def _changed(self) -> CapsafeError | None:
        try:
            current_login()
        except Exception as error:  # whatever goes wrong here closes the door
            return _as_sentence(error)
        return None

    def _is_own_origin(self, connection: HTTPConnection) -> bool:
        """Whether a request comes from the app's own pages, or from no page; other ports of this host are
        others' pages."""
        origin = connection.headers.get("origin")
        if origin is None:
            return True
        allowed = {str(o).strip() for o in config.get_option("server.corsAllowedOrigins")}
        if self._login is not None:
            own = urlsplit(str(self._login.section["redirect_uri"]))
            allowed.add(f"{own.scheme}://{own.netloc}")
        return origin in allowed or urlsplit(origin).netloc == connection.headers.get("host") != ""

    def _cookie(self, connection: HTTPConnection) -> str:
        """Cookies do not know ports, and several apps may run here."""
        return f"capsafe-{(connection.scope.get('server') or ('', ''))[1]}"

    def _cookie_value(self, connection: HTTPConnection) -> str:
        """Made from the token, so that it goes on counting after a restart with the same one; the token is
        not read back from it."""
        return hmac.new(self._token.encode(), self._cookie(connection).encode(), hashlib.sha256).hexdigest()

    def _has_cookie(self, connection: HTTPConnection) -> bool:
        name, value = self._cookie(connection), self._cookie_value(connection)
        pairs = [
            pair.strip().partition("=")
            for line in connection.headers.getlist("cookie")
            for pair in line.split(";")
        ]
        return any(_same(v, value) for n, _, v in pairs if n == name)


NO_HOST = (
    "This server goes by another name. Whoever runs it can add this one to Streamlit's option "
    "server.allowedHosts."
)


def _as_sentence(error: Exception) -> CapsafeError:
    if isinstance(error, CapsafeError):
        return error
    return CapsafeError(
        f"What says who may come in cannot be read: {type(error).__name__}: {error}.",
        "Look at settings.toml, the secrets and the variables CAPSAFE_*, then start the server again.",
    )


def address() -> str:
    """Where this server's pages are."""
    return get_url(get_display_address(config.get_option("server.address") or LOCAL[0])) + "/"


def _announcement(login: Login | None, token: str, is_given: bool) -> str:
    if login is not None:
        return f"open {address()} and log in (Ctrl-C ends it)"
    if not token:
        return (
            f"open {address()} (Ctrl-C ends it). Everybody who reaches this port is let in, as "
            "--no-token says."
        )
    if is_given:
        return (
            f"open {address()} and give the token that you set, or add ?{TOKEN}=… to the address (Ctrl-C "
            "ends it)"
        )
    return f"open {address()}?{TOKEN}={token} (Ctrl-C ends it)"


def _base() -> str:
    path = str(config.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{path}" if path else ""


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode("utf-8", "surrogatepass"), b.encode("utf-8", "surrogatepass"))


def _is_own_host(connection: HTTPConnection) -> bool:
    """Whether a request names this machine; a page of another site may have had its own name lead here."""
    host = connection.headers.get("host")
    if config.get_option("server.allowedHosts"):
        return is_host_allowed(host)
    if (config.get_option("server.address") or "") not in LOCAL:
        return True
    try:
        return urlsplit(f"//{host}").hostname in LOCAL
    except ValueError:
        return False


def _is_form(request: Request) -> bool:
    return (
        request.headers.get("content-type", "").split(";")[0].strip() == "application/x-www-form-urlencoded"
    )


async def _token_of_form(request: Request) -> list[str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            return []
    return [value.strip() for name, value in parse_qsl(body.decode("latin-1")) if name == TOKEN] or [""]


def _with_way_back(request: Request, send: Send) -> Send:
    """Keep the address that somebody asked for over their login: the provider sends them back to the first
    page."""
    cookie = f"capsafe-way-{(request.scope.get('server') or ('', ''))[1]}"
    path = request.scope["path"]
    target = quote(path, safe="/") + (f"?{request.url.query}" if request.url.query else "")
    is_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    inner = tuple(
        f"{_base()}/{part}" for part in ("_stcore/", "static/", "media/", "component/", "auth/", CALLBACK[1:])
    )
    wants_page = is_page and not path.startswith(inner) and USER_COOKIE not in request.cookies
    way_back = unquote(request.cookies.get(cookie, ""))

    async def with_cookie(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers, jar = MutableHeaders(scope=message), Response()
            if wants_page and _is_way(target):
                jar.set_cookie(cookie, quote(target, safe=""), max_age=600, httponly=True, samesite="lax")
            elif path == _base() + CALLBACK and "location" in headers:
                jar.delete_cookie(cookie)
                if _is_way(way_back) and headers["location"] == f"{_base()}/":
                    headers["location"] = way_back
            for value in jar.headers.getlist("set-cookie"):
                headers.append("set-cookie", value)
        await send(message)

    return with_cookie


def _is_way(target: str) -> bool:
    """Whether an address leads to a page of this server and nowhere else."""
    return len(target) <= LONGEST_TARGET and bool(re.fullmatch(r"/(?![/\\])[\x21-\x7e]*", target))


def _form(problem: str = "") -> Response:
    words = [
        problem,
        "This server asks for a token. Open the address that it printed when it started, or paste the token "
        "here.",
    ]
    field = (
        f'<form method="post"><input name="{TOKEN}" type="password" autocomplete="off" aria-label="Token"'
        " autofocus required> <button>Open</button></form>"
    )
    return _page("Token needed", words, field, 403)


def _page(title: str, words: list[str], more: str = "", status: int = 200) -> Response:
    body = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in words if sentence)
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>capsafe: {title}</title>'
        f"<style>{STYLE}</style><h1>{title}</h1>{body}{more}</html>"
    )
    return HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-store"})
