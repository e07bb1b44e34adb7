"""What somebody sees who may only look: buttons that are there, grey, and say which role they take.

Only what is seen: what keeps her from it is `access.require`, which whatever writes asks by itself.
"""

from __future__ import annotations

import streamlit as st

from analysis import access
from dashboard import errors

ROLE = "Your role in this workspace is {has}; this takes the role of {needs}. One of its owners can give it to you."


def to(role: str, *, disabled: bool = False, help: str | None = None) -> dict:
    """Arguments of a button or box that opens: `**allowed.to("editor", help=…)`, for what takes `role`."""
    if access.may(role):
        return {"disabled": disabled, "help": help}
    return {"disabled": True, "help": words(role)}


def words(role: str) -> str:
    """Why not."""
    return ROLE.format(has=access.acting().role, needs=role)


def starts(title: str) -> bool:
    """Whether work may begin that a page begins by itself; where it may not, says so: nobody has pressed anything."""
    if access.may("editor"):
        return True
    st.info(f"{errors.escape(title)}: nobody has asked for this yet, and your role ({access.acting().role}) starts no "
            "work. Once an editor has opened this page, you see it here too.", icon=":material/lock:")  # fmt: skip
    return False
