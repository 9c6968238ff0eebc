"""Who is looking: a name typed once on one machine, or a login where the server has one."""

from __future__ import annotations

from typing import NoReturn

import streamlit as st

from capsafe_core.errors import CapsafeError
from capsafe_core.people import RESEARCHER, Person, person_named
from capsafe_core.replica import logged_in_here, role_here
from capsafe_core.ui.login import current_login
from capsafe_core.ui.safe_text import plain_label, visible
from capsafe_core.workspace.owner import current_owner

_NAME = st.components.v2.component(
    "capsafe_name",
    html='<form><label>Your name <input maxlength="80" autocomplete="name"></label>'
    " <button>Continue</button></form>",
    css="""
    form { display: flex; flex-wrap: wrap; gap: 10px; align-items: end; }
    form { color: var(--st-text-color); font-family: var(--st-font); }
    label { display: flex; flex-direction: column; font-size: 14px; }
    input {
      font: inherit; padding: 6px 10px; border-radius: 7px; width: 260px; max-width: 100%; color: inherit;
      border: 1px solid color-mix(in srgb, currentColor 45%, transparent);
      background: var(--st-background-color);
    }
    button {
      font: inherit; padding: 6px 14px; border: 0; border-radius: 7px;
      background: var(--st-primary-color); color: var(--st-background-color); cursor: pointer;
    }
    """,
    js="""
    const KEY = "capsafe-name";
    const store = {
      get: () => { try { return localStorage.getItem(KEY) || ""; } catch (e) { return ""; } },
      set: (v) => { try { localStorage.setItem(KEY, v); } catch (e) { } },
    };
    export default function ({ data, parentElement, setTriggerValue }) {
      const form = parentElement.querySelector("form"), input = form.querySelector("input");
      if (data.forget) store.set("");
      const known = store.get();
      form.onsubmit = (event) => {
        event.preventDefault();
        const name = input.value.trim();
        if (name) { store.set(name); setTriggerValue("name", name); }
      };
      if (known && !input.value) { input.value = known; setTriggerValue("name", known); }
    }
    """,
)


def has_login() -> bool:
    """Whether this server asks people to log in; the page ends here where the door is closed."""
    try:
        return current_login() is not None
    except CapsafeError as error:
        _end("This server is closed", error)


def role() -> str:
    """What the person in front of this session may do; researcher on a machine without login.

    The page ends here where one must log in first.
    """
    if not has_login():
        return role_here(RESEARCHER)
    return _logged_in().role


def person() -> Person:
    """The person in front of this session; the page ends here until they are known."""
    if has_login():
        return _logged_in()
    if "person" not in st.session_state:
        st.text("Your labels are kept under your name.")
        given = _NAME(
            key="name",
            data={"forget": st.session_state.pop("forget-name", False)},
            on_name_change=lambda: None,
        ).name
        if given:
            try:
                st.session_state["person"] = person_named(str(given))
                st.rerun()
            except CapsafeError as error:
                st.warning(plain_label(error.message))
        st.stop()
    known: Person = st.session_state["person"]
    return known


def change_button() -> None:
    """Lets somebody else sit down at this browser."""
    if has_login():
        if st.button("Log out", icon=":material/logout:"):
            st.logout()
    elif st.button("Switch user", icon=":material/person:", help="Label in this browser under another name."):
        st.session_state.pop("person", None)
        st.session_state["forget-name"] = True
        st.rerun()


def _logged_in() -> Person:
    if st.user.get("is_logged_in") is not True:
        st.title("Please log in", anchor=False)
        st.text("This server shows responses to harmful requests, and keeps who labelled what.")
        login = current_login()
        for provider in login.providers if login else ():
            words = "Log in" if provider == "default" else f"Log in with {provider}"
            st.button(
                plain_label(words),
                on_click=st.login,
                args=(provider,),
                icon=":material/login:",
                key=f"log-in-{provider}",
            )
        st.stop()
    try:
        return logged_in_here(st.user.to_dict())
    except CapsafeError as error:
        _end("You are not let in", error, may_leave=True)


def require_store() -> None:
    """The page ends here while the store cannot be had; each look tries again."""
    try:
        current_owner()
    except CapsafeError as error:
        _end("The store cannot be opened", error)


def _end(title: str, error: CapsafeError, may_leave: bool = False) -> NoReturn:
    st.title(plain_label(title), anchor=False)
    st.text(visible(error.message))
    if error.hint:
        st.text(visible(error.hint))
    if may_leave:
        st.button("Log out", on_click=st.logout, icon=":material/logout:")
    st.stop()
