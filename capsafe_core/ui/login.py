"""How people log in: not at all, with OpenID Connect as Streamlit's secrets say, or a door that is closed.

Whatever stands in one of Streamlit's secrets files and is not a whole login closes the door. A file that was
cut, misspelt or made unreadable must not turn every visitor into a researcher.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from streamlit import config
from streamlit.auth_util import is_authlib_installed

from capsafe_core.errors import CapsafeError
from capsafe_core.settings import Settings
from capsafe_core.values import parse_toml

LONGEST = 1 << 20
"""bytes of a secrets file"""
PROVIDER = ("client_id", "client_secret", "server_metadata_url")
KEYS = (*PROVIDER, "cookie_secret", "redirect_uri")
SECTIONS = ("auth", "oauth", "oidc", "login", "authentication")
ALIKE = 0.8
"""how much a name must resemble one of KEYS or SECTIONS to be taken for it with a slip"""
NEXT_STEP = "Write a whole [auth] section as docs/annotation.md shows it, then start the server again."


class ClosedError(CapsafeError):
    """Nobody is let in until a person has corrected something."""


class _Client(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    client_id: str = Field(min_length=1)
    client_secret: str = Field(min_length=1)
    server_metadata_url: str = Field(pattern=r"^https?://[^\s/]+/\S*$")
    client_kwargs: dict[str, Any] = {}


class _Auth(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    cookie_secret: str = Field(min_length=16)
    redirect_uri: str = Field(pattern=r"^https?://[^\s/]+/(\S*/)?oauth2callback$")
    expose_tokens: str | list[str] = []

    @field_validator("expose_tokens")
    @classmethod
    def _known_tokens(cls, tokens: str | list[str]) -> str | list[str]:
        if set([tokens] if isinstance(tokens, str) else tokens) - {"id", "access"}:
            raise ValueError("it may hold only id and access")
        return tokens


@dataclass(frozen=True)
class Login:
    """A login that is whole: its providers as `st.login` names them, and all that was said of it."""

    providers: tuple[str, ...]
    section: Mapping[str, Any]


def read_login(
    places: Sequence[str],
    held: Mapping[str, Any] | None = None,
    demanded: str = "",
    stated_none: bool = False,
) -> Login | None:
    """The login that secrets describe; None where nothing in them is like one.

    Args:
        places: files and folders, as Streamlit's option secrets.files has them; later ones take precedence.
        held: what Streamlit goes by already.
        demanded: who demands a login, as the beginning of a sentence; empty where nobody does.
        stated_none: whether a person stated that this server has no login, so that names which only look like
            one are something else.

    Raises:
        ClosedError: something is there that is not a whole login, or one is demanded and there is none.
    """
    read = {place: values for place in places if (values := _read(Path(place)))}
    merged = {**(held or {}), **{name: value for values in read.values() for name, value in values.items()}}
    if "auth" in merged:
        return _whole(merged["auth"], " or ".join(read) or "the secrets of this server")
    for place, values in read.items():
        if not stated_none and (name := next(_like_login(values), "")):
            raise ClosedError(
                f"{place} has {name!r}, which looks like a login, but no [auth] section.",
                f"{NEXT_STEP} Where it is something else, set require_login = false.",
            )
    if demanded:
        raise ClosedError(f"{demanded}, and no login is set up in {' or '.join(places)}.", NEXT_STEP)
    return None


def current_login() -> Login | None:
    """The login that is in force, or None on a server that has none; read again whenever it is asked for.

    Raises:
        ClosedError: nobody may come in.
        CapsafeError: the workspace's settings cannot be used.
    """
    settings = Settings()
    demanded = ""
    if settings.require_login:
        demanded = "The setting require_login demands a login"
    elif settings.require_login is None and os.path.lexists(settings.roles_path):
        demanded = f"{settings.roles_path} says who may do what"
    held = getattr(st.secrets, "_secrets", None)
    login = read_login(config.get_option("secrets.files"), held, demanded, settings.require_login is False)
    if _pinned and login != _pinned[0]:
        raise ClosedError("The login of this server was changed while it ran.", "Start the server again.")
    return login


_pinned: list[Login | None] = []
"""what was in force when the server started"""


def pin(login: Login | None) -> None:
    """Hold on to a login until this process ends or `unpin`: what is another one later closes the door."""
    _pinned[:] = [login]


def unpin() -> None:
    """The server has ended."""
    _pinned.clear()


def _read(place: Path) -> dict[str, Any] | None:
    """What one of Streamlit's places says; None where nothing is there."""
    try:
        values = parse_toml(_text(place)) if place.suffix == ".toml" else _folder(place)
    except FileNotFoundError:
        if not place.is_symlink():
            return None
        raise ClosedError(
            f"{place} is a link to nothing.", "Correct or remove it, then start the server again."
        ) from None
    except Exception as error:  # whatever goes wrong here, the door stays closed
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ClosedError(
            f"{place} cannot be read as secrets: {reason}.",
            "Correct or remove it, then start the server again.",
        ) from error
    if not values:
        raise ClosedError(
            f"{place} is there and says nothing.", f"Remove it where nobody is to log in. {NEXT_STEP}"
        )
    return values


def _text(path: Path) -> str:
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is not a regular file")
    with path.open(encoding="utf-8") as stream:
        text = stream.read(LONGEST + 1)
    if len(text) > LONGEST:
        raise ValueError("it is too large")
    return text


def _folder(place: Path) -> dict[str, Any]:
    """Secrets as Kubernetes mounts them: a folder for each, and a file for each of its values."""
    if not stat.S_ISDIR(place.stat().st_mode):
        raise ValueError("it is neither a .toml file nor a folder")
    values: dict[str, Any] = {}
    for folder in sorted(place.iterdir()):
        if not folder.is_dir():
            raise ValueError(f"{folder.name} in it is not a folder")
        files = {file.name: _text(file).strip() for file in sorted(folder.iterdir()) if not file.is_dir()}
        values[folder.name] = next(iter(files.values())) if len(files) == 1 else files
    return values


def _whole(section: Any, where: str) -> Login:
    if not isinstance(section, Mapping):
        raise ClosedError(f"auth in {where} is not a section.", NEXT_STEP)
    values = _plain(section)
    try:
        _Auth.model_validate(values)
        default = values.get(
            "default", {name: values[name] for name in (*PROVIDER, "client_kwargs") if name in values}
        )
        named = {
            name: v
            for name, v in values.items()
            if isinstance(v, dict) and name not in ("client_kwargs", "default")
        }
        providers = {**({"default": default} if default or not named else {}), **named}
        for name, client in providers.items():
            if "_" in name:
                raise ClosedError(
                    f"The provider {name!r} in {where} has an underscore in its name.",
                    "Streamlit does not take those: rename it.",
                )
            _Client.model_validate(client)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(place) for place in first["loc"]) or "auth"
        raise ClosedError(
            f"The login in {where} is not whole: {key}: {first['msg'].lower()}.", NEXT_STEP
        ) from None
    if not is_authlib_installed():
        raise ClosedError(
            f"{where} describes a login, but Authlib is not installed.", 'Run `pip install "capsafe[auth]"`.'
        )
    return Login(tuple(providers), values)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {str(k): _plain(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def _like_login(values: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """Names in secrets that look like a login with a slip in it."""
    for name, value in values.items():
        words = (*SECTIONS, *KEYS) if depth == 0 or isinstance(value, Mapping) else KEYS
        if any(_resembles(name.casefold(), word) for word in words):
            yield name
        elif isinstance(value, Mapping):
            yield from _like_login(value, depth + 1)


def _resembles(name: str, word: str) -> bool:
    """Whether a name holds a word, or is the word with one slip: a letter more, less, another or swapped with
    the next."""
    if word in name or sorted(word) == sorted(name.strip()):
        return True
    if len(word) == len(name):
        return sum(a != b for a, b in zip(word, name, strict=True)) <= 1
    return difflib.SequenceMatcher(None, word, name).ratio() >= ALIKE
