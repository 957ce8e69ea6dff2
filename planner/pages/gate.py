"""Who may see the dashboard: everybody on this machine; others after a login, or where somebody said so."""

import ipaddress
import os
from enum import StrEnum

import streamlit as st

WITHOUT_LOGIN_VARIABLE = "BREAKEVEN_WITHOUT_LOGIN"
"""Set to 1 by `breakeven app --without-login`: whoever reaches the port may use the dashboard."""


class Door(StrEnum):
    """What to do with a visitor."""

    OPEN = "open"
    LOGIN = "log in first"
    CLOSED = "closed"


def is_loopback(address: str | None) -> bool:
    """Whether a server bound to this address can be reached from its own machine only.

    >>> [is_loopback(a) for a in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "10.0.0.1", "host.example", None)]
    [True, True, True, False, False, False, False]
    """
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def door(address: str | None, *, without_login: bool, has_login: bool, is_logged_in: bool) -> Door:
    """Closed where other machines reach the server and nobody said how they are told apart."""
    if is_loopback(address) or without_login:
        return Door.OPEN
    if not has_login:
        return Door.CLOSED
    return Door.OPEN if is_logged_in else Door.LOGIN


def is_open_to_others() -> bool:
    """Whether other machines reach this server: then nobody starts processes on it from a page."""
    return not is_loopback(st.get_option("server.address"))


def require_login() -> None:
    """Stop the page for whoever may not see it, before anything of the plan is drawn."""
    if not is_open_to_others():
        return
    has_login = _has_login()
    found = door(
        st.get_option("server.address"),
        without_login=os.environ.get(WITHOUT_LOGIN_VARIABLE) == "1",
        has_login=has_login,
        is_logged_in=has_login and bool(st.user.is_logged_in),
    )
    if found is Door.CLOSED:
        st.error(
            "This dashboard can be reached from other machines and has no login. Start it with `breakeven app`, which "
            "binds it to 127.0.0.1, or set up a login as docs/dashboard.md says."
        )
        st.stop()
    if found is Door.LOGIN:
        st.header("breakeven")
        st.write("Log in to see the plan. If you came by a link, open it once more afterwards.")
        st.button("Log in", on_click=st.login, type="primary", key="log_in")
        st.stop()
    if has_login:
        st.sidebar.button("Log out", on_click=st.logout, key="log_out")


def _has_login() -> bool:
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False
