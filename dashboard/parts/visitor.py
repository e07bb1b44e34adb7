"""Who is here, on a host: the line in the sidebar, the choice of workspace, and what somebody without a role sees."""

from __future__ import annotations

import streamlit as st

from analysis import access
from dashboard import errors, state
from dashboard.hosting import host

MAY = {
    "viewer": "You may look and take figures away. Whoever owns this workspace can let you change things.",
    "editor": "You may write notes, save selections and start work.",
    "owner": "You may do everything, and say who else comes in: Workspace, People.",
}
OPENED = ("tap", "unit", "store", "sel", "set", "method", "show", "view")  # of the address: what is looked at


def let_in() -> bool:
    """Whether the page may be drawn for whoever asks; otherwise says why not. Always so on one's own machine."""
    serving = host.current()
    if serving is None:
        return True
    person = host.identity()
    if person is None:
        st.info("You are signed out. Load the page again to sign in.", icon=":material/logout:")
        return False
    name = state.workspace_name()
    if access.may("viewer"):
        return True
    found = f"{person.email} has no role in the workspace {name}"
    remedy = "Ask one of its owners to add you under Workspace, People"
    errors.notice({"found": found, "remedy": remedy}, refused=True)
    _choice(serving.open_to(person.email), name)
    _sign_out()
    return False


def note_opened(page: str) -> None:
    """Write down which page somebody opened, and of what; not each click on it."""
    if host.current() is None:
        return
    at = {name: texts[-1] for name, texts in state.kept(*OPENED).items()}
    seen = (page, state.workspace_name(), at)
    if state.get("opened") != seen:
        host.note("opened", " ".join([page, *(f"{name}={value[:80]}" for name, value in at.items())]))
        state.put("opened", seen)


def draw() -> None:
    """In the sidebar of a host: who, what she may, sign out, other workspaces."""
    serving = host.current()
    if serving is None:
        return
    person = access.acting()
    _choice(serving.open_to(person.name), state.workspace_name())
    st.caption(f"**{errors.escape(person.name)}** · {person.role}", help=MAY.get(person.role, ""))
    _sign_out()


def _choice(names: list[str], now: str) -> None:
    """Another workspace: its pages open anew."""
    if not set(names) - {now}:
        return
    shown = names if now in names else [now, *names]
    tie = state.tied(f"{state.WORKSPACE}", now, state.change_workspace)
    st.selectbox("Workspace", shown, **tie)


def _sign_out() -> None:
    if st.button("Sign out", icon=":material/logout:", key="sign out"):
        st.logout()
