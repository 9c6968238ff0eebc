"""What each role may reach of the server behind the door: routes by path, and messages of the socket by kind.

Pages ask by themselves who looks (`ui.router`); the rest of what Streamlit serves does not.
"""

from __future__ import annotations

import json

from google.protobuf.message import DecodeError
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.web.server.starlette.starlette_websocket import _get_signed_cookie_with_chunks

from capsafe_core.errors import CapsafeError
from capsafe_core.people import RESEARCHER, ROLES, VIEWER
from capsafe_core.replica import logged_in_here, role_here

USER_COOKIE = "_streamlit_user"
NOBODY = "nobody"
ROUTES = {
    "media/": VIEWER,
    "component/": VIEWER,
    "_stcore/bidi-components/": VIEWER,
    "_stcore/upload_file/": RESEARCHER,
    "_stcore/health": "",
    "_stcore/host-config": "",
    "_stcore/stream": "",
    "_stcore/": NOBODY,
}
"""the beginning of a path -> the role that it needs, the first that fits; empty: not even a login. Pages and
the program's own files are for everybody, who is then asked to log in."""
MESSAGES = {
    "rerun_script": "",
    "stop_script": "",
    "app_heartbeat": "",
    "file_urls_request": RESEARCHER,
    "backend_operation_request": VIEWER,
}
"""a kind of message that a browser sends -> the role that it needs; others, such as emptying everybody's
cache, are for nobody"""
LONGEST_OF_STRANGERS = 1 << 16
"""bytes of a message from somebody who has not logged in"""


def needed_role(path: str, base: str = "") -> str:
    """The role that a route needs on a server with a login.

    Args:
        path: of the request, decoded.
        base: the path under which the app is served.
    """
    below = path.removeprefix(base).lstrip("/")
    return next((role for start, role in ROUTES.items() if below.startswith(start)), "")


def reaches(role: str, needed: str) -> bool:
    """Whether a role ("" for somebody who has not logged in) has what is needed ("" for nothing)."""
    return not needed or (needed != NOBODY and bool(role) and ROLES.index(role) >= ROLES.index(needed))


def role_of_request(connection: HTTPConnection) -> str:
    """The role of whoever comes with a cookie that this server signed at a login; empty for everybody
    else."""
    try:
        cookie = _get_signed_cookie_with_chunks(connection.cookies, USER_COOKIE)
        claims = json.loads(cookie) if cookie else {}
        if claims.get("is_logged_in") is not True:
            return ""
        return logged_in_here(claims).role
    except (CapsafeError, ValueError, AttributeError):
        return ""


def admitted(receive: Receive, connection: HTTPConnection, has_login: bool) -> Receive:
    """What a browser sends over the socket, without the messages that its role may not send."""

    async def next_admitted() -> Message:
        while True:
            message = await receive()
            if message["type"] != "websocket.receive" or _may_pass(message, connection, has_login):
                return message

    return next_admitted


def _may_pass(message: Message, connection: HTTPConnection, has_login: bool) -> bool:
    data = message.get("bytes") or b""
    try:
        kind = BackMsg.FromString(data).WhichOneof("type")
    except DecodeError:
        return True  # Streamlit ends the connection
    needed = MESSAGES.get(kind or "", NOBODY)
    if not has_login:
        return reaches(role_here(RESEARCHER), needed)
    if not needed and len(data) <= LONGEST_OF_STRANGERS:
        return True
    return reaches(role_of_request(connection), needed or VIEWER)
