"""Login has three states: none, whole, or a closed door. Whatever is in between closes it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from hypothesis import given
from hypothesis import strategies as some
from streamlit import config
from streamlit.runtime.secrets import Secrets
from streamlit.testing.v1 import AppTest

from capsafe_core.errors import CapsafeError, NotAllowedError
from capsafe_core.people import person_logged_in, role_of
from capsafe_core.settings import ROOT, Settings
from capsafe_core.ui.login import ClosedError, Login, current_login, pin, read_login, unpin
from capsafe_core.workspace.owner import close_owner

AUTH = {
    "redirect_uri": "http://127.0.0.1:8501/oauth2callback",
    "cookie_secret": "a secret of this test only",
    "client_id": "capsafe",
    "client_secret": "s",
    "server_metadata_url": "http://127.0.0.1:1/.well-known/openid-configuration",
}
WHOLE = "[auth]\n" + "".join(f'{name} = "{value}"\n' for name, value in AUTH.items())
NAMED = (
    '[auth]\nredirect_uri = "https://x.example/oauth2callback"\ncookie_secret = "a secret of this test '
    'only"\n\n[auth.one]\n'
    + "".join(f'{name} = "{AUTH[name]}"\n' for name in ("client_id", "client_secret", "server_metadata_url"))
)
BROKEN = {
    "empty": "",
    "comment": "# [auth]\n",
    "capital": WHOLE.replace("[auth]", "[Auth]"),
    "head only": "[auth]\n",
    "text": 'auth = "x"\n',
    "array": "[[auth]]\n",
    "number": "auth = 1\n",
    "misspelt": WHOLE.replace("[auth]", "[auht]"),
    "no head": WHOLE.removeprefix("[auth]\n"),
    "elsewhere": WHOLE.replace("[auth]", "[settings.login]"),
    "not toml": "auth",
    "tabs of lists": "[auth]\nredirect_uri = []\n",
    "empty secret": WHOLE.replace(AUTH["cookie_secret"], ""),
    "short secret": WHOLE.replace(AUTH["cookie_secret"], "xxx"),
    "no id": WHOLE.replace('client_id = "capsafe"\n', ""),
    "no callback": WHOLE.replace("/oauth2callback", "/"),
    "no provider": NAMED.split("\n\n")[0],
    "a provider cut": NAMED.removesuffix(NAMED.splitlines()[-1] + "\n"),
    "underscore": NAMED.replace("auth.one", "auth.o_ne"),
    "kwargs": WHOLE + 'client_kwargs = "x"\n',
    "exposed": WHOLE + 'expose_tokens = ["all"]\n',
    "deep": "a = " + "[" * 5000,
    "bom": "\ufeff" + WHOLE,
}


def login_of(path: Path, **options: Any) -> Login | None:
    return read_login([str(path)], **options)


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_what_is_there_and_is_no_whole_login_closes_the_door(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secrets.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ClosedError) as closed:
        login_of(path)
    assert str(path) in closed.value.message
    assert closed.value.hint


def test_what_cannot_be_read_closes_the_door(tmp_path: Path) -> None:
    path = tmp_path / "secrets.toml"
    assert login_of(path) is None
    path.mkdir()
    with pytest.raises(ClosedError, match=r"secrets.toml cannot be read"):
        login_of(path)
    path.rmdir()
    path.symlink_to(tmp_path / "nothing")
    with pytest.raises(ClosedError, match="link to nothing"):
        login_of(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ClosedError, match="regular file"):
        login_of(path)
    path.unlink()
    path.write_bytes(WHOLE.encode("utf-16"))
    with pytest.raises(ClosedError):
        login_of(path)
    path.write_text(WHOLE)
    path.chmod(0)
    if os.geteuid():
        with pytest.raises(ClosedError, match="ermission"):
            login_of(path)
    with pytest.raises(ClosedError, match="Not a directory"):
        login_of(path / "secrets.toml")
    with pytest.raises(ClosedError, match="neither"):
        login_of(Path(__file__))


def test_nothing_like_a_login_is_none_unless_one_is_demanded(tmp_path: Path) -> None:
    path = tmp_path / "secrets.toml"
    path.write_text('api_key = "x"\n[connections.db]\nurl = "postgresql://x"\npath = "y"\n')
    assert login_of(path) is None
    with pytest.raises(ClosedError, match="Somebody demands a login"):
        login_of(path, demanded="Somebody demands a login")
    path.write_text('[gcp_service_account]\nclient_id = "x"\n')
    with pytest.raises(ClosedError, match="looks like a login"):
        login_of(path)
    assert login_of(path, stated_none=True) is None


def test_a_whole_login_names_its_providers(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text(WHOLE)
    two.write_text('other = "x"\n')
    login = read_login([str(one), str(two), str(tmp_path / "missing.toml")])
    assert login is not None
    assert login.providers == ("default",)
    two.write_text(NAMED)
    login = read_login([str(one), str(two)])
    assert login is not None
    assert login.providers == ("one",)
    two.write_text(WHOLE[:40])
    with pytest.raises(ClosedError, match=r"two.toml"):
        read_login([str(one), str(two)])
    folder = tmp_path / "mounted" / "auth"
    folder.mkdir(parents=True)
    for name, value in AUTH.items():
        (folder / name).write_text(value)
    assert read_login([str(folder.parent)]) is not None
    (folder / "cookie_secret").unlink()
    with pytest.raises(ClosedError, match="cookie_secret"):
        read_login([str(folder.parent)])


@given(some.data())
def test_a_cut_or_changed_secrets_file_is_a_whole_login_or_closed(
    tmp_path_factory: pytest.TempPathFactory, data: some.DataObject
) -> None:
    text = data.draw(some.sampled_from([WHOLE, NAMED, 'key = "x"\n' + WHOLE, WHOLE + "\n[other]\na = 1\n"]))
    raw = text.encode()
    for _ in range(data.draw(some.integers(1, 3))):
        at = data.draw(some.integers(0, max(0, len(raw) - 1)))
        match data.draw(some.sampled_from(["cut", "change", "swap", "insert", "case", "drop a line"])):
            case "cut":
                raw = raw[: len(text.split("[auth]")[0]) + at]
            case "change":
                raw = raw[:at] + bytes([data.draw(some.integers(0, 255))]) + raw[at + 1 :]
            case "swap":
                raw = raw[:at] + raw[at : at + 2][::-1] + raw[at + 2 :]
            case "insert":
                raw = raw[:at] + data.draw(some.binary(min_size=1, max_size=3)) + raw[at:]
            case "case":
                raw = raw[:at] + raw[at : at + 6].upper() + raw[at + 6 :]
            case _:
                lines = raw.split(b"\n")
                raw = b"\n".join(line for i, line in enumerate(lines) if i != at % len(lines))
    path = tmp_path_factory.mktemp("secrets") / "secrets.toml"
    path.write_bytes(raw)
    try:
        login = login_of(path)
    except ClosedError:
        return
    says_nothing_of_it = not any(word.encode() in raw.lower() for word in ("auth", *AUTH))
    assert login is not None or says_nothing_of_it, raw


@pytest.fixture
def secrets(workspace: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where Streamlit looks for secrets, for this test alone."""
    path = workspace.home / "secrets.toml"
    before = config.get_option("secrets.files")
    config.set_option("secrets.files", [str(path)])
    monkeypatch.setattr(st, "secrets", Secrets())
    yield path
    config.set_option("secrets.files", before)
    unpin()
    close_owner()


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_closed_door_is_a_sentence_on_the_page_and_nobody_is_a_researcher(secrets: Path, text: str) -> None:
    secrets.write_text(text, encoding="utf-8")
    page = AppTest.from_file(str(ROOT / "capsafe_core" / "ui" / "router.py"), default_timeout=30).run()
    assert not page.exception
    assert [t.value for t in page.title] == ["This server is closed"]
    assert str(secrets) in page.text[0].value


def test_a_setting_or_a_file_of_roles_demands_a_login(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert current_login() is None
    monkeypatch.setenv("CAPSAFE_REQUIRE_LOGIN", "1")
    with pytest.raises(ClosedError, match="require_login"):
        current_login()
    monkeypatch.setenv("CAPSAFE_REQUIRE_LOGIN", "perhaps")
    with pytest.raises(CapsafeError, match="CAPSAFE_REQUIRE_LOGIN"):
        current_login()
    monkeypatch.delenv("CAPSAFE_REQUIRE_LOGIN")
    roles = secrets.with_name("roles.toml")
    roles.write_text('"ada@example.org" = "researcher"\n')
    with pytest.raises(ClosedError, match=r"roles.toml says"):
        current_login()
    monkeypatch.setenv("CAPSAFE_REQUIRE_LOGIN", "0")
    assert current_login() is None
    secrets.write_text(WHOLE)
    assert current_login() is not None
    secrets.write_text(WHOLE[:20])
    with pytest.raises(ClosedError):
        current_login()


def test_a_login_that_changes_while_the_server_runs_closes_the_door(secrets: Path) -> None:
    secrets.write_text(WHOLE)
    pin(current_login())
    assert current_login() is not None
    for text in ('key = "x"\n', WHOLE.replace("capsafe", "other")):
        secrets.write_text(text)
        with pytest.raises(ClosedError, match="changed while it ran"):
            current_login()
    secrets.unlink()
    with pytest.raises(ClosedError, match="changed while it ran"):
        current_login()


ROLES = (
    '"Ada@example.org" = "researcher"\n"ben@example.org" = "annotator"\nsub-of-eve = '
    '"researcher"\n"eve" = "researcher"\n'
)


@pytest.mark.parametrize(
    "verified", [None, False, "true", "True", "false", 1, 1.0, [True], {"a": True}, "yes"]
)
def test_only_the_boolean_true_vouches_for_an_address(tmp_path: Path, verified: object) -> None:
    roles = tmp_path / "roles.toml"
    roles.write_text(ROLES)
    claims: dict[str, object] = {"email": "ada@example.org", "sub": "1", "email_verified": verified}
    with pytest.raises(NotAllowedError, match="has checked the address"):
        person_logged_in(claims, roles)
    del claims["email_verified"]
    with pytest.raises(NotAllowedError, match="has checked the address"):
        person_logged_in(claims, roles)
    assert person_logged_in({**claims, "email_verified": True}, roles).role == "researcher"


@pytest.mark.parametrize(
    "email",
    [
        None,
        "",
        "eve",
        "sub-of-eve",
        7,
        True,
        ["ada@example.org"],
        "a@b@c",
        " ada@example.org",
        "ada@example.org\n",
        "@",
        "x" * 300 + "@x",
    ],
)
def test_a_sub_is_never_taken_for_an_address(tmp_path: Path, email: object) -> None:
    roles = tmp_path / "roles.toml"
    roles.write_text(ROLES)
    for sub in ("ada@example.org", "sub-of-eve", "eve"):
        claims: Mapping[str, object] = {"email": email, "sub": sub, "email_verified": True}
        with pytest.raises(NotAllowedError, match="no e-mail address"):
            person_logged_in(claims, roles)
    assert role_of("eve", roles) == role_of("sub-of-eve", roles) == "viewer"


def test_no_other_letter_passes_for_one_of_an_address(tmp_path: Path) -> None:
    roles = tmp_path / "roles.toml"
    roles.write_text(
        '"kim@strasse.example" = "researcher"\n"KIM@two.example" = "annotator"\n"kim@two.example" = '
        '"researcher"\n'
    )
    assert role_of("Kim@Strasse.example", roles) == "researcher"
    assert role_of("\u212aim@strasse.example", roles) == "viewer"  # the Kelvin sign
    assert role_of("kim@stra\u00dfe.example", roles) == "viewer"
    with pytest.raises(CapsafeError, match="several roles"):
        role_of("kim@two.example", roles)


ANYTHING = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
EMAILS = some.sampled_from(
    ["ada@example.org", "ADA@example.org", "ada@example.org ", "ada@example.org\x00", "eve"]
)


@given(
    claims=some.fixed_dictionaries(
        {}, optional={"email": EMAILS | ANYTHING, "email_verified": ANYTHING, "sub": EMAILS | ANYTHING}
    )
)
def test_whatever_a_provider_says_nobody_passes_for_somebody_else(
    tmp_path_factory: pytest.TempPathFactory, claims: dict[str, Any]
) -> None:
    roles = tmp_path_factory.getbasetemp() / "any-roles.toml"
    roles.write_text(ROLES)
    try:
        found = person_logged_in(claims, roles)
    except CapsafeError:
        return
    assert claims["email_verified"] is True
    assert isinstance(claims["email"], str)
    assert found.name == claims["email"].lower() or not claims["email"].isascii()
    assert found.role == "viewer" or claims["email"].lower() == "ada@example.org"
