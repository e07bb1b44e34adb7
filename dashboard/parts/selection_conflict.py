"""One name, two sets of points: what each holds, and whether both are kept, or one in the other's place."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

import streamlit as st

from analysis.errors import LoupeError
from analysis.selection import Selection
from dashboard import errors, state

_WAITING = "selection conflict"


def begin(mine: Selection) -> None:
    """`mine` waits, with the name that other points have."""
    state.put(_WAITING, mine)


def end() -> None:
    state.put(_WAITING, None)


def waiting(selection: Selection) -> Selection | None:
    """What waits of these points."""
    mine = state.get(_WAITING)
    return mine if mine is not None and mine == selection else None


def draw(mine: Selection, save: Callable[[Selection, int], str | None]) -> str | None:
    """The choice; the name that `mine` or theirs has afterwards, when it was made."""
    people = state.workspace().people
    version = people.selection_version(mine.name)
    theirs = people.selection(mine.name) if version else None
    if theirs is None:  # meanwhile it was removed
        return save(mine, 0)
    st.warning(_told(mine, theirs), icon=":material/call_split:")
    key = f"{mine.name}:{version}"  # of what is seen: a button of an older one does nothing
    with st.form(f"both:{key}", border=False):
        name = st.text_input("Keep both: yours is called", _free(mine.name), max_chars=80)
        both = st.form_submit_button("Keep both", type="primary", icon=":material/library_add:")
    with st.container(horizontal=True):
        instead = st.button("Put mine in its place", key=f"mine:{key}",
                            help="Links and pages that use the name then show your points; its history keeps "
                                 "the others, to be restored.")  # fmt: skip
        take = st.button(
            "Take theirs", key=f"theirs:{key}", help="Your points stay selected until you leave."
        )
    if both:
        return save(dataclasses.replace(mine, name=name.strip()), 0)
    if instead:
        return save(mine, version)
    if take:
        end()
        return mine.name
    return None


def _told(mine: Selection, theirs: Selection) -> str:
    by = f" by {theirs.author}" if theirs.author else ""
    said = f"There is a selection called “{mine.name}” already{by}, with {theirs.described}. Yours holds "
    said += mine.described
    with contextlib.suppress(LoupeError):  # which hold different things
        said += f", {_some(len(mine & theirs))} of them in both"
    return errors.escape(f"{said}. Neither is lost: choose what is kept.")


def _some(n: int) -> str:
    return f"{n:,}" if n else "none"


def _free(name: str) -> str:
    """ "odd 4s 2", or the first such name that nothing has."""
    there = {s.name for s in state.workspace().selections()}
    return next(f"{name} {n}" for n in range(2, len(there) + 3) if f"{name} {n}" not in there)
