"""Who is looking: a name typed once on one machine, or a login where the server has one."""

from __future__ import annotations

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

from capsafe_core.errors import CapsafeError
from capsafe_core.people import ROLES, Person, person_named, role_of
from capsafe_core.ui.owner import current_owner

_NAME = st.components.v2.component(
    "capsafe_name",
    html='<form><label>Your name <input maxlength="80" autocomplete="name"></label> <button>Go on</button></form>',
    css="""
    form { display: flex; gap: 10px; align-items: end; font-family: var(--st-font); }
    label { display: flex; flex-direction: column; font-size: 14px; }
    input { font: inherit; padding: 6px 10px; border: 1px solid #c9d0d6; border-radius: 7px; width: 260px; }
    button { font: inherit; padding: 6px 14px; border: 0; border-radius: 7px; background: var(--st-primary-color); color: #fff; cursor: pointer; }
    """,
    js="""
    const KEY = "capsafe-name";
    const store = { get: () => { try { return localStorage.getItem(KEY) || ""; } catch (e) { return ""; } }, set: (v) => { try { localStorage.setItem(KEY, v); } catch (e) { } } };
    export default function ({ data, parentElement, setTriggerValue }) {
      const form = parentElement.querySelector("form"), input = form.querySelector("input");
      if (data.forget) store.set("");
      const known = store.get();
      form.onsubmit = (event) => { event.preventDefault(); if (input.value.trim()) { store.set(input.value.trim()); setTriggerValue("name", input.value.trim()); } };
      if (known && !input.value) { input.value = known; setTriggerValue("name", known); }
    }
    """,
)


def has_login() -> bool:
    """Whether this server asks people to log in (an [auth] section in its secrets)."""
    try:
        return "auth" in st.secrets
    except StreamlitSecretNotFoundError:
        return False


def role() -> str:
    """What the person in front of this session may do; researcher on a machine without login.

    The page ends here where one must log in first.
    """
    if not has_login():
        return ROLES[-1]
    return _logged_in().role


def person() -> Person:
    """The person in front of this session; the page ends here until they are known."""
    if has_login():
        return _logged_in()
    if "person" not in st.session_state:
        st.text("Your labels are kept under your name.")
        given = _NAME(key="name", data={"forget": st.session_state.pop("forget-name", False)}, on_name_change=lambda: None).name
        if given:
            try:
                st.session_state["person"] = person_named(str(given))
                st.rerun()
            except CapsafeError as error:
                st.warning(error.message)
        st.stop()
    known: Person = st.session_state["person"]
    return known


def change_button() -> None:
    """Lets somebody else sit down at this browser."""
    if has_login():
        if st.button("Log out", icon=":material/logout:"):
            st.logout()
    elif st.button("Not you?", icon=":material/person:", help="Somebody else wants to label in this browser."):
        st.session_state.pop("person", None)
        st.session_state["forget-name"] = True
        st.rerun()


def _logged_in() -> Person:
    if not st.user.is_logged_in:
        st.title("Please log in", anchor=False)
        st.text("This server shows answers to harmful requests, and keeps who labelled what.")
        st.button("Log in", on_click=st.login, icon=":material/login:")
        st.stop()
    # an address that the provider has not checked may be anybody's
    email = str(st.user.get("email") if st.user.get("email_verified") is not False and st.user.get("email") else st.user.get("sub")).casefold()
    return Person(email, role_of(email, current_owner().settings.home / "roles.toml"))
