"""The people of a workspace, for its owners: who may look, who may change, who may say so."""

from __future__ import annotations

import streamlit as st

from analysis import access
from dashboard import errors, state, table_cells
from dashboard.hosting import host
from dashboard.hosting.roles import BY_HOST, GIVEN

MEANS = {
    "viewer": "may look and take figures away",
    "editor": "may also write notes, save selections and start work",
    "owner": "may also remove what others made, and say who comes in",
}


def draw() -> None:
    """The list, and a line to add or change somebody."""
    access.require("viewer", "see the people of this workspace")
    serving = host.current()
    people = serving.people(state.workspace_name())
    members = people.listed()
    st.markdown("Roles are of this workspace only. A change holds at once, also in tabs that are open.")
    rows = [{"E-mail": m.email, "Role": m.role, "Given by": m.by, "Since": m.when[:10]} for m in members]
    st.dataframe(
        table_cells.safe(rows), hide_index=True, key="members", alt=f"{len(rows)} people of this workspace"
    )
    default = serving.settings.default_role
    if default != "none":
        st.caption(f"Everybody else who can sign in here is {default}.")
    if not access.may("owner"):
        st.caption("Only an owner of this workspace changes this list.")
        return
    _add(people)
    _remove(people, [m.email for m in members if m.by != BY_HOST])


def _add(people) -> None:
    with st.form("member", border=False):
        left, middle, right = st.columns([4, 2, 2], vertical_alignment="bottom")
        email = left.text_input("E-mail", max_chars=254, key="member:email", placeholder="ada@example.org")
        role = middle.selectbox(
            "Role", GIVEN, key="member:role", help="; ".join(f"{r}: {m}" for r, m in MEANS.items())
        )
        pressed = right.form_submit_button("Give this role", icon=":material/person_add:", width="stretch")
    if pressed:
        with errors.shown():
            made = people.put(email, role)
            st.toast(errors.escape(f"{made.email} is {made.role} now."))
            st.rerun()


def _remove(people, emails: list[str]) -> None:
    if not emails:
        return
    left, right = st.columns([6, 2], vertical_alignment="bottom")
    who = left.selectbox(
        "Take the role away from", emails, index=None, key="member:gone", placeholder="Choose somebody"
    )
    if right.button("Remove", icon=":material/person_remove:", disabled=who is None, width="stretch"):
        with errors.shown():
            people.remove(who)
            st.toast(errors.escape(f"{who} is no member any more."))
            st.rerun()
