"""Who comes by a short link: to its page, and a word where what it shows is no longer what it was."""

from __future__ import annotations

import streamlit as st

from analysis.errors import LoupeError, NotFound
from analysis.people import Link
from dashboard import errors, pages, state
from dashboard.browse import link_contents
from dashboard.parts import figure_block

_FOLLOWED = "followed"


def arrive() -> None:
    """Leave for the page of the link in the URL, where the URL says nothing else. Raises NotFound."""
    id = state.param("link", "")
    if not id or state.shown_params():  # somebody went on from the link's page: the address says where to
        return
    link = _link(id)
    if link.page not in [p.name for p in pages.pages()]:
        raise NotFound(f"this link leads to a page '{link.page}'", "a page of this version")
    if link.params or link.page != state.page():
        state.go(link.page, **{**link.params, **state.kept("link", "tour", "step")})


def draw() -> bool:
    """Say what has changed since the link was made; whether the page itself is to be drawn below."""
    id = state.param("link", "")
    if not id:
        return True
    with errors.said():
        link = _link(id)
        changes = link_contents.changes(state.workspace(), link.seen)
        if not changes:
            return True
        then = state.param("then", False)
        kept, lost = link_contents.kept_results(state.workspace(), link.seen)
        with st.container(border=True):
            st.warning(_told(link, changes, len(kept), lost), icon=":material/history:")
            if kept:
                st.segmented_control("Show", [False, True], format_func=_NAMES.get, required=True,
                                     label_visibility="collapsed", **state.bound("then", False))  # fmt: skip
        if then and kept:
            _as_it_was(kept)
            return False
    return True


_NAMES = {False: "As it is now", True: "As it was then"}


def _told(link: Link, changes: list[str], kept: int, lost: int) -> str:
    by = f" by {link.author}" if link.author else ""
    said = f"Since this link was made{by} on {link.made[:10]}, its data have changed. " + " ".join(changes)
    if kept:
        said += f" Both can be shown: the page with what is there now, and the figures of then ({kept} kept)."
    else:
        said += " What it showed then was not kept; below is what is there now."
    if kept and lost:
        said += f" {lost} more of then were not kept."
    return errors.escape(said)


def _as_it_was(kept: list) -> None:
    for place, result in enumerate(kept):
        st.subheader(errors.escape(result.title))
        with errors.shown():
            figure_block.of_then(result, key=f"then:{place}")


def _link(id: str) -> Link:
    """The link of this id; asked of the database once in a session, since links never change."""
    kept = state.get(_FOLLOWED)
    if kept is None or kept.id != id:
        try:
            kept = state.workspace().people.follow(id)
        except LoupeError:
            state.set_params(link=None)  # said once; the page is drawn as if there were no link
            raise
        state.put(_FOLLOWED, kept)
    return kept
